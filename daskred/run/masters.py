"""Make masters: the tiles of all frames, each reduced by a worker and written where it belongs.

All of a master's way to its pixels stands together, which makes the file a little longer than
others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from daskred.arrays.factors import (
    factor_tasks,
    factors_of,
    planes_of_sky,
    refined_levels,
    wants_factors,
)
from daskred.arrays.frames import (
    TASK_PIXELS,
    frame_tasks,
    frames_in,
    look_at_frames,
    measure_frames,
    needs_look,
)
from daskred.arrays.looks import Look
from daskred.arrays.masterfiles import MasterFiles
from daskred.arrays.masters import (
    AmplifierNoise,
    noises_of,
    reduction_of,
    tile_options,
    usable_lights,
    usable_looks,
    wants_levels,
    weights_of,
)
from daskred.arrays.normalised import MasterLevel, is_bayer, level_of_master, rows_of_level
from daskred.arrays.tiles import Stack, Tile, rows_per_tile, written_tiles
from daskred.engine.executor import Executor
from daskred.engine.progress import Progress
from daskred.engine.task import Task
from daskred.fits.raster import Raster
from daskred.kernels.level import Light
from daskred.kernels.slopes import Plane
from daskred.model.errors import FrameError, FramesError, NoSkyError
from daskred.model.frame import Frame
from daskred.model.plan import Correction, Master
from daskred.options import Options
from daskred.products.write import shared_headers
from daskred.run.combined import Combined
from daskred.run.sky import check_sky
from daskred.run.unpack import unpacked
from daskred.run.witness import check_inputs, same_pixels

# Looks at frames; what is subtracted, and which of it from each; and their levels.
_Known = tuple[Sequence[Look | None], Sequence[MasterFiles], Sequence[int], Sequence[float]]


@dataclass(frozen=True)
class Combiner:
    """Makes the pixels of masters.

    Parameters
    ----------
    folder
        Where pixels lie while they are made.
    options
        How.
    executor, progress
        Where, and who is told.
    tile_bytes
        How large a tile may be.
    files
        Finds the masters that a correction names.
    guard
        A file that is there as long as the run is.
    """

    folder: Path
    options: Options
    executor: Executor
    progress: Progress
    tile_bytes: int
    files: Callable[[Correction], MasterFiles]
    guard: Path

    def combine(self, master: Master, meanwhile: Callable[[], object]) -> Combined:
        """Return what the frames of a master combine to.

        What is to be done meanwhile is done here as soon as workers have something to do; whoever
        asks for it several times gets it once.

        Raises
        ------
        FramesError
            Naming frames that cannot be used.
        """
        frames = [member.frame for member in master.inputs]
        with (
            _losing_none(master),
            unpacked(frames, self.folder, self.guard, self.executor, self.progress) as plain,
        ):
            looks = self._looks(plain, meanwhile)
            lights: list[Light] = []
            if wants_levels(master.kind, self.options):
                lights = self._lights(master, plain, looks, meanwhile)
            levels = [light.level for light in lights]
            corrections = [member.correction for member in master.inputs]
            ways = list(dict.fromkeys(corrections)) if master.is_lit else []
            darks = [self.files(way) for way in ways]
            which = [ways.index(correction) for correction in corrections] if ways else []
            if wants_factors(master.kind, len(frames), self.options):
                levels = self._refined(plain, looks, darks, which, levels)
            known = looks, darks, which, levels
            planes = self._planes(plain, known) if master.has_objects else []
            combined = self._tiles(master, plain, known, planes, meanwhile)
        if not master.is_lit:
            return combined
        if "lit" in self.options.limits and not master.has_objects:
            combined.figures["lit"] = min(light.lit for light in lights)
        return replace(combined, levels=tuple(levels))

    def judged(self, master: Master, combined: Combined) -> Combined:
        """Return what frames combine to with its own level, when they belong together.

        Raises
        ------
        FramesError
            Naming frames that do not, or all where the master has no level.
        """
        for samples in combined.tiles:
            if samples and not master.has_objects:  # stars are no reason to leave frames out
                check_inputs(master, samples, combined.levels, self.options, combined.figures)
                if text := same_pixels(master, samples):
                    self.progress.say(text)
        if not master.is_lit or master.kind == "shutter":
            return combined
        with _losing_none(master):
            combined = replace(combined, level=self._level_of_master(master, combined))
            if master.has_objects:
                check_sky(master, combined)
        return combined

    def _per_frame(
        self,
        title: str,
        items: Sequence[Any],
        frames: Sequence[Frame],
        work: Callable[..., Any],
        meanwhile: Callable[[], object],
    ) -> list[Any]:
        """Return what some work makes of each frame."""
        found: dict[int, Any] = {}
        numbered = list(enumerate(items))
        self.progress.begin(title, len(items), "frames")
        try:
            tasks = frame_tasks(
                title,
                numbered,
                [frame.path for frame in frames],
                frames_in(TASK_PIXELS, frames, self.executor.n_parts),
                _Numbered(work),
            )
            for task, results in self.executor.run(tasks, meanwhile):
                found |= {n: result for (n, _), result in zip(task.items, results, strict=True)}
                self.progress.advance(len(results))
        finally:
            self.progress.end()
        return [found[number] for number in range(len(items))]

    def _looks(self, frames: Sequence[Frame], meanwhile: Callable[[], object]) -> list[Look | None]:
        """Look at frames that are to be prepared."""
        if not any(map(needs_look, frames)):
            return [None] * len(frames)
        return usable_looks(self._per_frame("Overscans", frames, frames, look_at_frames, meanwhile))

    def _lights(
        self,
        master: Master,
        frames: Sequence[Frame],
        looks: Sequence[Look | None],
        meanwhile: Callable[[], object],
    ) -> list[Light]:
        """Measure how bright each frame is."""
        by_correction: dict[Correction, list[int]] = {}
        for number, member in enumerate(master.inputs):
            by_correction.setdefault(member.correction, []).append(number)
        measured: list[Any] = [None] * len(frames)
        for correction, numbers in by_correction.items():
            pairs = [(frames[n], looks[n]) for n in numbers]
            work = _Measure(self.files(correction), self.options, master.is_lit, master.has_objects)
            title = f"Levels of {master.name}"
            found = self._per_frame(title, pairs, [frames[n] for n in numbers], work, meanwhile)
            for number, result in zip(numbers, found, strict=True):
                measured[number] = result
        originals = [member.frame for member in master.inputs]
        return usable_lights(originals, measured, master.is_lit, self.options.limits)

    def _refined(
        self,
        frames: Sequence[Frame],
        looks: Sequence[Look | None],
        darks: Sequence[MasterFiles],
        which: Sequence[int],
        levels: Sequence[float],
    ) -> list[float]:
        """Measure by what factors flats differ, and return levels that do so."""
        stacks = [Stack(frames, n, self.options) for n in range(len(frames[0].layout))]
        work = partial(factors_of, stacks, list(looks), darks, list(which), list(levels))
        factors = [1.0] * len(frames)
        tasks = factor_tasks(work, len(frames), self.executor.n_workers)
        for task, found in self.executor.run(tasks):
            for number, factor in zip(task.key[-1], found, strict=True):
                factors[number] = factor
        return refined_levels(levels, factors)

    def _planes(self, frames: Sequence[Frame], known: _Known) -> list[list[Plane]]:
        """Measure how the light of frames of the sky lies across them, for each image."""
        stacks = [Stack(frames, n, self.options) for n in range(len(frames[0].layout))]
        key = ("planes", frames[0].path)
        graph = {key: (partial(planes_of_sky, stacks, *known),)}
        return next(found for _, found in self.executor.run([Task(key, graph)]))

    def _noises(self, master: Master) -> list[AmplifierNoise]:
        if self.options.reject != "noise":
            return []
        zero = master.inputs[0].correction.zero
        files = self.files(Correction(bias=zero)) if zero else None
        return noises_of(master.kind, [member.frame for member in master.inputs], files)

    def _tiles(
        self,
        master: Master,
        frames: Sequence[Frame],
        known: _Known,
        planes: Sequence[Sequence[Plane]],
        meanwhile: Callable[[], object],
    ) -> Combined:
        """Combine all images of frames, band by band; find out what their headers share."""
        looks, darks, which, levels = known
        noises = self._noises(master)
        originals = [member.frame for member in master.inputs]
        weights = weights_of(originals, levels, self.options)
        combined = Combined([], [0] * len(frames), weights=tuple(weights))
        reduce = reduction_of(master.kind, self.options)

        def beside() -> None:
            meanwhile()
            combined.headers.extend(shared_headers(originals))

        try:
            for number in range(len(frames[0].layout)):
                # The shutter makes its flats differ.
                sampled = len(frames) > 1 and master.kind != "shutter"
                objects = master.has_objects
                stack = Stack(frames, number, self.options, sampled, objects)
                options = tile_options(
                    master.kind, number, originals, self.options, levels, which, noises
                )
                if planes:
                    options["planes"] = planes[number]
                reduction = (reduce, list(looks), darks, options)
                wanted = None if number else beside
                rasters, sums, samples = self._image(master, number, stack, wanted, reduction)
                combined.rasters.append(rasters[0])
                if len(rasters) > 1:
                    combined.counts.append(rasters[1:])
                combined.tiles.append(samples)
                for place, part in enumerate(sums):
                    combined.sums[place] = (combined.sums[place] + part) % 2**64
            for place, look in enumerate(looks):
                if look:
                    combined.sums[place] = look.raw_sum
        except BaseException:
            combined.remove()
            raise
        return combined

    def _image(
        self,
        master: Master,
        number: int,
        stack: Stack,
        meanwhile: Callable[[], object] | None,
        reduction: tuple[Any, Sequence[Look | None], Sequence[MasterFiles], dict[str, Any]],
    ) -> tuple[list[Raster], list[int], list[Tile]]:
        """Make one image of a master; return its rasters, and of its frames sums and samples."""
        _, _, darks, options = reduction
        n_frames, height, width = stack.shape
        row_bytes = (n_frames * stack.value_bytes + 8 * len(darks)) * width
        tile_bytes = self.tile_bytes - 2 * stack.margin * row_bytes
        n_rows = rows_per_tile(stack.shape, row_bytes, tile_bytes, self.executor.n_parts)
        n_rows = min(self.options.tile_rows or n_rows, height)
        dtype = options.get("precision", self.options.dtype)
        alone = self.options.plain_median or master.kind == "shutter"
        kinds = [dtype] if alone else [dtype, "uint16", "uint16"]
        rasters = [Raster.create(self.folder, (height, width), kind) for kind in kinds]
        sums = [0] * n_frames
        tiles: dict[int, Tile] = {}
        self.progress.begin(f"{master.name} of {n_frames} frames", height, "rows")
        try:
            tasks = written_tiles(stack, number, n_rows, rasters, *reduction)
            for _, (rows, tile) in self.executor.run(tasks, meanwhile):
                sums = [total + part for total, part in zip(sums, tile.sums, strict=True)]
                tiles[rows.start] = tile
                self.progress.advance(rows.stop - rows.start)
        except BaseException:
            for raster in rasters:
                raster.remove()
            raise
        finally:
            self.progress.end()
        return rasters, sums, [tiles[start] for start in sorted(tiles)] if stack.places else []

    def _level_of_master(self, master: Master, combined: Combined) -> MasterLevel:
        """Return what a master flat is divided by."""
        frame = master.inputs[0].frame
        bayer = is_bayer(frame, self.options, master.kind == "sky")
        step = rows_of_level(frame.readout, bayer, self.options)
        text = f"{master.name} cannot be normalised"
        refuse = FramesError(tuple(FrameError(member.frame.path, text) for member in master.inputs))
        images = [raster.every(step) for raster in combined.rasters]
        return level_of_master(images, frame.readout, bayer, self.options, refuse)


@contextmanager
def _losing_none(master: Master) -> Iterator[None]:
    """Leave science frames what they are, where they cannot go into a master of the sky."""
    try:
        yield
    except (FrameError, FramesError) as error:
        inputs = {member.frame.path for member in master.inputs}
        errors = error.errors if isinstance(error, FramesError) else (error,)
        if master.has_objects and all(each.path in inputs for each in errors):
            raise NoSkyError(errors) from error
        raise


@dataclass(frozen=True)
class _Numbered:
    """Work on frames that travel with their numbers."""

    work: Callable[..., Any]

    def __call__(self, items: Sequence[tuple[int, Any]]) -> Any:
        return self.work([item for _, item in items])


@dataclass(frozen=True)
class _Measure:
    """Measures the levels of frames."""

    files: MasterFiles
    options: Options
    lit: bool
    is_sky: bool

    def __call__(self, frames: Sequence[Any]) -> Any:
        return measure_frames(frames, self.files, self.options, self.lit, self.is_sky)
