"""What a run did, as its caller gets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskred.model.plan import LeftOut, Plan
from daskred.model.receipt import Receipt
from daskred.model.shown import Shown, Tree, few, tree_text
from daskred.model.text import visible


@dataclass(frozen=True, repr=False)
class Summary(Shown):
    """What a run did.

    Parameters
    ----------
    out
        The folder of products.
    plan
        The plan that was carried out, without the frames that failed on the way.
    masters, science
        A receipt for each product.
    seconds
        How long it took.
    named
        What is worth a look: frames that stand out, raw files that have changed since they were
        written.
    address
        Where the products lie, where that is not the folder.

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name + "/night", shape=(16, 16), n_darks=3, n_flats=2)
    >>> summary = daskred.reduce_night(folder.name + "/night", folder.name + "/out")
    >>> summary.to_dict()["science"]
    {'made': 60, 'was there': 0, 'failed': 0}
    >>> folder.cleanup()
    """

    out: Path
    plan: Plan
    masters: tuple[Receipt, ...]
    science: tuple[Receipt, ...]
    seconds: float
    named: tuple[str, ...] = ()
    address: str = ""

    @property
    def failed(self) -> tuple[LeftOut, ...]:
        """The frames that are missing from the products."""
        return tuple(entry for entry in self.plan.left_out if entry.failed)

    def to_dict(self) -> dict[str, Any]:
        """Return what became of the night as plain data, ready for JSON."""
        return {
            "out": self.address or str(self.out),
            "seconds": round(self.seconds, 3),
            "masters": _counted(self.masters),
            "science": {**_counted(self.science), "failed": self._n_science_failed},
            "bytes": sum(r.n_bytes for r in (*self.masters, *self.science) if r.made),
            "products": [
                {"product": r.product, "outcome": "made" if r.made else "was there"}
                for r in (*self.masters, *self.science)
            ],
            "failed": [{"name": entry.name, "reason": entry.reason} for entry in self.failed],
            "warnings": [*self.plan.warnings, *self.named],
        }

    @property
    def _n_science_failed(self) -> int:
        kinds = {frame.path: frame.kind for frame in self.plan.frames}
        return sum(kinds.get(entry.path) == "science" for entry in self.failed)

    def __repr__(self) -> str:
        return tree_text(self.tree)

    @property
    def tree(self) -> Tree:
        """What was made, and what was not."""
        made = sum(receipt.made for receipt in self.science)
        there = len(self.science) - made
        below = [Tree(_told(master)) for master in self.masters]
        below.append(Tree(f"{made} science frames calibrated, {there} were there already"))
        failed = [f"failed: {visible(f'{entry.name}: {entry.reason}')}" for entry in self.failed]
        below += map(Tree, few(failed, "frames failed"))
        below += [Tree(f"worth a look: {visible(text)}") for text in few(self.named, "remarks")]
        return Tree(
            f"Reduced into {visible(self.address or str(self.out))} in {self.seconds:.1f} s",
            tuple(below),
        )


def _counted(receipts: Sequence[Receipt]) -> dict[str, int]:
    made = sum(receipt.made for receipt in receipts)
    return {"made": made, "was there": len(receipts) - made}


def _told(master: Receipt) -> str:
    """Say of how many frames a master is; of another program's nobody may know."""
    there = "" if master.made else " (was there)"
    return f"{visible(master.product)} of {master.n_inputs or '?'} frames{there}"
