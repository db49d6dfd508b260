"""Which flats tell how long the shutter takes, and which frames that corrects."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from daskred.cameras.criteria import Criterion
from daskred.model.frame import Frame
from daskred.model.plan import Correction, Input, Master
from daskred.model.text import and_more
from daskred.night.groups import named
from daskred.night.match import Shelf

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
    without
        Frames that none fits.
    """

    shelf: Shelf
    without: list[str] = field(default_factory=list)

    @cached_property
    def _criteria(self) -> list[Criterion]:
        """What must agree: whatever darks must share as well as flats, as camera and binning."""
        camera = self.shelf.camera
        of_darks = [c.name for c in camera.criteria_of("dark") if c.differs == "refuse"]
        return [c for c in camera.criteria_of("flat") if c.name in of_darks]

    def look_at(self, flats: Sequence[Sequence[Input]]) -> None:
        """Make masters of the shutter of the flats of a night, a group for each of theirs.

        One for each night, camera and layout: of the filter whose flats are the shortest.
        """
        if not self.shelf.options.shutter:
            return
        best: dict[tuple[Hashable, ...], list[Input]] = {}
        for group in flats:
            if not (inputs := _telling(group)):
                continue
            frame = inputs[0].frame
            values = (c.key(frame.facts.value(c.fact)) for c in self._criteria)
            key = self.shelf.dates.night_of(frame), frame.layout, *values
            if key not in best or _rank(inputs) < _rank(best[key]):
                best[key] = inputs
        masters = named("shutter", list(best.values()), self.shelf.camera, self.shelf.dates)
        self.shelf.put("shutter", masters)

    def correct(self, frame: Frame, correction: Correction) -> Correction:
        """Return what calibrates a frame with the nearest master of the shutter."""
        seconds, shelf = frame.facts.exptime_s, self.shelf
        if not shelf.options.shutter:
            return correction
        night = shelf.dates.night_of(frame)

        def days(master: Master) -> float:
            return shelf.dates.days_between(night, shelf.night_of(master))

        fitting = [master for master in shelf.masters["shutter"] if self._fits(master, frame)]
        if not fitting or not seconds or seconds <= 0:
            self.without.append(frame.name)
            return correction
        return replace(correction, shutter=(min(fitting, key=days).name, seconds))

    def _fits(self, master: Master, frame: Frame) -> bool:
        mine, theirs = frame.facts, master.inputs[0].frame.facts
        return master.layout == frame.layout and not any(
            criterion.difference(mine.value(criterion.fact), theirs.value(criterion.fact))
            for criterion in self._criteria
        )

    @property
    def warnings(self) -> list[str]:
        """What cannot be had, and why."""
        if not self.without:
            return []
        if not self.shelf.masters["shutter"]:
            return [f"no master of the shutter: {_WANTED}"]
        return [f"no master of the shutter fits {and_more(self.without)}: they stay as they are"]


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
