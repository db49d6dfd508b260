"""How a detector is read out: sections of images, amplifiers, and what is done to their pixels.

Sections are those of the FITS convention of NOAO and IRAF, ``[x1:x2,y1:y2]``: one-based,
inclusive, x first; a range that runs backwards tells that the axis is flipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, get_args

Statistic = Literal["median", "mean", "clipped-mean"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
Fit = Literal["none", "constant", "legendre", "chebyshev", "spline"]
FITS: tuple[Fit, ...] = get_args(Fit)
PixelUnit = Literal["adu", "electron"]
UNITS: tuple[PixelUnit, ...] = get_args(PixelUnit)

_RANGE = r"\s*(\d+)\s*:\s*(\d+)\s*"
_STARRED = re.compile(r"\s*\[([^,]+),([^,]+)\]\s*")
_SECTION = re.compile(rf"\s*\[{_RANGE},{_RANGE}\]\s*")


@dataclass(frozen=True)
class Section:
    """A rectangle of pixels, zero-based, its ends excluded.

    Parameters
    ----------
    rows, columns
        Start and stop.
    flips
        Whether y, and x, run backwards.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    flips: tuple[bool, bool] = (False, False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    @property
    def slices(self) -> tuple[slice, slice]:
        """What indexes an image."""
        return slice(*self.rows), slice(*self.columns)

    def moved(self, down: int, right: int) -> Section:
        """Return the same section so many rows further down, and columns further right."""
        (top, bottom), (left, end) = self.rows, self.columns
        return Section((top + down, bottom + down), (left + right, end + right), self.flips)

    def fits_into(self, shape: tuple[int, int]) -> bool:
        """Whether an image of a shape has all its pixels."""
        return self.rows[1] <= shape[0] and self.columns[1] <= shape[1]

    def lies_beside(self, other: Section) -> bool:
        """Whether a section has all the rows of another."""
        return self.rows[0] <= other.rows[0] and other.rows[1] <= self.rows[1]

    def lies_above(self, other: Section) -> bool:
        """Whether a section has all the columns of another, be it above or below."""
        return self.columns[0] <= other.columns[0] and other.columns[1] <= self.columns[1]

    def overlaps(self, other: Section) -> bool:
        """Whether two sections share a pixel."""
        return all(
            first[0] < second[1] and second[0] < first[1]
            for first, second in ((self.rows, other.rows), (self.columns, other.columns))
        )

    def __str__(self) -> str:
        """Return the section as FITS headers have it."""
        ranges = []
        for (start, stop), flip in ((self.columns, self.flips[1]), (self.rows, self.flips[0])):
            first, last = start + 1, stop
            ranges.append(f"{last}:{first}" if flip else f"{first}:{last}")
        return f"[{','.join(ranges)}]"


def whole(shape: tuple[int, int]) -> Section:
    """Return the section that is all of an image."""
    return Section((0, shape[0]), (0, shape[1]))


def parse_section(text: str, shape: tuple[int, int] | None = None) -> Section | None:
    """Return the section that a text tells, or None where it tells none.

    An asterisk, as IRAF has it, is all of an axis, where a shape is given.

    Examples
    --------
    >>> parse_section("[   4:  13,   1: 520]").shape
    (520, 10)
    >>> str(parse_section("[1025:2048,3072:2049]")), parse_section("UNKNOWN")
    ('[1025:2048,3072:2049]', None)
    """
    if shape is not None and (starred := _STARRED.fullmatch(text)):
        ranges = [
            axis if "*" not in axis else f"1:{length}"
            for axis, length in zip(starred.groups(), (shape[1], shape[0]), strict=True)
        ]
        text = f"[{','.join(ranges)}]"
    match = _SECTION.fullmatch(text)
    if not match:
        return None
    x1, x2, y1, y2 = map(int, match.groups())
    if min(x1, x2, y1, y2) < 1:
        return None
    return Section(
        (min(y1, y2) - 1, max(y1, y2)), (min(x1, x2) - 1, max(x1, x2)), (y1 > y2, x1 > x2)
    )


@dataclass(frozen=True)
class Overscan:
    """How the level of an overscan is measured.

    Parameters
    ----------
    statistic
        Of the pixels of each row, or column: median, mean or clipped mean.
    fit
        What is fitted to these levels along the strip: none takes them as they are.
    order
        Degree of a polynomial; for a spline how closely it follows, 1 for the noise of the levels.
    reject_sigma
        Levels further away from the fit are not used; 0 uses all.
    """

    statistic: Statistic = "median"
    fit: Fit = "none"
    order: int = 1
    reject_sigma: float = 3.0


@dataclass(frozen=True)
class Amplifier:
    """What one amplifier reads out.

    Parameters
    ----------
    name
        For messages and tables.
    image
        Which image of the file holds it.
    data
        Its light-sensitive pixels in that image.
    overscan
        Strips beside or above them, at either end.
    target, place
        Which of the prepared images it goes to, and where there; flips are made.
    gain_e_per_adu, read_noise_e, saturation_adu
        None where nobody tells them. Saturation is a level of raw pixels.
    linearity
        Coefficients c1, c2, ... of ``c1 * x + c2 * x**2 + ...``, which turns ADU above the bias
        into ADU that are proportional to the light; empty for a linear one.
    linearity_table
        Pairs of measured and linear ADU above the bias, rising, in between straight lines.
    """

    name: str
    image: int
    data: Section
    overscan: tuple[Section, ...]
    target: int
    place: Section
    gain_e_per_adu: float | None = None
    read_noise_e: float | None = None
    saturation_adu: float | None = None
    linearity: tuple[float, ...] = ()
    linearity_table: tuple[tuple[float, float], ...] = ()

    @property
    def title(self) -> str:
        """Its name, as tables and camera files have it."""
        return self.name or "image"

    @property
    def beside(self) -> tuple[Section, ...]:
        """The strips that tell the level of each row."""
        return tuple(strip for strip in self.overscan if strip.lies_beside(self.data))

    @property
    def above(self) -> tuple[Section, ...]:
        """The strips that tell the level of each column, above the pixels or below them."""
        return tuple(strip for strip in self.overscan if not strip.lies_beside(self.data))


@dataclass(frozen=True)
class Readout:
    """What is done to a frame before it is calibrated, amplifier by amplifier.

    Parameters
    ----------
    amplifiers
        All of them.
    names, shapes
        Of the images that come out.
    overscan
        How its level is measured; None leaves it where it is.
    unit
        Of the pixels that come out.
    crosstalk
        What part of each amplifier's signal (columns) every amplifier (rows) shows; empty for
        nothing.
    bleed_rows
        How far along columns the neighbours of saturated pixels count as saturated.
    raw_shapes
        Of the images of the file.
    level_cards
        Cards that tell levels of raw pixels, as that of saturation.
    step_adu
        Raw pixels are whole multiples of it; 0 where they are not rounded.
    """

    amplifiers: tuple[Amplifier, ...]
    names: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    overscan: Overscan | None = field(default_factory=Overscan)
    unit: PixelUnit = "adu"
    crosstalk: tuple[tuple[float, ...], ...] = ()
    bleed_rows: int = 0
    raw_shapes: tuple[tuple[int, int], ...] = ()
    level_cards: tuple[str, ...] = ()
    step_adu: float = 0.0

    @property
    def geometry(self) -> str:
        """The sections in words: what frames of one group must share."""
        return "; ".join(
            f"{amplifier.name or 'image'}: data {amplifier.data}"
            + (f", overscan {' '.join(map(str, amplifier.overscan))}" if amplifier.overscan else "")
            for amplifier in self.amplifiers
        )

    @property
    def is_above_bias(self) -> bool:
        """Whether what comes out is less the bias level, since every amplifier has an overscan."""
        return bool(self.overscan and all(amplifier.overscan for amplifier in self.amplifiers))

    @property
    def is_cut(self) -> bool:
        """Whether pixels of the file are left out."""
        n_kept = sum(
            amplifier.data.shape[0] * amplifier.data.shape[1] for amplifier in self.amplifiers
        )
        return n_kept < sum(rows * columns for rows, columns in self.raw_shapes)

    @property
    def keeps_rows(self) -> bool:
        """Whether each row of each image that comes out is that row of the file's image."""
        same = all(
            amplifier.target == amplifier.image
            and amplifier.data.rows == amplifier.place.rows
            and amplifier.data.rows == (0, self.raw_shapes[amplifier.image][0])
            and not amplifier.place.flips[0]
            for amplifier in self.amplifiers
        )
        images = {amplifier.image for amplifier in self.amplifiers}
        return same and images == set(range(len(self.raw_shapes)))

    @property
    def needs_look(self) -> bool:
        """Whether a frame has to be read once, whole, before bands of its rows can be prepared.

        So it is where a curve goes through the levels of its overscan, and where rows that no band
        has, or that several have, count in the sum of its pixels.
        """
        fitted = self.overscan is not None and self.overscan.fit != "none"
        return fitted or not self.keeps_rows

    @property
    def changes_pixels(self) -> bool:
        """Whether what comes out is not what the file holds."""
        raw_shapes = self.raw_shapes
        plain = all(
            amplifier.data == whole(raw_shapes[amplifier.image])
            and amplifier.target == amplifier.image
            and amplifier.place == amplifier.data
            and not amplifier.linearity
            and not amplifier.linearity_table
            for amplifier in self.amplifiers
        )
        return (
            not plain
            or bool(self.crosstalk)
            or self.bleed_rows > 0
            or self.unit == "electron"
            or self.shapes != raw_shapes
            or any(amplifier.overscan and self.overscan for amplifier in self.amplifiers)
        )
