"""Nights, plans and runs as HTML, for notebooks: tables, trees, and small pictures."""

from __future__ import annotations

from functools import singledispatch
from html import escape
from typing import Any

from daskred.fits.remote import is_remote
from daskred.model.errors import FrameError
from daskred.model.plan import Plan
from daskred.model.shown import Tree
from daskred.night.open import Night
from daskred.night.shown import Group, groups_of, heading_of
from daskred.report.thumbnails import address_of, grey, small_pixels
from daskred.run.summary import Summary

_SIDE = 96  # pixels of a picture
_MOST_GROUPS = 40
_TITLES = ("", "frames", "kind", "time", "filter", "shape", "names")


@singledispatch
def html_of(shown: Any) -> str:
    """Return HTML of a night, a plan, or what a run did."""
    return f"<pre>{escape(repr(shown))}</pre>"


@html_of.register
def _(shown: Night) -> str:
    groups = groups_of(shown.raw)
    head = "".join(f"<th>{title}</th>" for title in _TITLES)
    rows = [_row(group) for group in groups[:_MOST_GROUPS]]
    if len(groups) > _MOST_GROUPS:
        rows.append(f"<tr><td></td><td>... and {len(groups) - _MOST_GROUPS} more groups</td></tr>")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<div><p>{escape(heading_of(shown))}</p>{table}</div>"


@html_of.register(Plan)
@html_of.register(Summary)
def _(shown: Plan | Summary) -> str:
    return f"<ul>{_branch(shown.tree)}</ul>"


def _row(group: Group) -> str:
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in group.cells)
    return f"<tr><td>{_picture(group)}</td>{cells}</tr>"


def _picture(group: Group) -> str:
    """Return the frame in the middle of a group; nothing where it cannot be read, or is far."""
    frame = group.frames[len(group.frames) // 2]
    if is_remote(frame.path):
        return ""
    try:
        small = small_pixels(frame.path, frame.images, _SIDE)
    except FrameError:
        return ""
    address = address_of(grey(small, stretched=frame.kind != "flat"), _SIDE)
    return f'<img src="{address}" alt="{escape(frame.name)}" title="{escape(frame.name)}">'


def _branch(tree: Tree) -> str:
    below = f"<ul>{''.join(map(_branch, tree.below))}</ul>" if tree.below else ""
    return f"<li>{escape(tree.text)}{below}</li>"
