"""Coordinates of pixels that were taken from a larger image: cut out, binned, turned.

World coordinates are those of the FITS papers (Greisen and Calabretta 2002, Calabretta and Greisen
2002, A&A 395, 1061 and 1077) with SIP's polynomials (Shupe et al. 2005); physical ones those that
IRAF and DS9 know (LTV, LTM); and colour sensors have a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from daskred.fits.header import Header, format_card, keyword_of

_NUMBERS = int, float
_REFERENCE_PIXEL = re.compile(r"CRPIX([12])[A-Z]?")
_PHYSICAL = re.compile(r"LTV([12])()|LTM([12])_([12])")
_MATRIX = re.compile(r"(CD|PC)[12]_([12])[A-Z]?")
_WORLD = re.compile(r"(?:CTYPE|CRVAL|CRPIX|CDELT)([12])([A-Z]?)")
_SCALE = re.compile(r"CDELT([12])([A-Z]?)")
_SIP = re.compile(r"(A|B|AP|BP)_(\d)_(\d)")
_TABLES = re.compile(r"(CPDIS|CQDIS|D2IMDIS|D2IMARR)[12][A-Z]?")
# By how much the colour pattern begins before an image, columns and rows.
_BAYER = {("XBAYROFF", "BAYOFFX"): 1, ("YBAYROFF", "BAYOFFY"): 2}
_BAYER_PATTERNS = re.compile(r"BAYERPAT|COLORTYP|CFAPAT|[XY]BAYROFF|BAYOFFX|BAYOFFY")


@dataclass(frozen=True)
class Grid:
    """Which pixels of an axis, columns or rows, an image has.

    Parameters
    ----------
    first
        The place of its first pixel, from 0; between two pixels where several were binned.
    step
        How far it is to the next one; negative where the axis was turned.
    """

    first: float
    step: float

    def of(self, pixel: float) -> float:
        """Return where a pixel of the larger image, counted from 1, lies in this one."""
        return (pixel - 1 - self.first) / self.step + 1


WHOLE = Grid(0.0, 1.0)


def grid_of(places: Sequence[float]) -> Grid | None:
    """Return the grid that pixels at some places make; None where they are no regular one.

    Examples
    --------
    >>> grid_of([0.5, 2.5, 4.5]), grid_of([7, 6, 5]), grid_of([0, 1, 3])
    (Grid(first=0.5, step=2.0), Grid(first=7.0, step=-1.0), None)
    """
    known = np.asarray(places, "f8")
    if not known.size or not np.isfinite(known).all():
        return None
    step = float(known[1] - known[0]) if known.size > 1 else 1.0
    regular = known[0] + step * np.arange(known.size)
    is_grid = step != 0 and np.allclose(known, regular, rtol=0, atol=1e-6 * abs(step))
    return Grid(float(known[0]), step) if is_grid else None


def has_tables(header: Header) -> bool:
    """Whether the distortion of coordinates stands in tables for each pixel, which are not cut."""
    return any(_TABLES.fullmatch(keyword) for keyword in header.keywords)


def regridded(header: Header, columns: Grid, rows: Grid) -> Header:
    """Return the header of an image that has some columns and rows of a larger one.

    Examples
    --------
    >>> header = Header((format_card("CRPIX1", 10.0), format_card("CD1_1", 0.1)))
    >>> half = regridded(header, Grid(0.5, 2.0), WHOLE)
    >>> half.get("CRPIX1"), half.get("CD1_1")
    (5.25, 0.2)
    """
    grids = {1: columns, 2: rows}
    if columns == rows == WHOLE:
        return header
    values: dict[str, float] = {}
    for keyword in header.keywords:
        value = header.get(keyword)
        if isinstance(value, _NUMBERS) and not isinstance(value, bool):
            values |= _moved(keyword, value, grids, header)
    values = {keyword: v for keyword, v in values.items() if v != header.get(keyword)}
    cards = [
        card
        for entry in header.entries
        for card in _with_value(entry, keyword_of(entry[0]), values, header)
    ]
    cards += _added(header, grids)
    return _with_pattern(Header(tuple(cards)), grids)


def _moved(keyword: str, value: float, grids: dict[int, Grid], header: Header) -> dict[str, float]:
    """Return what becomes of a card that tells of coordinates; nothing for others."""
    if match := _REFERENCE_PIXEL.fullmatch(keyword):
        return {keyword: grids[int(match[1])].of(value)}
    if match := _PHYSICAL.fullmatch(keyword):
        if match[1]:
            return {keyword: grids[int(match[1])].of(value)}
        return {keyword: value / grids[int(match[3])].step}
    if match := _MATRIX.fullmatch(keyword):
        return {keyword: value * grids[int(match[2])].step}
    if match := _SCALE.fullmatch(keyword):
        has_matrix = any(
            f"{name}{i}_{j}{match[2]}" in header
            for name in ("CD", "PC")
            for i in "12"
            for j in "12"
        )
        return {} if has_matrix else {keyword: value * grids[int(match[1])].step}
    if match := _SIP.fullmatch(keyword):
        across, down = grids[1].step, grids[2].step
        along = across if match[1].startswith("A") else down
        return {keyword: value * across ** int(match[2]) * down ** int(match[3]) / along}
    return {}


def _with_value(
    entry: tuple[str, ...], keyword: str, values: dict[str, float], header: Header
) -> Iterable[str]:
    if keyword not in values:
        return entry
    return [format_card(keyword, float(values[keyword]), header.comment(keyword))]


def _added(header: Header, grids: dict[int, Grid]) -> list[str]:
    """Return cards that headers leave out where nothing was cut, binned or turned yet."""
    cards = []
    # What headers leave out has a usual value: the reference pixel 0, scales of 1.
    letters = {match[2] for keyword in header.keywords if (match := _WORLD.fullmatch(keyword))}
    for axis, grid in grids.items():
        if f"LTV{axis}" not in header:
            text = f"to physical coordinates, axis {axis}"
            cards.append(format_card(f"LTV{axis}", grid.of(0.0), text))
        if f"LTM{axis}_{axis}" not in header:
            cards.append(format_card(f"LTM{axis}_{axis}", 1 / grid.step, f"pixels of axis {axis}"))
        for letter in sorted(letters):
            if f"CRPIX{axis}{letter}" not in header:
                cards.append(format_card(f"CRPIX{axis}{letter}", grid.of(0.0), "reference pixel"))
            if _has_matrix(header, "CD", letter):
                continue
            name = f"CDELT{axis}{letter}"
            if _has_matrix(header, "PC", letter):
                name = f"PC{axis}_{axis}{letter}"
            if name not in header:
                cards.append(format_card(name, grid.step, f"scale of axis {axis}"))
    return cards


def _has_matrix(header: Header, name: str, letter: str) -> bool:
    return any(f"{name}{i}_{j}{letter}" in header for i in "12" for j in "12")


def _with_pattern(header: Header, grids: dict[int, Grid]) -> Header:
    """Return the header with the place where the pattern of colours begins, if any is left."""
    if not any(_BAYER_PATTERNS.fullmatch(keyword) for keyword in header.keywords):
        return header
    # Every other pixel the other way round has the same colours.
    if any(not grid.first.is_integer() or grid.step % 2 != 1 for grid in grids.values()):
        return header.without(lambda keyword: bool(_BAYER_PATTERNS.fullmatch(keyword)))
    for cards, axis in _BAYER.items():
        if not grids[axis].first % 2:
            continue
        for keyword in [card for card in cards if card in header] or cards[:1]:
            before = header.get(keyword, 0)
            place = int(before) if isinstance(before, _NUMBERS) else 0
            place = (place + int(grids[axis].first)) % 2
            card = format_card(keyword, place, "pixels before the pattern begins")
            header = header.without(keyword.__eq__).plus([card])
    return header
