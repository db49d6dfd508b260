"""Make masters: tiles of all frames, each reduced by a worker and written where it belongs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from daskred.blocks import (
    FrameStack,
    Planes,
    block_tasks,
    frames_per_task,
    rows_per_tile,
    tile_tasks,
)
from daskred.combined import Combined, Level
from daskred.correction import DarkBands, MasterFiles, read_images
from daskred.detector import Section
from daskred.errors import FrameError, FramesError
from daskred.execute import Executor
from daskred.frames import Frame, Image
from daskred.kernels.combine import (
    Tiles,
    combined_flat_tile,
    combined_tile,
    median_flat_tile,
    median_tile,
)
from daskred.kernels.level import level, sampling_step
from daskred.kernels.reject import Noise
from daskred.options import Options
from daskred.plan import Correction, Master
from daskred.progress import Progress
from daskred.raster import Raster
from daskred.tasks import measure_flats
from daskred.unpack import Readable, unpacked

# A flat with more saturated pixels than this part is none.
MAX_SATURATED = 0.05


def _saturation(frame: Frame, prepared: bool, number: int | None = None) -> float:
    """Return the level at which an image of a frame, or any, is saturated, ADU.

    A frame that has been prepared is not: its saturated pixels are NaN.
    """
    limits = [
        one.saturation_adu
        for one in frame.readout.amplifiers
        if one.saturation_adu is not None and number in (None, one.target)
    ]
    return np.inf if prepared else min(limits, default=np.inf)


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

    def plain(self, master: Master) -> Combined:
        """Return what frames combine to as they are."""
        with self._readable(master) as readable:
            function: Callable[..., Tiles] = median_tile
            options: dict[str, Any] = {}
            if not self.options.plain_median:
                function = combined_tile
                options = {**self._ways(master, readable), **self._balance(master, readable)}
            return self._combined(master, readable, function, lambda number: [], options)

    def _readable(self, master: Master) -> contextlib.AbstractContextManager[Readable]:
        frames = [one.frame for one in master.inputs]
        return unpacked(frames, self.folder, self.executor, self.progress, self.options.dtype)

    def _ways(self, master: Master, readable: Readable) -> dict[str, Any]:
        """Return how frames are combined where it is not by a plain median."""
        noise = None
        if self.options.rejection.method == "noise":
            noise = self._noise(master)
        return {
            "method": self.options.combine,
            "rejection": self.options.rejection,
            "noise": noise,
            "precision": self.options.dtype,
        }

    def _balance(self, master: Master, readable: Readable) -> dict[str, Any]:
        """Return what is subtracted from frames, what they are divided by, and their weights."""
        how = self.options
        levels: list[float] = []
        if "level" in (how.scale, how.zero_level, how.weight):
            levels = self._levels(master, readable, lit=False)
        balance: dict[str, Any] = {"weights": self._weights(master, levels)}
        if how.zero_level == "level":
            balance["zeros"] = [own - levels[0] for own in levels]
        if how.scale != "none":
            own = self._of_frames(how.scale, master, levels)
            balance["scales"] = [one / own[0] for one in own]
        return balance

    def _weights(self, master: Master, levels: Sequence[float]) -> list[float]:
        weight = self.options.weight
        return [] if weight == "none" else self._of_frames(weight, master, levels)

    def _of_frames(self, how: str, master: Master, levels: Sequence[float]) -> list[float]:
        """Return the level, or the exposure time, of each frame; all must be positive."""
        found: list[float] = []
        errors = []
        for number, one in enumerate(master.inputs):
            own = levels[number] if how == "level" else one.frame.facts.exptime_s or 0.0
            found.append(own)
            if not own > 0:
                text = f"its {how} is {own:g}, by which frames cannot be scaled or weighted"
                errors.append(FrameError(one.frame.path, text))
        if errors:
            raise FramesError(tuple(errors))
        return found

    def _noise(self, master: Master) -> Noise:
        """Return what gain and read noise predict: of an average amplifier."""
        from daskred.kernels.noise import noise_terms  # few runs need it

        first = master.inputs[0]
        how = first.frame.readout
        terms = [noise_terms(one, how) for one in how.amplifiers]
        floor, slope = np.mean(terms, axis=0).tolist()
        if master.kind == "bias":
            return floor, 0.0, 0.0
        if master.kind == "flat" or how.is_above_bias:
            return floor, slope, 0.0
        if first.correction.zero is None:
            text = "has neither overscan nor bias, without which nobody knows its signal: --reject"
            errors = [
                FrameError(one.frame.path, f"{text} noise cannot be") for one in master.inputs
            ]
            raise FramesError(tuple(errors))
        planes = read_images(self.files(Correction(bias=first.correction.zero)).bias or "")
        return floor, slope, float(np.nanmedian(np.concatenate([p.reshape(-1) for p in planes])))

    def flat(self, master: Master) -> Combined:
        """Return what flats over their levels combine to, and its own level.

        Raises
        ------
        FramesError
            Naming flats that have no light, are saturated or cannot be read.
        """
        with self._readable(master) as readable:
            return self._flat(master, readable)

    def _flat(self, master: Master, readable: Readable) -> Combined:
        frames = readable.frames
        corrections = [one.correction for one in master.inputs]
        ways = list(dict.fromkeys(corrections))
        files = [self.files(way) for way in ways]
        options: dict[str, Any] = {
            "which": [ways.index(correction) for correction in corrections],
            "levels": self._levels(master, readable),
            "precision": self._precision(frames[0]),
        }
        function: Callable[..., Tiles] = median_flat_tile
        if not self.options.plain_median:
            function = combined_flat_tile
            weights = self._weights(master, options["levels"])
            options = {**self._ways(master, readable), **options, "weights": weights}

        def darks(number: int) -> list[Planes]:
            return [DarkBands(files, number, frames[0].images[number].shape)]

        combined = self._combined(master, readable, function, darks, options)
        try:
            own = Level(
                self._own_level(master, combined.rasters),
                self._amplifier_levels(master, combined.rasters),
            )
            return replace(combined, level=own, levels=tuple(options["levels"]))
        except BaseException:
            combined.remove()
            raise

    def _combined(
        self,
        master: Master,
        readable: Readable,
        function: Callable[..., Tiles],
        planes_of: Callable[[int], Sequence[Planes]],
        options: dict[str, Any],
    ) -> Combined:
        """Combine all images of frames; what else an image needs comes by its number."""
        frames = readable.frames
        weights = tuple(options.get("weights", ()))
        combined = Combined([], Level(), [0] * len(frames), weights=weights)
        try:
            for number, image in enumerate(frames[0].images):
                stack, planes = FrameStack(frames, number), planes_of(number)
                if not self.options.plain_median:
                    options = {**options, "limits": _limits(readable, number)}
                rasters, sums = self._image(master, image, function, stack, planes, options)
                combined.rasters.append(rasters[0])
                if len(rasters) > 1:
                    combined.counts.append(rasters[1:])
                for place, own in enumerate(sums):
                    combined.sums[place] = (combined.sums[place] + own) % 2**64
            for place, facts in readable.prepared.items():
                combined.sums[place] = facts.sum
        except BaseException:
            combined.remove()
            raise
        return combined

    def _image(
        self,
        master: Master,
        image: Image,
        function: Callable[..., Tiles],
        stack: FrameStack,
        planes: Sequence[Planes],
        options: dict[str, Any],
    ) -> tuple[list[Raster], list[int]]:
        """Make one image of a master, band by band."""
        n_frames = len(master.inputs)
        row_bytes = n_frames * stack.dtype.itemsize * image.shape[1]
        row_bytes += sum(one.shape[0] * one.dtype.itemsize * image.shape[1] for one in planes)
        n_rows = rows_per_tile(row_bytes, image.shape[0], self.tile_bytes, self.executor.n_parts)
        n_rows = min(self.options.tile_rows or n_rows, image.shape[0])
        dtype = options.get("precision", self.options.dtype)
        kinds = [dtype] if self.options.plain_median else [dtype, "uint16", "uint16"]
        rasters = [Raster.create(self.folder, image.shape, kind) for kind in kinds]
        sums = [0] * n_frames
        self.progress.begin(f"{master.name} of {n_frames} frames", image.shape[0], "rows")
        try:
            tasks = tile_tasks(function, stack, planes, n_rows, rasters, **options)
            for _, (n_done, own) in self.executor.run(tasks):
                sums = [total + part for total, part in zip(sums, own, strict=True)]
                self.progress.advance(n_done)
        except BaseException:
            for raster in rasters:
                raster.remove()
            raise
        finally:
            self.progress.end()
        return rasters, sums

    def _own_level(self, master: Master, rasters: Sequence[Raster]) -> float:
        """Return the level of a master flat, over all its images."""
        method = self.options.normalize
        step = sampling_step(sum(one.shape[0] * one.shape[1] for one in rasters), method)
        own = level(np.concatenate([one.every(step).reshape(-1) for one in rasters]), method)
        return _positive(own, master)

    def _amplifier_levels(
        self, master: Master, rasters: Sequence[Raster]
    ) -> tuple[tuple[int, Section, float], ...]:
        """Return the level of each amplifier, where that is wanted."""
        if not self.options.normalize_amplifiers:
            return ()
        levels = []
        for one in master.inputs[0].frame.readout.amplifiers:
            pixels = rasters[one.target].every(1)[one.place.slices]
            own = level(pixels.reshape(-1), self.options.normalize)
            levels.append((one.target, one.place, _positive(own, master)))
        return tuple(levels)

    def _precision(self, frame: Frame) -> str:
        """Return what the quotients of flats are rounded to before their median.

        Where the product is rounded to float32 anyway, sooner is as good, since rounding keeps the
        order; but the level of the master must not move by it. On few pixels it could, and the
        most frequent value does.
        """
        n_pixels = sum(image.n_pixels for image in frame.images)
        sound = self.options.normalize != "exact-mode" and n_pixels >= 2**16
        return self.options.dtype if sound else "float64"

    def _levels(self, master: Master, readable: Readable, lit: bool = True) -> list[float]:
        """Measure the level of each frame; of flats, which are lit, name dark and full ones."""
        frames = readable.frames
        by_way: dict[Correction, list[tuple[int, Frame, float]]] = {}
        for number, (one, frame) in enumerate(zip(master.inputs, frames, strict=True)):
            flat = (number, frame, _saturation(frame, number in readable.prepared))
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
                        facts = readable.prepared.get(number)
                        reason = found.reason if isinstance(found, FrameError) else ""
                        if lit:
                            reason = _fault(found, facts.saturated if facts else 0.0)
                        if isinstance(found, FrameError) or reason:
                            errors.append(FrameError(master.inputs[number].frame.path, reason))
                        else:
                            levels[number] = found[0]
                    self.progress.advance(len(measured))
        finally:
            self.progress.end()
        if errors:
            raise FramesError(tuple(errors))
        return levels


def _limits(readable: Readable, number: int) -> list[float]:
    """Return the level at which each frame's so-many-th image is saturated."""
    return [
        _saturation(frame, place in readable.prepared, number)
        for place, frame in enumerate(readable.frames)
    ]


def _positive(own: float, master: Master) -> float:
    """Return a level that a master can be divided by; name its frames where it cannot."""
    if not own > 0:
        text = f"{master.name} cannot be normalised: its level is {own:g}"
        raise FramesError(tuple(FrameError(one.frame.path, text) for one in master.inputs))
    return own


def _fault(measured: tuple[float, float] | FrameError, before: float) -> str:
    """Return why a flat is none, or nothing; before it was prepared, a part was saturated."""
    if isinstance(measured, FrameError):
        return measured.reason
    own, saturated = measured[0], max(measured[1], before)
    if not own > 0:
        return f"has no light: its level less the dark is {own:g} ADU"
    if saturated > MAX_SATURATED:
        return f"is saturated: {saturated:.0%} of its pixels are"
    return ""
