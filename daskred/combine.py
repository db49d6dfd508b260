"""Make masters: tiles of all frames, each reduced by a worker and written where it belongs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.blocks import (
    FrameStack,
    Stack,
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

    def median(self, master: Master) -> list[Raster]:
        """Return for each image the median over frames; the caller removes the rasters."""
        with self._readable(master) as frames:
            return [
                self._combined(master, image, median_over_frames, [FrameStack(frames, number)], {})
                for number, image in enumerate(frames[0].images)
            ]

    def _readable(self, master: Master) -> contextlib.AbstractContextManager[list[Frame]]:
        frames = [one.frame for one in master.inputs]
        return unpacked(frames, self.folder, self.executor, self.progress)

    def flat(self, master: Master) -> tuple[list[Raster], float]:
        """Return the median of flats over their levels, for each image, and its own level.

        Raises
        ------
        FramesError
            Naming flats that have no light, are saturated or cannot be read.
        """
        with self._readable(master) as frames:
            return self._flat(master, frames)

    def _flat(self, master: Master, frames: Sequence[Frame]) -> tuple[list[Raster], float]:
        corrections = [one.correction for one in master.inputs]
        ways = list(dict.fromkeys(corrections))
        files = [self.files(way) for way in ways]
        options = {
            "which": [ways.index(correction) for correction in corrections],
            "levels": self._levels(master, frames),
            "precision": self._precision(frames[0]),
        }
        rasters: list[Raster] = []
        try:
            for number, image in enumerate(frames[0].images):
                darks = DarkBands(files, number, image.shape)
                stacks: list[Stack] = [FrameStack(frames, number), darks]
                rasters.append(self._combined(master, image, flat_tile, stacks, options))
            return rasters, self._own_level(master, rasters)
        except BaseException:
            for raster in rasters:
                raster.remove()
            raise

    def _combined(
        self,
        master: Master,
        image: Image,
        function: Callable[..., NDArray[Any]],
        stacks: Sequence[Stack],
        options: dict[str, Any],
    ) -> Raster:
        """Make one image of a master, band by band."""
        n_frames = len(master.inputs)
        row_bytes = image.shape[1] * sum(one.shape[0] * one.dtype.itemsize for one in stacks)
        n_rows = rows_per_tile(row_bytes, image.shape[0], self.tile_bytes, self.executor.n_parts)
        n_rows = min(self.options.tile_rows or n_rows, image.shape[0])
        dtype = options.get("precision", self.options.dtype)
        raster = Raster.create(self.folder, image.shape, dtype)
        self.progress.begin(f"{master.name} of {n_frames} frames", image.shape[0], "rows")
        try:
            tasks = tile_tasks(function, stacks, n_rows, raster, **options)
            for _, n_done in self.executor.run(tasks):
                self.progress.advance(n_done)
        except BaseException:
            raster.remove()
            raise
        finally:
            self.progress.end()
        return raster

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
