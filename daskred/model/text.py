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


def cut_in_the_middle(text: str, width: int) -> str:
    """Return a text that is no longer than so many letters: names differ at their ends.

    Examples
    --------
    >>> cut_in_the_middle("ktwo220274129/ktwo220274129-0001.fits", 21)
    'ktwo22027...0001.fits'
    """
    if len(text) <= width:
        return text
    end = (width - 3) // 2
    return f"{text[: width - 3 - end]}...{text[-end:]}" if end > 0 else text[:width]


def first_and_last(names: Sequence[str], width: int) -> str:
    """Return the first and the last of some names, each no longer than so many letters.

    Examples
    --------
    >>> first_and_last(["a.fits", "b.fits", "c.fits"], 80), first_and_last(["a.fits"], 80)
    ('a.fits ... c.fits', 'a.fits')
    """
    ends = dict.fromkeys((names[0], names[-1]))
    return " ... ".join(cut_in_the_middle(name, width) for name in ends)


def and_more(names: Sequence[str]) -> str:
    """Return the first of some names, and how many others there are.

    Examples
    --------
    >>> and_more(["a.fits"]), and_more(["a.fits", "b.fits", "c.fits"])
    ('a.fits', 'a.fits and 2 more')
    """
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]
