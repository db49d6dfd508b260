"""What the log of a folder of products tells of its last run."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from daskred.fits.names import split_name
from daskred.measure.table import FIGURES, Row
from daskred.model.errors import RequestError
from daskred.model.paths import absolute
from daskred.model.plan import MASTERS_FOLDER, LeftOut
from daskred.products.log import RunLog, read_runs
from daskred.products.names import DARK_MODEL, MASK_FILE
from daskred.products.provenance import is_own
from daskred.run.again import command_again


@dataclass(frozen=True)
class Record:
    """The last run into a folder of products.

    Parameters
    ----------
    out
        The folder.
    request
        What was asked for.
    products
        For each product of it, below the folder, its line of the log: where it was there already,
        that of the run which made it.
    left_out
        Frames that are not used.
    notes
        What the run said that is worth a look.
    outcome
        How it ended.
    time
        When it ended, or began where it did not.
    measured
        Products, with their keys, whose figures the log tells already.
    """

    out: Path
    request: Mapping[str, Any]
    products: Mapping[str, Mapping[str, Any]]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    outcome: str
    time: str
    measured: frozenset[tuple[str, str]] = frozenset()

    @property
    def masters(self) -> list[str]:
        """The masters that were made, below the folder of products."""
        return [name for name in self.products if is_master(name)]

    @property
    def science(self) -> list[str]:
        """The calibrated frames, below the folder of products."""
        return [name for name in self.products if not is_master(name)]

    @property
    def command(self) -> str:
        """The command that repeats the run; empty where nobody can tell it any more."""
        try:
            words = command_again(self.out, self.request)
        except (RequestError, TypeError, KeyError):  # of another version, or the camera is gone
            return ""
        return f"{shlex.join(['cd', self.request['folder']])} && {shlex.join(words)}"


def is_master(product: str) -> bool:
    """Return whether a product, named from its folder, is a master."""
    return product.startswith(f"{MASTERS_FOLDER}/")


def read_record(out: str | Path) -> Record:
    """Read what the log of a folder of products tells of its last run.

    Raises
    ------
    RequestError
        When no run has written there.
    """
    folder = absolute(out)
    lines, starts = read_runs(folder)
    made = {
        line["product"]: line
        for line in lines
        if line["event"] == "product" and line.get("outcome") == "made"
    }
    later = lines[starts[-1] :]
    # Where the same was asked again, earlier runs tell of what they made, and what they saw in it.
    first = next(start for start in reversed(starts) if not lines[start].get("again"))
    notes = [line["text"] for line in later if line["event"] == "warning"]
    notes += [line["text"] for line in lines[first:] if line["event"] == "worth a look"]
    products = {
        line["product"]: made.get(line["product"], line)
        for line in lines[first:]
        if line["event"] == "product"
    }
    products = products or {name: {} for name in _own_products(folder)}
    ends = [line for line in later if line["event"] in ("end", "again")]
    return Record(
        out=folder,
        request=later[0],
        products={name: products[name] for name in sorted(products)},
        left_out=_left_out(later),
        notes=tuple(dict.fromkeys(notes)),
        outcome=ends[-1]["outcome"] if ends else "it has not ended: it was stopped, or goes on",
        time=(ends or later)[-1 if ends else 0]["time"],
        measured=frozenset(
            (line["product"], line["key"]) for line in lines if line["event"] == "numbers"
        ),
    )


def tell_numbers(record: Record, rows: Sequence[Row]) -> None:
    """Add the figures of calibrated frames to the log, once for each; not while a run is at work.

    Parameters
    ----------
    record
        The last run.
    rows
        One for each of its calibrated frames.
    """
    new = []
    for name, row in zip(record.science, rows, strict=True):
        key = str(record.products[name].get("key", ""))
        if not row.error and (name, key) not in record.measured:
            new.append((name, key, row.numbers))
    if not new:
        return
    with contextlib.suppress(RequestError), RunLog(record.out) as log:
        for name, key, numbers in new:
            log.numbers(name, key, {figure: numbers[figure] for figure in FIGURES})


def _own_products(folder: Path) -> list[str]:
    """Return the products that stand in a folder, where a log tells of none; headers are read."""
    names = (p.relative_to(folder) for p in folder.rglob("*") if split_name(p.name))
    beside = (DARK_MODEL, MASK_FILE)
    return [
        name.as_posix()
        for name in names
        if name.name not in beside and not name.name.startswith(".") and is_own(folder / name)
    ]


def _left_out(lines: Sequence[Mapping[str, Any]]) -> tuple[LeftOut, ...]:
    names = ("path", "name", "reason", "failed")
    found = [
        LeftOut(**{name: line[name] for name in names})
        for line in lines
        if line["event"] == "left out" and all(name in line for name in names)
    ]
    return tuple(sorted(found, key=lambda entry: (not entry.failed, entry.name)))


def relative(path: Path, folder: Path) -> str:
    """Return how a page in a folder links to a file."""
    return f"./{quote(Path(os.path.relpath(path, folder)).as_posix(), errors='surrogateescape')}"
