"""Masters of science frames: what the night sky itself shows, and which frames it corrects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch

from daskred.cameras.rules import Camera
from daskred.model.frame import Frame
from daskred.model.plan import Input, Science
from daskred.model.text import and_more
from daskred.night.groups import grouped, named
from daskred.night.match import RefusedError, Shelf
from daskred.options import Options

# Fewer do not tell what is an object, and more gain nothing that one could see.
LEAST_FRAMES, MOST_FRAMES = 3, 100
_ALL = "all"


def wants(filters: Sequence[str], name: str | None) -> bool:
    """Whether a correction is asked for of frames of a filter.

    Examples
    --------
    >>> wants(["i", "z"], "I"), wants(["all"], None), wants(["I"], "V")
    (True, True, False)
    """
    wanted = [text.strip().casefold() for text in filters]
    return _ALL in wanted or (name or "").strip().casefold() in wanted


@dataclass
class Sky:
    """What science frames show of the sky.

    Parameters
    ----------
    shelf
        The masters of the night, to which those of the sky are added.
    no_sky
        Frames, by their paths, that show none, and why.
    warnings
        What cannot be had, and why.
    """

    shelf: Shelf
    no_sky: Mapping[str, str]
    warnings: list[str] = field(default_factory=list)

    @property
    def _options(self) -> Options:
        return self.shelf.options

    @property
    def _camera(self) -> Camera:
        return self.shelf.camera

    def _used(self, group: Sequence[Input], what: str) -> list[Input]:
        """Return the frames of a group that a master is made of; none where they are too few."""
        listed = and_more([member.frame.name for member in group])
        if any(member.correction.window for member in group):
            self.warnings.append(f"no {what} of windows of the detector: {listed}")
            return []
        chosen = [member for member in group if self._is_chosen(member.frame)]
        without: dict[str, list[str]] = {}
        for member in chosen:
            if reason := self.no_sky.get(member.frame.path):
                without.setdefault(reason.split(": ")[0], []).append(member.frame.name)
        reasons = [f"{and_more(names)} ({reason})" for reason, names in without.items()]
        used = [member for member in chosen if member.frame.path not in self.no_sky]
        if len(used) < LEAST_FRAMES:
            reasons.append(f"{len(used)} frames are left, {LEAST_FRAMES} at least are wanted")
            self.warnings.append(f"no {what} of {listed}: {'; '.join(reasons)}")
            return []
        self.warnings += [f"{what}: is made without {reason}" for reason in reasons]
        # Evenly through the night, whose sky changes.
        n_used = min(len(used), MOST_FRAMES)
        return [used[number * len(used) // n_used] for number in range(n_used)]

    def _is_chosen(self, frame: Frame) -> bool:
        patterns = self._options.sky_frames
        return not patterns or any(fnmatch(frame.name, pattern) for pattern in patterns)

    def flats(self, science: Sequence[Frame]) -> list[list[Input]]:
        """Return the frames of flats that are made of the sky, where there are no others."""
        if not self._options.sky_flats:
            return []
        lacking = [frame for frame in science if not self.shelf.matching("flat", frame)]
        found = []
        for group in grouped(lacking, "flat", self._camera, self.shelf.dates):
            inputs = []
            for frame in group:
                try:
                    correction = self.shelf.dark_correction(frame)
                    window = self.shelf.window(frame, correction.masters)
                except RefusedError:
                    continue  # it is told where the frame is to be calibrated
                inputs.append(Input(frame, replace(correction, window=window)))
            if inputs and (used := self._used(inputs, "flat of the sky")):
                found.append(used)
        return found

    def correct(self, science: Sequence[Science], frames: Sequence[Frame]) -> list[Science]:
        """Return science frames with masters of the sky, where they are asked for.

        Parameters
        ----------
        science
            Those that are calibrated.
        frames
            All of the night.
        """
        options = self._options
        asked = (*options.illumination, *options.fringe)
        by_path = {
            item.frame.path: item for item in science if wants(asked, item.frame.facts.filter)
        }
        self.warnings += self._unmatched(asked, frames, list(by_path.values()))
        groups: dict[tuple[int, str | None], list[Input]] = {}
        wanted = [item.frame for item in by_path.values()]
        for number, group in enumerate(grouped(wanted, "sky", self._camera, self.shelf.dates)):
            for frame in group:  # of one flat
                correction = by_path[frame.path].correction
                groups.setdefault((number, correction.flat), []).append(Input(frame, correction))
        used = {key: self._used(group, "master of the sky") for key, group in groups.items()}
        made = [inputs for inputs in used.values() if inputs]
        self.shelf.put("sky", named("sky", made, self._camera, self.shelf.dates))
        names = {master.inputs[0].frame.path: master.name for master in self.shelf.masters["sky"]}
        by_frame = {
            member.frame.path: names[inputs[0].frame.path]
            for key, inputs in used.items()
            if inputs
            for member in groups[key]
        }
        return [self._corrected(item, by_frame.get(item.frame.path)) for item in science]

    def _unmatched(
        self, asked: Sequence[str], frames: Sequence[Frame], science: Sequence[Science]
    ) -> list[str]:
        """Return what is wrong with filters and patterns that no science frame matches."""
        told = sorted({frame.facts.filter for frame in frames if frame.facts.filter})
        texts = []
        for name in dict.fromkeys(asked):
            if name == _ALL or any(wants([name], item.frame.facts.filter) for item in science):
                continue
            if any(wants([name], frame.facts.filter) for frame in frames):
                why = f"all science frames in filter {name} are left out"
            else:
                there = f"; there are {', '.join(told)}" if told else "; none tells its filter"
                why = f"no science frame is in filter {name}{there}"
            texts.append(f"no master of the sky: {why}")
        unmatched = (
            f"--sky-frames {pattern!r} matches the name of no science frame"
            for pattern in self._options.sky_frames
            if not any(fnmatch(frame.name, pattern) for frame in frames)
        )
        return [*texts, *unmatched]

    def _corrected(self, item: Science, name: str | None) -> Science:
        if name is None:
            return item
        options, of = self._options, item.frame.facts.filter
        correction = replace(
            item.correction,
            illumination=name if wants(options.illumination, of) else None,
            fringe=name if wants(options.fringe, of) else None,
        )
        return replace(item, correction=correction)
