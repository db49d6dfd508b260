"""Text of others, as names of files and values of headers, made safe to show, and short."""

from __future__ import annotations

from collections.abc import Sequence


def visible(text: str) -> str:
    r"""Return text whose control characters are written out, so that no terminal obeys them.

    Examples
    --------
    >>> print(visible("M31\x1b[2J\n.fits"))
    M31\x1b[2J\n.fits
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )


def and_more(names: Sequence[str]) -> str:
    """Return the first of some names, and how many others there are.

    Examples
    --------
    >>> and_more(["a.fits"]), and_more(["a.fits", "b.fits", "c.fits"])
    ('a.fits', 'a.fits and 2 more')
    """
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]
