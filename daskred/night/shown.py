"""A night in a few lines: a row for each group of frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daskred.model.frame import KINDS, Frame
from daskred.model.plan import shape_text
from daskred.model.shown import few
from daskred.model.text import first_and_last, visible

if TYPE_CHECKING:
    from daskred.night.open import Night

_WIDTH = 30  # letters of a name


@dataclass(frozen=True)
class Group:
    """Frames of one kind, exposure time, filter and layout, in the order of their names."""

    frames: tuple[Frame, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """How many, kind, exposure time, filter, shape, and first and last name."""
        first = self.frames[0]
        exptime_s = first.facts.exptime_s
        return (
            str(len(self.frames)),
            first.kind,
            "" if exptime_s is None else f"{exptime_s:g} s",
            visible(first.facts.filter or ""),
            shape_text(first.layout),
            visible(first_and_last([frame.name for frame in self.frames], _WIDTH)),
        )


def groups_of(frames: Iterable[Frame]) -> list[Group]:
    """Return frames in groups, ordered by kind."""
    groups: dict[object, list[Frame]] = {}
    for frame in frames:
        facts = frame.facts
        alike = frame.kind, facts.exptime_s, facts.filter, frame.layout
        groups.setdefault(alike, []).append(frame)
    found = [Group(tuple(group)) for group in groups.values()]
    return sorted(found, key=lambda group: KINDS.index(group.frames[0].kind))


def heading_of(night: Night) -> str:
    """Return what a night is, in one line."""
    where = ", ".join(map(visible, night.sources)) or "nowhere"
    failed = sum(entry.failed for entry in night.left_out)
    others = len(night.left_out) - failed
    text = f"Night of {len(night.raw)} raw frames in {where}"
    text += f"; {failed} cannot be used" if failed else ""
    return text + (f"; {others} are none" if others else "")


def night_text(night: Night) -> str:
    """Return a night as a table of text."""
    rows = [group.cells for group in groups_of(night.raw)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    lines = []
    for count, *others in rows:
        cells = [
            count.rjust(widths[0]),
            *(c.ljust(w) for c, w in zip(others, widths[1:], strict=True)),
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join([heading_of(night), *few(lines, "groups")])
