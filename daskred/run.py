"""The work of one run: what stands already, the masters, then the science frames."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

from daskred.blocks import block_tasks, frames_per_task
from daskred.combine import Combiner, master_bands
from daskred.correction import MasterFiles
from daskred.errors import FrameError, FramesError, RequestError
from daskred.execute import Executor
from daskred.options import Options
from daskred.plan import MASTERS_FOLDER, Correction, Master, Plan, Science
from daskred.products import check_own, key_of, stands, write_master
from daskred.progress import Progress
from daskred.storage import is_remote
from daskred.tasks import Receipt, WriteJob, calibrate_frames


def _changed_ns(path: str) -> int:
    """Return when a file last became what it is: also where it was put in the place of another.

    The system's clock tells that, and no camera's. Of remote frames the digest tells it.
    """
    if is_remote(path):
        return 0
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
    tile_bytes
        How large a tile of a master may be.
    """

    def __init__(
        self,
        out: Path,
        options: Options,
        executor: Executor,
        progress: Progress,
        tile_bytes: int,
    ) -> None:
        self._out = out
        self._combiner = Combiner(
            out / MASTERS_FOLDER, options, executor, progress, tile_bytes, self._files
        )
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
            written_ns=tuple(
                Path(self._path(name)).stat().st_mtime_ns for name in correction.masters
            ),
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
        rasters, own_level = (
            self._combiner.flat(master) if is_flat else (self._combiner.median(master), 1.0)
        )
        bad: list[int] = []
        try:
            n_nan = write_master(
                self._out / master.product,
                master,
                [master_bands(one, options.dtype, own_level, bad.append) for one in rasters],
                key,
                options.normalize if is_flat else None,
                options.processed_by,
            )
        finally:
            for raster in rasters:
                raster.remove()
        if is_flat and any(bad):
            self._progress.say(
                f"{master.name}: {sum(bad)} pixels are zero or negative;"
                " the science frames have no value (NaN) there"
            )
        receipt = Receipt(master.product, master.name, len(frames), made=True, n_nan=n_nan)
        self._made[(master.product, key)] = receipt
        return receipt

    # Science

    def _science(self, items: Sequence[Science]) -> tuple[Receipt, ...]:
        """Calibrate and write the science frames that are not done, as one mapped graph a group."""
        receipts: dict[str, Receipt] = {}
        groups: dict[Hashable, list[WriteJob]] = {}
        errors = []
        options = self._options
        for item in items:
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
            frames_per_task(frames, self._executor.n_parts),
            files=self._files(jobs[0].correction),
            dtype=self._options.dtype,
            processed_by=self._options.processed_by,
        )
        return itertools.chain.from_iterable(self._executor.run(tasks, note))
