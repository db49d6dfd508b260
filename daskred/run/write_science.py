"""Calibrate and write the science frames that are not there, as one mapped graph a group."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from daskred.arrays.frames import TASK_PIXELS, frame_tasks, frames_in
from daskred.arrays.written import WriteJob, calibrate_jobs, place_frames, write_jobs
from daskred.engine.executor import Executor
from daskred.engine.progress import Progress
from daskred.model.errors import FrameError, FramesError
from daskred.model.plan import Science
from daskred.model.receipt import Receipt
from daskred.options import Options
from daskred.products.names import packed_name
from daskred.products.provenance import check_own
from daskred.run.files import calibration_files
from daskred.run.ledger import Ledger
from daskred.steps.step import Recipe


@dataclass(frozen=True)
class ScienceMaker:
    """Calibrates and writes science frames.

    Parameters
    ----------
    out
        The folder of products.
    options
        How.
    executor
        Where.
    ledger, progress
        Who is told.
    guard
        A file that is there as long as the run is.
    failures
        Why frames turned out to be unusable, by their paths.
    """

    out: Path
    options: Options
    executor: Executor
    ledger: Ledger
    progress: Progress
    guard: Path
    failures: dict[str, FrameError] = field(default_factory=dict)

    def make(self, science: Sequence[Science], raw: Collection[str]) -> tuple[Receipt, ...]:
        """Make the calibrated frames that are not there.

        Parameters
        ----------
        science
            The frames, in the order in which their receipts are wanted.
        raw
            Files of the night, which are never written over.

        Raises
        ------
        FramesError
            Naming the frames that cannot be used, when all others are done.
        """
        receipts: dict[str, Receipt] = {}
        groups: dict[Hashable, list[WriteJob]] = {}
        errors: list[FrameError] = []
        for item in science:
            try:
                found = self._job(item, raw)
            except FrameError as error:
                reason = error.reason
                if error.path != item.frame.path:
                    reason = f"its product {self._product(item)} {reason}"
                errors.append(FrameError(item.frame.path, reason))
                continue
            if isinstance(found, Receipt):
                receipts[found.product] = found
            else:
                dtypes = tuple(image.dtype for image in item.frame.images)
                alike = (item.correction, item.frame.layout, dtypes, item.frame.readout)
                groups.setdefault(alike, []).append(found)
        for result in self._calibrated(list(groups.values())):
            if isinstance(result, FrameError):
                errors.append(result)
                self.failures[result.path] = result  # whatever else may stop the run
            else:
                receipts[result.product] = self.ledger.add(result)
        if errors:
            raise FramesError(tuple(errors))
        return tuple(receipts[self._product(item)] for item in science)

    def _product(self, item: Science) -> str:
        return packed_name(item.product, self.options.compress)

    def _job(self, item: Science, raw: Collection[str]) -> WriteJob | Receipt:
        """Return what is to be written of a frame, or the receipt of what is there.

        Raises
        ------
        FrameError
            When something else stands in the place of the product, or the frame is gone.
        """
        product = self._product(item)
        target = self.out / product
        check_own(target, raw)
        if receipt := self.ledger.look_up(product):
            return receipt
        target.parent.mkdir(parents=True, exist_ok=True)
        recipe = Recipe(item.frame.readout, item.correction, self.options)
        key = self.ledger.expected(product).key
        return WriteJob(item.frame, target, product, recipe, key, self.guard, item.beside)

    def _calibrated(self, groups: Sequence[Sequence[WriteJob]]) -> Iterator[Receipt | FrameError]:
        """Calibrate frames; yield what became of each, as they are done."""
        if not groups:
            return
        self.progress.begin("Science frames", sum(map(len, groups)), "frames")
        try:
            for jobs in groups:
                frames = [job.frame for job in jobs]
                try:
                    masters = calibration_files(
                        self.out,
                        jobs[0].recipe.correction,
                        self.options.wants_noise,
                        frames[0].readout.is_above_bias,
                    )
                except FrameError as error:
                    for frame in frames:
                        yield FrameError(frame.path, f"its master {error}")
                    continue
                tasks = frame_tasks(
                    "science",
                    jobs,
                    [frame.path for frame in frames],
                    frames_in(TASK_PIXELS, frames, self.executor.n_parts),
                    partial(calibrate_jobs, masters=masters),
                    write_jobs,
                )
                for _, results in self.executor.run(tasks):
                    yield from place_frames(results, sync=self.options.sync)
                    self.progress.advance(len(results))
        finally:
            self.progress.end()
