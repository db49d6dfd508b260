"""Which camera, or which capture program, wrote a frame: told by cards that camera files name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from daskred.cameras.shipped import shipped_cameras, shipped_table
from daskred.fits.header import Header

_Signs = tuple[tuple[str, str], ...]


@cache
def _known() -> tuple[tuple[str, tuple[_Signs, ...]], ...]:
    """Return the signs of each camera; those of instruments before those of programs.

    A camera whose name continues that of another, as sbig-st7 that of sbig, is asked before it.
    """
    tables = [(name, shipped_table(name)) for name in reversed(shipped_cameras())]
    tables.sort(key=lambda pair: bool(pair[1].get("program")))
    return tuple(
        (name, tuple(_signs(signs) for signs in table.get("recognise", ())))
        for name, table in tables
    )


def _signs(table: dict[str, object]) -> _Signs:
    return tuple((card.upper(), str(pattern)) for card, pattern in table.items())


def recognise(headers: Sequence[Header]) -> tuple[str, str] | None:
    """Return the camera that wrote a frame, and the cards that tell it; None for no known one.

    Parameters
    ----------
    headers
        Those of the frame that tell of the exposure.

    Examples
    --------
    >>> from daskred.fits.header import format_card
    >>> recognise([Header((format_card("INSTRUME", "ZWO ASI294MM Pro"),))])
    ('zwo', "INSTRUME = 'ZWO ASI294MM Pro'")
    """
    for name, alternatives in _known():
        for signs in alternatives:
            if told := _told(signs, headers):
                return name, told
    return None


def _told(signs: _Signs, headers: Sequence[Header]) -> str:
    """Return the cards that signs are found in, or nothing where one is not."""
    found = []
    for card, pattern in signs:
        values = (value for header in headers for value in header.values(card))
        # Few cards are there, so that few patterns are compiled.
        found_in = (v for v in values if v is not None and re.search(pattern, str(v), re.I))
        value = next(found_in, None)
        if value is None:
            return ""
        found.append(f"{card} = {value!r}")
    return " and ".join(found)
