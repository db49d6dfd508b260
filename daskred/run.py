"""The work of one run: masters by bands of rows, science frames as one mapped graph a group."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.correction import DarkBands, MasterFiles, calibrated_stack
from daskred.errors import FrameError, FramesError, RequestError
from daskred.execute import Executor, Workers
from daskred.frames import Frame
from daskred.kernels.level import METHODS, level
from daskred.masters import combined, flat_tile, stack_levels
from daskred.plan import MASTERS_FOLDER, Allowances, Correction, Input, Master, Plan, Science
from daskred.products import key_of, stands, write_calibrated, write_master
from daskred.progress import Progress
from daskred.stack import (
    frames_per_block,
    lazy_array,
    map_frames,
    map_tiles,
    rows_per_tile,
    stack_frames,
    stack_tiles,
)

DTYPES = ("float32", "float64")
# A flat with more saturated pixels than this part is none.
MAX_SATURATED = 0.05


@dataclass(frozen=True)
class Options:
    """How a night is reduced.

    Parameters
    ----------
    normalize
        How levels of flats are measured: ``mode``, ``exact-mode``, ``median`` or ``mean``.
    dtype
        Of the products' pixels: ``float32`` or ``float64``.
    processed_by
        A name for the headers of products.
    allow
        What may be done only on request.
    masters_only
        Make the masters, and calibrate nothing.
    overwrite
        Make anew what is done already.
    tile_rows
        Height of the bands that masters are made in; None for one that fits. Products do not
        depend on it.
    workers
        Where tasks run; None for the scheduler that the user set up, or else threads.
    """

    normalize: str = "mode"
    dtype: str = "float32"
    processed_by: str | None = None
    allow: Allowances = field(default_factory=Allowances)
    masters_only: bool = False
    overwrite: bool = False
    tile_rows: int | None = None
    workers: Workers | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("normalize", self.normalize, tuple(METHODS)),
            ("dtype", self.dtype, DTYPES),
        ):
            if value not in known:
                raise RequestError(f"{name}={value!r}: there are {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one product.

    Parameters
    ----------
    product
        The file, below the folder of products.
    source
        The raw frame, or the master's name.
    n_inputs
        Of how many frames it was made.
    made
        Whether it was made now; False where it was done already.
    n_nan
        Pixels without a value; -1 where it was done already.
    """

    product: str
    source: str
    n_inputs: int
    made: bool
    n_nan: int


@dataclass(frozen=True)
class WriteJob:
    """One calibrated frame to be written."""

    frame: Frame
    target: Path
    product: str
    correction: Correction
    key: str
    processed_by: str | None


def write_block(*blocks: Any) -> NDArray[Any]:
    """Write the calibrated frames of a block; return a receipt for each, and no pixels.

    Parameters
    ----------
    *blocks
        For each image the calibrated pixels ``(frame, y, x)``; at last the jobs, ``(frame,)``.
    """
    *images, jobs = blocks
    receipts = np.empty(len(jobs), object)
    for number, job in enumerate(jobs):
        pixels = [image[number] for image in images]
        n_nan = write_calibrated(
            job.target, job.frame, pixels, job.correction, job.key, job.processed_by
        )
        receipts[number] = Receipt(job.product, job.frame.name, 1, made=True, n_nan=n_nan)
    return receipts


