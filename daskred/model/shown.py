"""What shows itself: short as text, and in notebooks as HTML, which `daskred.report` draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

_MOST_LINES = 24


class Shown:
    """Something that a notebook shows: as text in its own words, with pictures where it can."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        html_of: Any = import_module("daskred.report.notebook").html_of
        text: str = html_of(self)
        return text


@dataclass(frozen=True, slots=True)
class Tree:
    """A text, and what belongs below it."""

    text: str
    below: tuple[Tree, ...] = ()


def tree_text(tree: Tree) -> str:
    """Return a tree as lines of text.

    Examples
    --------
    >>> print(tree_text(Tree("flat", (Tree("61 flats"), Tree("dark", (Tree("61 darks"),))))))
    flat
    ├─ 61 flats
    └─ dark
       └─ 61 darks
    """
    return "\n".join(_lines(tree))


def _lines(tree: Tree) -> list[str]:
    lines = [tree.text]
    for number, child in enumerate(tree.below, start=1):
        first, *others = _lines(child)
        is_last = number == len(tree.below)
        lines.append(f"{'└─' if is_last else '├─'} {first}")
        lines += [f"{'   ' if is_last else '│  '}{line}" for line in others]
    return lines


def few(lines: Sequence[str], what: str) -> list[str]:
    """Return lines, no more than fit into a screen, and how many others there are.

    Examples
    --------
    >>> few([str(n) for n in range(30)], "groups")[-2:]
    ['22', '... and 7 more groups']
    """
    if len(lines) <= _MOST_LINES:
        return list(lines)
    n_shown = _MOST_LINES - 1
    return [*lines[:n_shown], f"... and {len(lines) - n_shown} more {what}"]
