"""Which frames show the same field: those by which cosmic rays in one of them are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from daskred.model.frame import Frame
from daskred.model.plan import Science
from daskred.night.times import mjd_of
from daskred.options import Options


def beside_others(science: Sequence[Science], options: Options) -> list[Science]:
    """Return science frames with the nearest in time of those that show the same, if wanted.

    They share target, filter, exposure time and all masters. Those of another pointing are told by
    their stars, when their pixels are compared.
    """
    n_wanted = options.cosmics_frames
    if not n_wanted or options.cosmics == "no":
        return list(science)
    from daskred.kernels.beside import LEAST_FRAMES  # few runs need it

    fields: dict[object, list[Science]] = {}
    for item in science:
        facts = item.frame.facts
        alike = facts.object, facts.filter, facts.exptime_s, item.frame.layout, item.correction
        fields.setdefault(alike, []).append(item)
    beside: dict[str, tuple[Frame, ...]] = {}
    for items in fields.values():
        frames = [item.frame for item in items]
        frames.sort(key=lambda frame: (mjd_of(frame.facts.time_obs) or 0.0, frame.name))
        times = [mjd_of(frame.facts.time_obs) for frame in frames]
        for number, frame in enumerate(frames):
            chosen = sorted(_nearest(times, number, n_wanted))
            if len(chosen) >= LEAST_FRAMES:
                beside[frame.path] = tuple(frames[n] for n in chosen)
    return [replace(item, beside=beside.get(item.frame.path, ())) for item in science]


def _nearest(times: Sequence[float | None], number: int, n_wanted: int) -> list[int]:
    """Return so many other frames, those nearest in time first, or in order, where none tells.

    Times are in order, so that none of them lies further away in it.

    Examples
    --------
    >>> _nearest([1.0, 2.0, 2.1, 9.0], 1, 3), _nearest([None, None, None], 2, 2)
    ([2, 0, 3], [1, 0])
    """

    def away(other: int) -> tuple[float, int, int]:
        mine, its = times[number], times[other]
        apart = 0.0 if mine is None or its is None else abs(its - mine)
        return apart, abs(other - number), other

    near = range(max(number - n_wanted, 0), min(number + n_wanted + 1, len(times)))
    return sorted((n for n in near if n != number), key=away)[:n_wanted]
