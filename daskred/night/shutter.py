"""Which flats tell how long the shutter takes, and which frames that corrects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from daskred.model.frame import Frame
from daskred.model.plan import Correction, Input, Master
from daskred.night.groups import named
from daskred.night.match import Shelf, window_in

# Of each exposure time, and by so much the longest is longer than the shortest.
LEAST_FLATS, LEAST_RATIO = 3, 3.0
_WANTED = (
    f"flats of one filter and two exposure times are wanted, {LEAST_FLATS} of each,"
    f" one {LEAST_RATIO:g} times the other"
)


@dataclass
class Shutter:
    """The masters of the shutter, where they are asked for.

    Parameters
    ----------
    shelf
        The masters of the night, to which those of the shutter are added.
    warnings
        What cannot be had, and why.
    """

    shelf: Shelf
    warnings: list[str] = field(default_factory=list)

    def look_at(self, flats: Sequence[Sequence[Input]]) -> None:
        """Make masters of the shutter of the flats of a night, a group for each of theirs.

        One for each night and layout: of the filter whose flats are the shortest.
        """
        if not self.shelf.options.shutter:
            return
        best: dict[tuple[object, ...], list[Input]] = {}
        for group in flats:
            if not (inputs := _telling(group)):
                continue
            frame = inputs[0].frame
            key = self.shelf.dates.night_of(frame), frame.layout
            if key not in best or _rank(inputs) < _rank(best[key]):
                best[key] = inputs
        masters = named("shutter", list(best.values()), self.shelf.camera, self.shelf.dates)
        self.shelf.put("shutter", masters)
        if not masters:
            self.warnings.append(f"no master of the shutter: {_WANTED}")

    def correct(self, frame: Frame, correction: Correction) -> Correction:
        """Return what calibrates a frame with the nearest master of the shutter."""
        seconds, shelf = frame.facts.exptime_s, self.shelf
        night = shelf.dates.night_of(frame)

        def days(master: Master) -> float:
            return shelf.dates.days_between(night, shelf.night_of(master))

        fitting = [master for master in shelf.masters["shutter"] if _covers(master, frame)]
        if not fitting or not seconds or seconds <= 0:
            return correction
        return replace(correction, shutter=(min(fitting, key=days).name, seconds))


def _covers(master: Master, frame: Frame) -> bool:
    return master.layout == frame.layout or (
        window_in(frame, master.layout, master.facts) is not None
    )


def _telling(group: Sequence[Input]) -> list[Input]:
    """Return the flats of a group that tell how long the shutter takes; none where none do."""
    times: dict[float, list[Input]] = {}
    for member in group:
        if (seconds := member.frame.facts.exptime_s) and seconds > 0:
            times.setdefault(seconds, []).append(member)
    told = {time: some for time, some in times.items() if len(some) >= LEAST_FLATS}
    if not told or max(told) < LEAST_RATIO * min(told):
        return []
    return [member for time in sorted(told) for member in told[time]]


def _rank(inputs: Sequence[Input]) -> tuple[float, int, str]:
    """Return what tells which flats are taken: the shortest, then the most."""
    first = inputs[0].frame
    return first.facts.exptime_s or 0.0, -len(inputs), first.name
