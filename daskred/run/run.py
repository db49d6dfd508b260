"""One run: the masters, then the science frames; again, where the plan changes on the way."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path

from daskred.engine.executor import Executor
from daskred.engine.progress import Progress
from daskred.fits.names import file_of
from daskred.fits.parts import sync_folders
from daskred.model.errors import FrameError, RequestError
from daskred.model.plan import MASTERS_FOLDER, Plan
from daskred.model.receipt import Receipt
from daskred.options import Options
from daskred.products.log import RunLog
from daskred.products.places import Place
from daskred.products.provenance import check_own
from daskred.run.files import calibration_files
from daskred.run.ledger import Ledger
from daskred.run.masters import Combiner
from daskred.run.write_masters import MasterMaker
from daskred.run.write_science import ScienceMaker


class Run:
    """One run into one folder: it knows what it has made, and goes on when the plan changes.

    Parameters
    ----------
    products
        Where products go.
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
        products: Place,
        options: Options,
        executor: Executor,
        progress: Progress,
        log: RunLog,
        tile_bytes: int,
        guard: Path,
    ) -> None:
        out = products.folder
        self._out, self._options = out, options
        self._ledger = Ledger(products, options, log)
        files = partial(calibration_files, out, uncertain=options.uncertainty)
        masters = out / MASTERS_FOLDER
        combiner = Combiner(masters, options, executor, progress, tile_bytes, files, guard)
        self._masters = MasterMaker(out, options, combiner, self._ledger, progress)
        self._science = ScienceMaker(out, options, executor, self._ledger, progress, guard)

    def carry_out(self, plan: Plan) -> tuple[tuple[Receipt, ...], tuple[Receipt, ...]]:
        """Make what is missing; return receipts of masters and of science frames.

        Raises
        ------
        FrameError, FramesError
            When frames cannot be used after all; the plan must be made again without them.
        OSError
            When a product cannot be written.
        """
        paths = [*(frame.path for frame in plan.frames), *(entry.path for entry in plan.left_out)]
        raw = set(map(file_of, paths))
        self._ledger.expect(plan)
        self._check_places(plan)
        masters = self._masters.make(plan.masters)
        if self._options.masters_only:
            return masters, ()
        return masters, self._science.make(plan.science, raw)

    def sync_folders(self) -> None:
        """Make safe from a power cut that there are the folders of products, and those above."""
        products = [self._out / receipt.product for receipt in self.receipts]
        sync_folders({folder for product in products for folder in product.parents})

    def _check_places(self, plan: Plan) -> None:
        """Raise RequestError where a file that is not ours stands in the place of a master."""
        for master in plan.masters:
            try:
                check_own(self._out / master.product)
            except FrameError as error:
                raise RequestError(str(error)) from error

    @property
    def receipts(self) -> Collection[Receipt]:
        """Of the products that are there by now."""
        return self._ledger.receipts

    @property
    def failures(self) -> Collection[FrameError]:
        """Why science frames turned out to be unusable."""
        return self._science.failures.values()
