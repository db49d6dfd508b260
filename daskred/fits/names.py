"""How names of FITS files end: plain, packed whole, or tile-compressed."""

from __future__ import annotations

import re

_PATTERN = re.compile(r"(\.(?:fits|fit|fts))(\.gz|\.fz|\.bz2|\.xz|\.z|\.zip)?$", re.IGNORECASE)


def split_name(name: str) -> tuple[str, str, str] | None:
    """Return what stands before the end of a name, that of FITS, and that of packing.

    None for what is not named as a FITS file.

    Examples
    --------
    >>> split_name("m31/a-1.FIT"), split_name("b24.fits.gz"), split_name("notes.txt")
    (('m31/a-1', '.FIT', ''), ('b24', '.fits', '.gz'), None)
    """
    match = _PATTERN.search(name)
    return (name[: match.start()], match[1], match[2] or "") if match else None
