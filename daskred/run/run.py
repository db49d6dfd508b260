"""The work of one run: what stands already, the masters, then the science frames."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daskred.arrays.frames import (
    TASK_PIXELS,
    WriteJob,
    calibrate_jobs,
    frame_tasks,
    frames_in,
    this_worker,
    write_jobs,
)
from daskred.arrays.masterfiles import MasterFiles
from daskred.arrays.sources import check_unchanged
from daskred.engine.executor import Executor
from daskred.engine.progress import Progress
from daskred.model.errors import FrameError, FramesError, RequestError
from daskred.model.plan import MASTERS_FOLDER, Correction, Master, Plan, Science
from daskred.model.receipt import Receipt
from daskred.options import Options
from daskred.products.expected import (
    Expected,
    changed_ns,
    expected_products,
    is_standing,
    masters_of,
)
from daskred.products.extensions import Plane
from daskred.products.log import RunLog
from daskred.products.names import master_path, packed_name
from daskred.products.provenance import check_own, content_of, read_content
from daskred.products.write import write_master
from daskred.run.files import files_of, terms_of
from daskred.run.masters import Combined, Combiner
from daskred.steps.step import Recipe

if TYPE_CHECKING:
    from daskred.arrays.noise import MasterNoise


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
    log
        Told what became of each product.
    tile_bytes
        How large a tile of a master may be.
    guard
        A file that is there as long as this run is.
    """

    def __init__(
        self,
        out: Path,
        options: Options,
        executor: Executor,
        progress: Progress,
        log: RunLog,
        tile_bytes: int,
        guard: Path,
    ) -> None:
        self._out = out
        self._guard = guard
        self._combiner = Combiner(
            out / MASTERS_FOLDER, options, executor, progress, tile_bytes, self._files
        )
        self._options = options
        self._executor = executor
        self._progress = progress
        self._log = log
        self._expected: dict[str, Expected] = {}
        self._standing: dict[tuple[str, str], Receipt] = {}
        self._raw: set[str] = set()
        self._failures: dict[str, FrameError] = {}

    def carry_out(self, plan: Plan) -> tuple[tuple[Receipt, ...], tuple[Receipt, ...]]:
        """Make what is missing; return receipts of masters and of science frames.

        Raises
        ------
        FrameError, FramesError
            When frames cannot be used after all; the plan must be made again without them.
        OSError
            When a product cannot be written.
        """
        self._raw = {frame.path for frame in plan.frames} | {entry.path for entry in plan.left_out}
        self._expected = {one.product: one for one in expected_products(plan, self._options)}
        for master in plan.masters:
            try:
                check_own(self._out / master.product)
            except FrameError as error:
                raise RequestError(str(error)) from error
        masters = tuple(self._master(master) for master in plan.masters)
        science = () if self._options.masters_only else self._science(plan.science)
        return masters, science

    @property
    def standing(self) -> Collection[Receipt]:
        """The products that stand by now."""
        return self._standing.values()

    @property
    def failures(self) -> Collection[FrameError]:
        """Why science frames turned out to be unusable."""
        return self._failures.values()

    def _note(self, receipt: Receipt, expected: Expected) -> Receipt:
        """Remember what stands, and tell the log once."""
        if (receipt.product, expected.key) not in self._standing:
            self._standing[(receipt.product, expected.key)] = receipt
            self._log.product(receipt, expected.key, [member.name for member in expected.inputs])
        return receipt

    # What is done already

    def _done(self, expected: Expected) -> Receipt | None:
        """Return the receipt of a product that need not be made again, or None."""
        if standing := self._standing.get((expected.product, expected.key)):
            return standing
        if self._options.overwrite or not is_standing(expected, self._out):
            return None
        path = self._out / expected.product
        if path.stat().st_mtime_ns < changed_ns(expected, self._out):
            os.utime(path)  # what was read to compare it need not be read again next time
        n_bytes = path.stat().st_size
        receipt = Receipt(
            expected.product, expected.source, len(expected.inputs), False, -1, n_bytes
        )
        return self._note(receipt, expected)

    def _files(self, correction: Correction, above_bias: bool = False) -> MasterFiles:
        zero = correction.zero or correction.bias or correction.dark
        masters = masters_of(correction.masters, [correction], self._options.uncertainty)
        return replace(
            files_of(self._out, correction),
            zero=None if above_bias or zero is None else str(master_path(self._out, zero)),
            zero_terms=() if above_bias else terms_of(self._out, correction.zero_terms),
            contents=self._contents(masters),
        )

    def _contents(self, masters: Sequence[str]) -> tuple[str, ...]:
        """Return for each master the digest of what it was made from."""
        return tuple(read_content(master_path(self._out, name)) for name in masters)

    # Masters

    def _master(self, master: Master) -> Receipt:
        """Make one master, unless it stands."""
        options = self._options
        expected = self._expected[master.product]
        frames = [member.frame for member in master.inputs]
        if done := self._done(expected):
            return done
        start = time.monotonic()
        combined = self._combiner.combine(master)
        content = content_of(combined.sums, self._contents(expected.masters))
        bad: list[int] = []
        target = self._out / master.product
        images = range(len(combined.rasters))
        try:
            for frame in frames:
                check_unchanged(frame)
            pixels = [combined.bands(number, options.dtype, bad.append) for number in images]
            planes = self._planes(master, combined)
            n_nan = write_master(target, master, options, pixels, planes, expected.key, content)
        finally:
            combined.remove()
        if master.kind == "flat" and any(bad):
            self._progress.say(
                f"{master.name}: {sum(bad)} pixels are zero or negative;"
                " the science frames have no value (NaN) there"
            )
        receipt = Receipt(
            master.product,
            master.name,
            len(frames),
            made=True,
            n_nan=n_nan,
            n_bytes=target.stat().st_size,
            seconds=time.monotonic() - start,
            worker=this_worker(),
        )
        return self._note(receipt, expected)

    def _planes(self, master: Master, combined: Combined) -> list[Plane]:
        """Return what stands beside the pixels of a master."""
        options = self._options
        if not (options.mask or options.uncertainty or options.counts):
            return []
        # Few runs need them, and they take a while.
        from daskred.run.extensions import count_planes, mask_plane, uncertainty_plane

        noise = self._noise(master, combined) if options.uncertainty else None
        planes: list[Plane] = []
        for number, raster in enumerate(combined.rasters):
            if options.mask:
                planes.append(mask_plane(raster, number))
            if noise:
                planes.append(uncertainty_plane(combined, number, noise))
            if options.counts:
                planes += count_planes(combined.counts[number], number)
        return planes

    def _noise(self, master: Master, combined: Combined) -> MasterNoise:
        from daskred.arrays.noise import MasterNoise

        first = master.inputs[0]
        zero = Correction(bias=first.correction.zero)
        above = first.frame.readout.is_above_bias or zero.bias is None
        return MasterNoise(
            readout=first.frame.readout,
            method=self._options.combine,
            zero=None if above else self._files(zero),
            levels=combined.levels,
            level=combined.level,
            weights=combined.weights,
            dark=self._files(first.correction) if master.kind == "flat" else None,
        )

    # Science

    def _science(self, items: Sequence[Science]) -> tuple[Receipt, ...]:
        """Calibrate and write the science frames that are not done, as one mapped graph a group."""
        receipts: dict[str, Receipt] = {}
        groups: dict[Hashable, list[WriteJob]] = {}
        errors = []
        for item in items:
            product = packed_name(item.product, self._options.compress)
            expected = self._expected[product]
            try:
                check_own(self._out / product, self._raw)
                done = self._done(expected)
            except FrameError as error:
                reason = error.reason
                if error.path != item.frame.path:
                    reason = f"its product {product} {reason}"
                errors.append(FrameError(item.frame.path, reason))
                continue
            if done:
                receipts[product] = done
                continue
            target = self._out / product
            target.parent.mkdir(parents=True, exist_ok=True)
            recipe = Recipe(item.frame.readout, item.correction, self._options)
            job = WriteJob(item.frame, target, product, recipe, expected.key, self._guard)
            dtypes = tuple(image.dtype for image in item.frame.images)
            alike = (item.correction, item.frame.layout, dtypes, item.frame.readout)
            groups.setdefault(alike, []).append(job)
        n_todo = sum(map(len, groups.values()))
        if n_todo:
            self._progress.begin("Science frames", n_todo, "frames")
        try:
            for jobs in groups.values():
                for found in self._calibrate(jobs):
                    if isinstance(found, FrameError):
                        errors.append(found)
                        self._failures[found.path] = found  # whatever else may stop the run
                    else:
                        receipts[found.product] = found
        finally:
            if n_todo:
                self._progress.end()
        if errors:
            raise FramesError(tuple(errors))
        return tuple(receipts[packed_name(item.product, self._options.compress)] for item in items)

    def _calibrate(self, jobs: Sequence[WriteJob]) -> Iterator[Receipt | FrameError]:
        """Calibrate frames of one group; yield what became of each, as they are done."""
        frames = [job.frame for job in jobs]
        masters = self._files(jobs[0].recipe.correction, frames[0].readout.is_above_bias)
        tasks = frame_tasks(
            "science",
            jobs,
            [frame.path for frame in frames],
            frames_in(TASK_PIXELS, frames, self._executor.n_parts),
            partial(calibrate_jobs, masters=masters),
            write_jobs,
        )
        for task, results in self._executor.run(tasks):
            for job, found in zip(task.items, results, strict=True):
                if not isinstance(found, FrameError):
                    self._note(found, self._expected[job.product])
                yield found
            self._progress.advance(len(results))
