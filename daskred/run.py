"""The work of one run: what stands already, the masters, then the science frames."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from daskred.blocks import block_tasks, frames_per_task
from daskred.combine import Combiner
from daskred.combined import Combined, master_bands
from daskred.correction import MasterFiles
from daskred.errors import FrameError, FramesError, RequestError
from daskred.execute import Executor
from daskred.options import Options
from daskred.plan import MASTERS_FOLDER, Correction, Master, Plan, Science
from daskred.planes import Plane
from daskred.products import write_master
from daskred.progress import Progress
from daskred.provenance import check_own, content_of, read_content
from daskred.runlog import RunLog
from daskred.standing import (
    Expected,
    changed_ns,
    expected_products,
    files_of,
    is_standing,
    master_path,
    terms_of,
    with_zeros,
)
from daskred.tasks import Receipt, WriteJob, calibrate_frames, check_unchanged, this_worker

if TYPE_CHECKING:
    from daskred.masterplanes import MasterNoise


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
        self._raw = {one.path for one in plan.frames} | {one.path for one in plan.left_out}
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
            self._log.product(receipt, expected.key, [one.name for one in expected.inputs])
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
        uncertain = self._options.extras.uncertainty
        masters = with_zeros(correction.masters, [correction], uncertain)
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
        is_flat = master.kind == "flat"
        expected = self._expected[master.product]
        frames = [one.frame for one in master.inputs]
        if done := self._done(expected):
            return done
        start = time.monotonic()
        combined = self._combiner.flat(master) if is_flat else self._combiner.plain(master)
        content = content_of(combined.sums, self._contents(expected.masters))
        bad: list[int] = []
        target = self._out / master.product
        try:
            for frame in frames:
                check_unchanged(frame)
            n_nan = write_master(
                target,
                master,
                [
                    master_bands(one, number, options.dtype, combined.level, bad.append)
                    for number, one in enumerate(combined.rasters)
                ],
                expected.key,
                content,
                options.normalize if is_flat else None,
                options.processed_by,
                _combining(options),
                self._planes(master, combined),
            )
        finally:
            combined.remove()
        if is_flat and any(bad):
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
        extras = self._options.extras
        if not (extras.mask or extras.uncertainty or self._options.counts):
            return []
        # Few runs need them, and they take a while.
        from daskred.masterplanes import count_planes, mask_plane, uncertainty_plane

        noise = self._noise(master, combined) if extras.uncertainty else None
        planes: list[Plane] = []
        for number, raster in enumerate(combined.rasters):
            if extras.mask:
                planes.append(mask_plane(raster, number))
            if noise:
                used = combined.counts[number][0]
                planes.append(uncertainty_plane(raster, used, number, noise))
            if self._options.counts:
                planes += count_planes(combined.counts[number], number)
        return planes

    def _noise(self, master: Master, combined: Combined) -> MasterNoise:
        from daskred.masterplanes import MasterNoise

        first = master.inputs[0]
        zero = Correction(bias=first.correction.zero)
        is_flat = master.kind == "flat"
        above = first.frame.readout.is_above_bias or zero.bias is None
        return MasterNoise(
            how=first.frame.readout,
            method=self._options.combine,
            zero=None if above else self._files(zero),
            levels=combined.levels,
            level=combined.level,
            weights=combined.weights,
            dark=self._files(first.correction) if is_flat else None,
        )

    # Science

    def _science(self, items: Sequence[Science]) -> tuple[Receipt, ...]:
        """Calibrate and write the science frames that are not done, as one mapped graph a group."""
        receipts: dict[str, Receipt] = {}
        groups: dict[Hashable, list[WriteJob]] = {}
        errors = []
        for item in items:
            product = self._options.product(item.product)
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
            job = WriteJob(item.frame, target, product, item.correction, expected.key, self._guard)
            dtypes = tuple(image.dtype for image in item.frame.images)
            how = item.frame.preparation
            groups.setdefault((item.correction, item.frame.layout, dtypes, how), []).append(job)
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
        return tuple(receipts[self._options.product(item.product)] for item in items)

    def _calibrate(self, jobs: Sequence[WriteJob]) -> Iterator[Receipt | FrameError]:
        """Calibrate frames of one group; yield what became of each, as they are done."""
        frames = [job.frame for job in jobs]
        tasks = block_tasks(
            calibrate_frames,
            jobs,
            [frame.path for frame in frames],
            frames_per_task(frames, self._executor.n_parts),
            files=self._files(jobs[0].correction, frames[0].readout.is_above_bias),
            dtype=self._options.dtype,
            processed_by=self._options.processed_by,
            extras=self._options.extras,
            packing=self._options.compress,
        )
        for task, results in self._executor.run(tasks):
            for job, found in zip(task.items, results, strict=True):
                if not isinstance(found, FrameError):
                    self._note(found, self._expected[job.product])
                yield found
            self._progress.advance(len(results))


def _combining(options: Options) -> list[str]:
    """Return in words how frames are combined, and what is left out before."""
    how = options.rejection
    if options.combine == "clipped-mean" and how.method == "none":
        how = replace(how, method="sigma")
    if how.method == "none":
        return [options.combine]
    text = f"{how.method} low={how.low:g} high={how.high:g}"
    if how.method == "sigma":
        text += f" {how.centre} {how.scale}"
    return [options.combine, text]
