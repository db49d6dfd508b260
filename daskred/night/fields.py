"""Which frames show the same field: those by which cosmic rays in one of them are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from daskred.model.frame import Frame
from daskred.model.plan import Science
from daskred.night.times import mjd_of
from daskred.options import Options

_LEAST = 2  # of fewer nobody knows which is hit


def beside_others(science: Sequence[Science], options: Options) -> list[Science]:
    """Return science frames with the nearest in time of those that show the same, if wanted.

    They share target, filter, exposure time and all masters. Those of another pointing are told by
    their stars, when their pixels are compared.
    """
    n_wanted = options.cosmics_frames
    if not n_wanted or options.cosmics == "no":
        return list(science)
    fields: dict[object, list[Science]] = {}
    for item in science:
        facts = item.frame.facts
        alike = facts.object, facts.filter, facts.exptime_s, item.frame.layout, item.correction
        fields.setdefault(alike, []).append(item)
    beside: dict[str, tuple[Frame, ...]] = {}
    for items in fields.values():
        frames = [item.frame for item in items]
        frames.sort(key=lambda frame: (mjd_of(frame.facts.time_obs) or 0.0, frame.name))
        for number, frame in enumerate(frames):
            near = sorted(range(len(frames)), key=lambda n: (abs(n - number), n))
            chosen = sorted(n for n in near[1 : n_wanted + 1])
            if len(chosen) >= _LEAST:
                beside[frame.path] = tuple(frames[n] for n in chosen)
    return [replace(item, beside=beside.get(item.frame.path, ())) for item in science]
