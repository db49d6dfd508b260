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


_PLANE = re.compile(r"#(\d+)$")


def file_of(path: str) -> str:
    """Return the file of a path, which may name one exposure of a cube.

    Examples
    --------
    >>> file_of("/n/cube.fits#12"), file_of("/n/a#b.fits")
    ('/n/cube.fits', '/n/a#b.fits')
    """
    return _PLANE.sub("", path)


def plane_of(path: str) -> int | None:
    """Return which exposure of a cube a path names, from 0; None for a whole file.

    Examples
    --------
    >>> plane_of("/n/cube.fits#12"), plane_of("/n/a.fits")
    (11, None)
    """
    match = _PLANE.search(path)
    return int(match[1]) - 1 if match else None


def planes_of(path: str, name: str, number: int) -> list[tuple[str, str]]:
    """Return paths and names of the exposures of a cube.

    Examples
    --------
    >>> planes_of("/n/cube.fits", "cube.fits", 2)
    [('/n/cube.fits#1', 'cube-0001.fits'), ('/n/cube.fits#2', 'cube-0002.fits')]
    """
    stem, suffix, _ = split_name(name) or (name, ".fits", "")
    return [(f"{path}#{n}", f"{stem}-{n:04d}{suffix}") for n in range(1, number + 1)]
