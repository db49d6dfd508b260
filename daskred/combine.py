"""Make masters: tiles of all frames, each reduced by a worker and written where it belongs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.blocks import (
    FrameStack,
    Planes,
    block_tasks,
    frames_per_task,
    rows_per_tile,
    tile_tasks,
)
from daskred.correction import DarkBands, MasterFiles
from daskred.errors import FrameError, FramesError
from daskred.execute import Executor
from daskred.fitswrite import Bands
from daskred.frames import Frame, Image
from daskred.kernels.flat import flat_tile
from daskred.kernels.level import level, sampling_step
from daskred.kernels.median import median_over_frames
from daskred.options import Options
from daskred.plan import Correction, Master
from daskred.progress import Progress
from daskred.raster import Raster
from daskred.tasks import measure_flats
from daskred.unpack import unpacked

# A flat with more saturated pixels than this part is none.
MAX_SATURATED = 0.05


def _saturation(frame: Frame) -> float:
    """Return the level at which a frame is saturated, ADU: its header's, or its type's largest."""
    if frame.facts.saturation_adu is not None:
        return frame.facts.saturation_adu
    dtype = frame.images[0].dtype
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else np.inf


@dataclass(frozen=True)
class Combined:
    """The pixels of a master.

    Parameters
    ----------
    rasters
        For each image; whoever uses them removes them.
    level
        What they are to be divided by.
    sums
        For each frame the sum of its pixels; see `daskred.fitspixels.pixel_sum`.
    """

    rasters: list[Raster]
    level: float
    sums: list[int]

    def remove(self) -> None:
        """Remove the rasters."""
        for raster in self.rasters:
            raster.remove()


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
    """

    folder: Path
    options: Options
    executor: Executor
    progress: Progress
    tile_bytes: int
    files: Callable[[Correction], MasterFiles]

    def median(self, master: Master) -> Combined:
        """Return the median over frames."""
        with self._readable(master) as frames:
            return self._combined(master, frames, median_over_frames, lambda number: [], {})

    def _readable(self, master: Master) -> contextlib.AbstractContextManager[list[Frame]]:
        frames = [one.frame for one in master.inputs]
        return unpacked(frames, self.folder, self.executor, self.progress)

    def flat(self, master: Master) -> Combined:
        """Return the median of flats over their levels, and its own level.

        Raises
        ------
        FramesError
            Naming flats that have no light, are saturated or cannot be read.
        """
        with self._readable(master) as frames:
            return self._flat(master, frames)

    def _flat(self, master: Master, frames: Sequence[Frame]) -> Combined:
        corrections = [one.correction for one in master.inputs]
        ways = list(dict.fromkeys(corrections))
        files = [self.files(way) for way in ways]
        options = {
            "which": [ways.index(correction) for correction in corrections],
            "levels": self._levels(master, frames),
            "precision": self._precision(frames[0]),
        }

        def darks(number: int) -> list[Planes]:
            return [DarkBands(files, number, frames[0].images[number].shape)]

        combined = self._combined(master, frames, flat_tile, darks, options)
        try:
            return replace(combined, level=self._own_level(master, combined.rasters))
        except BaseException:
            combined.remove()
            raise

    def _combined(
        self,
        master: Master,
        frames: Sequence[Frame],
        function: Callable[..., NDArray[Any]],
        planes_of: Callable[[int], Sequence[Planes]],
        options: dict[str, Any],
    ) -> Combined:
        """Combine all images of frames; what else an image needs comes by its number."""
        combined = Combined([], 1.0, [0] * len(frames))
        try:
            for number, image in enumerate(frames[0].images):
                stack, planes = FrameStack(frames, number), planes_of(number)
                raster, sums = self._image(master, image, function, stack, planes, options)
                combined.rasters.append(raster)
                for place, own in enumerate(sums):
                    combined.sums[place] = (combined.sums[place] + own) % 2**64
        except BaseException:
            combined.remove()
            raise
        return combined

    def _image(
        self,
        master: Master,
        image: Image,
        function: Callable[..., NDArray[Any]],
        stack: FrameStack,
        planes: Sequence[Planes],
        options: dict[str, Any],
    ) -> tuple[Raster, list[int]]:
        """Make one image of a master, band by band."""
        n_frames = len(master.inputs)
        row_bytes = n_frames * stack.dtype.itemsize * image.shape[1]
        row_bytes += sum(one.shape[0] * one.dtype.itemsize * image.shape[1] for one in planes)
        n_rows = rows_per_tile(row_bytes, image.shape[0], self.tile_bytes, self.executor.n_parts)
        n_rows = min(self.options.tile_rows or n_rows, image.shape[0])
        dtype = options.get("precision", self.options.dtype)
        raster = Raster.create(self.folder, image.shape, dtype)
        sums = [0] * n_frames
        self.progress.begin(f"{master.name} of {n_frames} frames", image.shape[0], "rows")
        try:
            tasks = tile_tasks(function, stack, planes, n_rows, raster, **options)
            for _, (n_done, own) in self.executor.run(tasks):
                sums = [total + part for total, part in zip(sums, own, strict=True)]
                self.progress.advance(n_done)
        except BaseException:
            raster.remove()
            raise
        finally:
            self.progress.end()
        return raster, sums

    def _own_level(self, master: Master, rasters: Sequence[Raster]) -> float:
        """Return the level of a master flat, over all its images."""
        method = self.options.normalize
        step = sampling_step(sum(one.shape[0] * one.shape[1] for one in rasters), method)
        own = level(np.concatenate([one.every(step).reshape(-1) for one in rasters]), method)
        if not own > 0:
            text = f"{master.name} cannot be normalised: its level is {own:g}"
            errors = tuple(FrameError(one.frame.path, text) for one in master.inputs)
            raise FramesError(errors)
        return own

    def _precision(self, frame: Frame) -> str:
        """Return what the quotients of flats are rounded to before their median.

        Where the product is rounded to float32 anyway, sooner is as good, since rounding keeps the
        order; but the level of the master must not move by it. On few pixels it could, and the
        most frequent value does.
        """
        n_pixels = sum(image.n_pixels for image in frame.images)
        sound = self.options.normalize != "exact-mode" and n_pixels >= 2**16
        return self.options.dtype if sound else "float64"

    def _levels(self, master: Master, frames: Sequence[Frame]) -> list[float]:
        """Measure the level of each flat; name those without light and the saturated ones."""
        by_way: dict[Correction, list[tuple[int, Frame, float]]] = {}
        for number, (one, frame) in enumerate(zip(master.inputs, frames, strict=True)):
            flat = (number, frame, _saturation(frame))
            by_way.setdefault(one.correction, []).append(flat)
        levels = [0.0] * len(frames)
        errors = []
        self.progress.begin(f"Levels of {master.name}", len(frames), "frames")
        try:
            for way, flats in by_way.items():
                own_frames = [frame for _, frame, _ in flats]
                tasks = block_tasks(
                    measure_flats,
                    flats,
                    [frame.path for frame in own_frames],
                    frames_per_task(own_frames, self.executor.n_parts),
                    files=self.files(way),
                    method=self.options.normalize,
                )
                for task, measured in self.executor.run(tasks):
                    for (number, _, _), found in zip(task.items, measured, strict=True):
                        reason = _fault(found)
                        if reason:
                            errors.append(FrameError(master.inputs[number].frame.path, reason))
                        else:
                            levels[number] = found[0]
                    self.progress.advance(len(measured))
        finally:
            self.progress.end()
        if errors:
            raise FramesError(tuple(errors))
        return levels


def _fault(measured: tuple[float, float] | FrameError) -> str:
    """Return why a flat is none, or nothing."""
    if isinstance(measured, FrameError):
        return measured.reason
    own, saturated = measured
    if not own > 0:
        return f"has no light: its level less the dark is {own:g} ADU"
    if saturated > MAX_SATURATED:
        return f"is saturated: {saturated:.0%} of its pixels are"
    return ""


def master_bands(
    raster: Raster, dtype: str, own_level: float, on_bad: Callable[[int], None]
) -> Bands:
    """Return an image of a master, divided by its level, as it is written.

    Parameters
    ----------
    raster
        The image.
    dtype
        Of the product.
    own_level
        What it is divided by.
    on_bad
        Called with the number of pixels that are zero or negative, band by band.
    """

    def bands() -> Iterator[NDArray[Any]]:
        for band in raster.bands():
            divided = band if own_level == 1 else np.divide(band, own_level, dtype="f8")
            on_bad(int(np.count_nonzero(divided <= 0)))
            yield divided.astype(dtype)

    return Bands(raster.shape, np.dtype(dtype), bands())
