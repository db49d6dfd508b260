"""The work of one run: masters by bands of rows, science frames as one mapped graph a group."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.correction import DarkBands, MasterFiles
from daskred.errors import FrameError, FramesError, RequestError
from daskred.execute import Executor
from daskred.frames import Frame, Image
from daskred.kernels.flat import flat_tile
from daskred.kernels.level import frame_level
from daskred.kernels.median import median_over_frames
from daskred.options import Options
from daskred.plan import MASTERS_FOLDER, Correction, Input, Master, Plan, Science
from daskred.products import check_own, key_of, stands, write_master
from daskred.progress import Progress
from daskred.stack import (
    FrameStack,
    Stack,
    Task,
    block_tasks,
    frames_per_block,
    rows_per_tile,
    tile_tasks,
)
from daskred.tasks import Receipt, WriteJob, calibrate_frames, measure_flats

# A flat with more saturated pixels than this part is none.
MAX_SATURATED = 0.05


def _saturation(frame: Frame) -> float:
    """Return the level at which a frame is saturated, ADU: its header's, or its type's largest."""
    if frame.facts.saturation_adu is not None:
        return frame.facts.saturation_adu
    dtype = frame.images[0].dtype
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else np.inf


def _changed_ns(path: str) -> int:
    """Return when a file last became what it is: also where it was put in the place of another.

    The system's clock tells that, and no camera's.
    """
    try:
        return Path(path).stat().st_ctime_ns
    except OSError as error:
        raise FrameError(path, f"cannot be read any more: {error.strerror}") from error


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
        self._raw: set[str] = set()

    def carry_out(self, plan: Plan) -> tuple[tuple[Receipt, ...], tuple[Receipt, ...]]:
        """Make what is missing; return receipts of masters and of science frames.

        Raises
        ------
        FrameError, FramesError
            When frames cannot be used after all; the plan must be made again without them.
        OSError
            When a product cannot be written.
        """
        self._raw = {one.path for one in plan.frames} | {one.path for one in plan.left_out}
        for master in plan.masters:
            try:
                check_own(self._out / master.product)
            except FrameError as error:
                raise RequestError(str(error)) from error
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
        if not stands(path, key, max(map(_changed_ns, inputs))) or self._options.overwrite:
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
        done = self._done(master.product, key, master.name, len(frames), inputs)
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

    def _tiles(self, tasks: Sequence[Task], title: str, n_rows: int) -> NDArray[np.float64]:
        """Make an image band by band."""
        self._progress.begin(title, n_rows, "rows")
        try:
            return np.concatenate(
                self._executor.run(tasks, lambda tile: self._progress.advance(len(tile)))
            )
        finally:
            self._progress.end()

    def _rows(self, frames: Sequence[Frame], image: Image, itemsize: int) -> int:
        own = rows_per_tile(len(frames), image, itemsize, self._executor.n_parts)
        return min(self._options.tile_rows or own, image.shape[0])

    def _median_images(self, master: Master) -> list[NDArray[np.float64]]:
        frames = [one.frame for one in master.inputs]
        title = f"{master.name} of {len(frames)} frames"
        images = []
        for number, image in enumerate(frames[0].images):
            n_rows = self._rows(frames, image, image.dtype.itemsize)
            tasks = tile_tasks(median_over_frames, [FrameStack(frames, number)], n_rows)
            images.append(self._tiles(tasks, title, image.shape[0]))
        return images

    def _flat_images(self, master: Master) -> list[NDArray[np.float64]]:
        """Scale each flat by its level, take medians, and divide by the level of the result."""
        levels = self._levels(master)
        frames = [one.frame for one in master.inputs]
        ways = list(dict.fromkeys(one.correction for one in master.inputs))
        which = [ways.index(one.correction) for one in master.inputs]
        files = [self._files(way) for way in ways]
        title = f"{master.name} of {len(frames)} frames"
        precision = self._precision(frames[0])
        images = []
        for number, image in enumerate(frames[0].images):
            stacks: list[Stack] = [FrameStack(frames, number)]
            stacks.append(DarkBands(files, number, image.shape))
            n_rows = self._rows(frames, image, 8)
            tasks = tile_tasks(
                flat_tile, stacks, n_rows, which=which, levels=levels, precision=precision
            )
            images.append(self._tiles(tasks, title, image.shape[0]))
        own = frame_level(images, self._options.normalize)
        if not own > 0:
            text = f"{master.name} cannot be normalised: its level is {own:g}"
            raise FramesError(tuple(FrameError(frame.path, text) for frame in frames))
        return [image / own for image in images]

    def _precision(self, frame: Frame) -> str:
        """Return what the quotients of flats are rounded to before their median.

        Where the product is rounded to float32 anyway, sooner is as good, since rounding keeps the
        order; but the level of the master must not move by it. On few pixels it could, and the
        most frequent value does.
        """
        n_pixels = sum(image.n_pixels for image in frame.images)
        sound = self._options.normalize != "exact-mode" and n_pixels >= 2**16
        return self._options.dtype if sound else "float64"

    def _levels(self, master: Master) -> list[float]:
        """Measure the level of each flat; name those without light and the saturated ones."""
        by_way: dict[Correction, list[Input]] = {}
        for one in master.inputs:
            by_way.setdefault(one.correction, []).append(one)
        measured: dict[str, tuple[float, float]] = {}
        self._progress.begin(f"Levels of {master.name}", len(master.inputs), "frames")
        try:
            for way, inputs in by_way.items():
                frames = [one.frame for one in inputs]
                tasks = block_tasks(
                    measure_flats,
                    [(frame, _saturation(frame)) for frame in frames],
                    frames_per_block(frames, self._executor.n_parts),
                    files=self._files(way),
                    method=self._options.normalize,
                )
                blocks = self._executor.run(tasks, lambda b: self._progress.advance(len(b)))
                values = itertools.chain.from_iterable(blocks)
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
        return [measured[one.frame.path][0] for one in master.inputs]

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
                check_own(self._out / item.product, self._raw)
                done = self._done(item.product, key, item.frame.name, 1, sources)
            except FrameError as error:
                reason = error.reason
                if error.path != item.frame.path:
                    reason = f"its product {item.product} {reason}"
                errors.append(FrameError(item.frame.path, reason))
                continue
            if done:
                receipts[item.product] = done
                continue
            target = self._out / item.product
            job = WriteJob(item.frame, target, item.product, item.correction, key)
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

    def _calibrate(self, jobs: Sequence[WriteJob]) -> Iterable[Receipt]:
        frames = [job.frame for job in jobs]
        keys = {job.product: job.key for job in jobs}

        def note(receipts: Sequence[Receipt]) -> None:
            for receipt in receipts:
                self._made[(receipt.product, keys[receipt.product])] = receipt
            self._progress.advance(len(receipts))

        tasks = block_tasks(
            calibrate_frames,
            jobs,
            frames_per_block(frames, self._executor.n_parts),
            files=self._files(jobs[0].correction),
            dtype=self._options.dtype,
            processed_by=self._options.processed_by,
        )
        return itertools.chain.from_iterable(self._executor.run(tasks, note))
