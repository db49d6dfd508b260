"""The masters of a night as a report shows them: of what, how, and what has changed in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daskred.measure.changes import changes_between
from daskred.measure.table import Row
from daskred.model.errors import FrameError
from daskred.model.plan import MASTERS_FOLDER
from daskred.products.library import plain_name
from daskred.report.records import Record, relative


@dataclass(frozen=True)
class Master:
    """A master as the page shows it."""

    row: Row
    picture: str
    n_inputs: int
    how: str
    inputs: str
    checks: str
    link: str
    changes: str


def told_by(cards: Mapping[str, str], *names: str) -> str:
    """Return what some cards say, of those that say something."""
    return ", ".join(cards[name] for name in names if name in cards)


def shown_master(
    record: Record, row: Row, cards: Mapping[str, str], picture: str, before: str | Path | None
) -> Master:
    """Return a master as it is shown; beside that of an earlier night, where it is given."""
    name = str(Path(row.path).relative_to(record.out))
    line = record.products[name]
    figures = {key: f"{key} {value:g}" for key, value in line.get("figures", {}).items()}
    inputs = line.get("inputs", [])
    found = f"{inputs[0]} to {inputs[-1]}" if len(inputs) > 1 else "".join(inputs)
    return Master(
        row=row,
        picture=picture,
        n_inputs=int(line.get("n_inputs", 0)),
        how=_how(cards),
        inputs=found,
        checks=", ".join(figures.values()),
        link=relative(Path(row.path), record.out),
        changes=_changes(record, row, before),
    )


def _how(cards: Mapping[str, str]) -> str:
    """Say how a master was combined, and what was subtracted before."""
    how, less = told_by(cards, "COMBINE", "REJECT"), told_by(cards, "ZEROCOR", "DARKCOR")
    return f"{how}; less {less}" if less else how


def _changes(record: Record, row: Row, before: str | Path | None) -> str:
    """Say how a master differs from an earlier one of its kind; nothing where there is none."""
    earlier = _earlier(record, row, before)
    if earlier is None:
        return ""
    try:
        found = changes_between(str(earlier), row.path, "Flat" in row.name)
    except FrameError as error:
        return f"beside {earlier}: {error.reason}"
    return f"beside {os.path.relpath(earlier, record.out)}: {found.text}"


def _earlier(record: Record, row: Row, before: str | Path | None) -> Path | None:
    """Return the last master of a kind before this one: of another folder, or of another night."""
    if before is not None:
        path = Path(before).absolute() / MASTERS_FOLDER / Path(row.path).name
        return path if path.exists() else None
    plain = plain_name(Path(row.path))
    nights = [
        name
        for name in sorted(record.masters)
        if plain_name(Path(name)) == plain and Path(name).stem < row.name
    ]
    return record.out / nights[-1] if nights else None
