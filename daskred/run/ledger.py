"""The products of one run: what is wanted, what is there already, what was made."""

from __future__ import annotations

import os
from collections.abc import Collection

from daskred.model.plan import Plan
from daskred.model.receipt import Receipt
from daskred.options import Options
from daskred.products.expected import Expected, changed_ns, expected_products, is_up_to_date
from daskred.products.log import RunLog
from daskred.products.places import Place


class Ledger:
    """Keeps a receipt of each product that is there, and tells the log of each once.

    Parameters
    ----------
    products
        Where they go.
    options
        How they are made.
    log
        The log of the run.
    """

    def __init__(self, products: Place, options: Options, log: RunLog) -> None:
        self._products, self._options, self._log = products, options, log
        self._out = products.folder
        self._expected: dict[str, Expected] = {}
        self._receipts: dict[tuple[str, str], Receipt] = {}

    def expect(self, plan: Plan) -> None:
        """Take note of what a plan wants."""
        self._expected = {
            expected.product: expected for expected in expected_products(plan, self._options)
        }

    def expected(self, product: str) -> Expected:
        """Return what is known of a product that is wanted."""
        return self._expected[product]

    @property
    def receipts(self) -> Collection[Receipt]:
        """Of all products that are there by now."""
        return self._receipts.values()

    def add(self, receipt: Receipt) -> Receipt:
        """Take note of a product that is there."""
        expected = self._expected[receipt.product]
        if (receipt.product, expected.key) not in self._receipts:
            self._receipts[(receipt.product, expected.key)] = receipt
            self._log.product(receipt, expected.key, [frame.name for frame in expected.inputs])
            self._products.put(receipt.product)
        return receipt

    def look_up(self, product: str) -> Receipt | None:
        """Return the receipt of a product that need not be made, or None.

        Raises
        ------
        FrameError
            When an input of it cannot be read.
        """
        expected = self._expected[product]
        if receipt := self._receipts.get((product, expected.key)):
            return receipt
        if self._options.overwrite or not is_up_to_date(expected, self._out):
            return None
        path = self._out / product
        if path.stat().st_mtime_ns < changed_ns(expected, self._out):
            os.utime(path)  # what was read to compare it need not be read again next time
        n_bytes, n_inputs = path.stat().st_size, len(expected.inputs)
        return self.add(Receipt(product, expected.source, n_inputs, False, -1, n_bytes))
