"""Text of others, as names of files and values of headers, made safe to show."""

from __future__ import annotations


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