def measure_flats(*blocks: Any, method: str) -> NDArray[Any]:
    """Return level and saturated part of each flat of a block.

    Parameters
    ----------
    *blocks
        For each image its pixels less their dark, ``(frame, y, x)``; for each image its raw
        pixels; at last the level of saturation of each frame, ADU.
    method
        How the level is measured.
    """
    *images, limits = blocks
    dark_subtracted, raw = images[: len(images) // 2], images[len(images) // 2 :]
    measured = np.empty((len(limits)), object)
    levels = stack_levels(*dark_subtracted, method=method)
    for number, limit in enumerate(limits):
        n_saturated = sum(int(np.count_nonzero(image[number] >= limit)) for image in raw)
        measured[number] = levels[number], n_saturated / sum(image[number].size for image in raw)
    return measured


def _saturation(frame: Frame) -> float:
    """Return the level at which a frame is saturated, ADU: its header's, or its type's largest."""
    if frame.facts.saturation_adu is not None:
        return frame.facts.saturation_adu
    dtype = frame.images[0].dtype
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else np.inf


def objects(values: Sequence[Any]) -> NDArray[Any]:
    """Return an array of objects that numpy must not look into."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


class Run:
    """One run into one folder: it knows what it has made, and goes on when the plan changes.

    Parameters
    ----------
    out
        The folder of products.
    options
        How.
    executor
        Where.
    progress
        Told how far it is.
    """

    def __init__(self, out: Path, options: Options, executor: Executor, progress: Progress) -> None:
        self._out = out
        self._options = options
        self._executor = executor
        self._progress = progress
        self._keys: dict[str, str] = {}
        self._made: dict[tuple[str, str], Receipt] = {}

    def carry_out(self, plan: Plan) -> tuple[tuple[Receipt, ...], tuple[Receipt, ...]]:
        """Make what is missing; return receipts of masters and of science frames.

        Raises
        ------
        FrameError, FramesError
            When frames cannot be used after all; the plan must be made again without them.
        OSError
            When a product cannot be written.
        """
        masters = tuple(self._master(master) for master in plan.masters)
        science = () if self._options.masters_only else self._science(plan.science)
        return masters, science

    # What is done already

    def _done(
        self, product: str, key: str, source: str, n_inputs: int, inputs: Sequence[str]
    ) -> Receipt | None:
        """Return the receipt of a product that need not be made again, or None."""
        if made := self._made.get((product, key)):
            return made
        path = self._out / product
        newest = max(Path(source).stat().st_mtime_ns for source in inputs)
        if not stands(path, key, newest) or self._options.overwrite:
            return None
        return Receipt(product, source, n_inputs, made=False, n_nan=-1)

    def _correction_data(self, correction: Correction) -> list[Any]:
        """Return what a key holds of a correction."""
        names = (correction.bias, correction.dark, correction.flat)
        return [[name and (name, self._keys[name]) for name in names], correction.dark_scale]

    def _path(self, name: str) -> str:
        """Return a master's file."""
        return str(self._out / MASTERS_FOLDER / f"{name}.fits")

    def _files(self, correction: Correction) -> MasterFiles:
        bias, dark, flat = (
            self._path(name) if name else None
            for name in (correction.bias, correction.dark, correction.flat)
        )
        return MasterFiles(
            dark=dark,
            bias=bias,
            flat=flat,
            scale=correction.dark_scale,
            keys=tuple(self._keys[name] for name in correction.masters),
        )

    # Masters

    def _master(self, master: Master) -> Receipt:
        """Make one master, unless it stands."""
        options = self._options
        is_flat = master.kind == "flat"
        key = key_of(
            [master.name, master.kind, options.dtype, options.processed_by],
            options.normalize if is_flat else None,
            [
                [one.frame.basename, one.frame.digest, self._correction_data(one.correction)]
                for one in master.inputs
            ],
        )
        self._keys[master.name] = key
        frames = [one.frame for one in master.inputs]
        inputs = [frame.path for frame in frames] + [self._path(name) for name in master.needs]
        try:
            done = self._done(master.product, key, master.name, len(frames), inputs)
        except FrameError as error:
            if error.path != str(self._out / master.product):
                raise
            raise RequestError(str(error)) from error
        if done:
            return done
        images = self._flat_images(master) if is_flat else self._median_images(master)
        pixels = [image.astype(options.dtype) for image in images]
        n_nan = write_master(
            self._out / master.product,
            master,
            pixels,
            key,
            options.normalize if is_flat else None,
            options.processed_by,
        )
        if is_flat and (n_bad := sum(int(np.count_nonzero(one <= 0)) for one in pixels)):
            self._progress.say(
                f"{master.name}: {n_bad} pixels are zero or negative;"
                " the science frames have no value (NaN) there"
            )
        receipt = Receipt(master.product, master.name, len(frames), made=True, n_nan=n_nan)
        self._made[(master.product, key)] = receipt
        return receipt

    def _computed_tiles(self, array: Any, title: str) -> NDArray[Any]:
        """Compute an image band by band."""
        self._progress.begin(title, array.shape[0], "rows")
        try:
            return self._executor.compute(array, lambda tile: self._progress.advance(len(tile)))
        finally:
            self._progress.end()

    def _rows(self, frames: Sequence[Frame], image: int, itemsize: int) -> int:
        one = frames[0].images[image]
        own = rows_per_tile(len(frames), one, itemsize, self._executor.n_parts)
        return min(self._options.tile_rows or own, one.shape[0])

    def _median_images(self, master: Master) -> list[NDArray[Any]]:
        frames = [one.frame for one in master.inputs]
        title = f"{master.name} of {len(frames)} frames"
        images = []
        for number, image in enumerate(frames[0].images):
            n_rows = self._rows(frames, number, image.dtype.itemsize)
            array = combined(stack_tiles(frames, number, n_rows))
            images.append(self._computed_tiles(array, title))
        return images

    def _flat_images(self, master: Master) -> list[NDArray[Any]]:
        """Scale each flat by its level, take medians, and divide by the level of the result."""
        levels = self._levels(master)
        frames = [one.frame for one in master.inputs]
        ways = list(dict.fromkeys(one.correction for one in master.inputs))
        which = np.array([ways.index(one.correction) for one in master.inputs])
        files = [self._files(way) for way in ways]
        title = f"{master.name} of {len(frames)} frames"
        images = []
        for number, image in enumerate(frames[0].images):
            n_rows = self._rows(frames, number, 8)
            darks = lazy_array(
                DarkBands(files, number, image.shape), (len(files), n_rows, image.shape[1])
            )
            tiles = stack_tiles(frames, number, n_rows)
            array = map_tiles(flat_tile, tiles, darks, dtype="f8", which=which, levels=levels)
            images.append(self._computed_tiles(array, title))
        own = level(
            np.concatenate([image.reshape(-1) for image in images]), self._options.normalize
        )
        if not own > 0:
            text = f"{master.name} cannot be normalised: its level is {own:g}"
            raise FramesError(tuple(FrameError(frame.path, text) for frame in frames))
        return [image / own for image in images]

    def _levels(self, master: Master) -> NDArray[np.float64]:
        """Measure the level of each flat; name those without light and the saturated ones."""
        by_way: dict[Correction, list[Input]] = {}
        for one in master.inputs:
            by_way.setdefault(one.correction, []).append(one)
        measured: dict[str, tuple[float, float]] = {}
        self._progress.begin(f"Levels of {master.name}", len(master.inputs), "frames")
        try:
            for way, inputs in by_way.items():
                frames = [one.frame for one in inputs]
                n_per_block = frames_per_block(frames, self._executor.n_parts)
                numbers = range(len(frames[0].images))
                raw = [stack_frames(frames, number, n_per_block) for number in numbers]
                files = self._files(way)
                lit = [calibrated_stack(raw[n], files, n, "float64") for n in numbers]
                limits = np.array([_saturation(frame) for frame in frames])
                array = map_frames(
                    measure_flats,
                    [*lit, *raw],
                    [limits],
                    dtype=object,
                    method=self._options.normalize,
                )
                values = self._executor.compute(array, lambda b: self._progress.advance(len(b)))
                measured |= dict(zip((f.path for f in frames), values, strict=True))
        finally:
            self._progress.end()
        errors = []
        for path, (own, saturated) in measured.items():
            if not own > 0:
                text = f"has no light: its level less the dark is {own:g} ADU"
                errors.append(FrameError(path, text))
            elif saturated > MAX_SATURATED:
                errors.append(FrameError(path, f"is saturated: {saturated:.0%} of its pixels are"))
        if errors:
            raise FramesError(tuple(errors))
        return np.array([measured[one.frame.path][0] for one in master.inputs])

    # Science

    def _science(self, items: Sequence[Science]) -> tuple[Receipt, ...]:
        """Calibrate and write the science frames that are not done, as one mapped graph a group."""
        receipts: dict[str, Receipt] = {}
        groups: dict[Hashable, list[WriteJob]] = {}
        errors = []
        for item in items:
            options = self._options
            key = key_of(
                [item.frame.digest, item.product, options.dtype, options.processed_by],
                self._correction_data(item.correction),
                options.normalize if item.correction.flat else None,
            )
            sources = [item.frame.path, *map(self._path, item.correction.masters)]
            try:
                done = self._done(item.product, key, item.frame.name, 1, sources)
            except FrameError as error:
                errors.append(FrameError(item.frame.path, f"{item.product}: {error.reason}"))
                continue
            except FileNotFoundError:
                errors.append(FrameError(item.frame.path, "vanished while the run went on"))
                continue
            if done:
                receipts[item.product] = done
                continue
            target = self._out / item.product
            job = WriteJob(
                item.frame, target, item.product, item.correction, key, options.processed_by
            )
            dtypes = tuple(image.dtype for image in item.frame.images)
            groups.setdefault((item.correction, item.frame.layout, dtypes), []).append(job)
        if errors:
            raise FramesError(tuple(errors))
        n_todo = sum(map(len, groups.values()))
        if n_todo:
            self._progress.begin("Science frames", n_todo, "frames")
        try:
            for jobs in groups.values():
                for receipt in self._calibrate(jobs):
                    receipts[receipt.product] = receipt
        finally:
            if n_todo:
                self._progress.end()
        return tuple(receipts[item.product] for item in items)

    def _calibrate(self, jobs: Sequence[WriteJob]) -> Sequence[Receipt]:
        frames = [job.frame for job in jobs]
        n_per_block = frames_per_block(frames, self._executor.n_parts)
        files = self._files(jobs[0].correction)
        stacks = [
            calibrated_stack(
                stack_frames(frames, number, n_per_block), files, number, self._options.dtype
            )
            for number in range(len(frames[0].images))
        ]
        keys = {job.product: job.key for job in jobs}

        def note(receipts: Sequence[Receipt]) -> None:
            for receipt in receipts:
                self._made[(receipt.product, keys[receipt.product])] = receipt
            self._progress.advance(len(receipts))

        array = map_frames(write_block, stacks, [objects(jobs)], dtype=object)
        return list(self._executor.compute(array, note))
