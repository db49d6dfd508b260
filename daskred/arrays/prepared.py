"""A frame whose detector is prepared: its amplifiers pass their steps, band by band.

The file is longer than others: one class holds the rows that its methods read once for all.

What a step needs of the whole frame, as a curve through all levels of an overscan, is small, and is
known from one look at the frame before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.looks import Look, look_at, side_by_side
from daskred.arrays.oddities import Kept, keep_raw, piles_of, wrapped_in
from daskred.fits.checksum import sum_of_rows
from daskred.fits.pixels import band_rows, read_rows, reads_whole
from daskred.kernels.flat import mark_saturated
from daskred.kernels.overscan import fit_levels, row_levels
from daskred.kernels.scratch import scratch
from daskred.model.errors import FrameError
from daskred.model.frame import Frame, Image
from daskred.model.plan import Correction
from daskred.model.readout import Amplifier, Overscan
from daskred.steps import steps_of
from daskred.steps.step import Part, Recipe

if TYPE_CHECKING:
    from daskred.options import Options

Piece = tuple[int, NDArray[Any], NDArray[np.bool_] | None]


class PreparedSource:
    """A frame whose amplifiers pass the steps that reach one amplifier, band by band.

    Its raw pixels are not those of the products, so that masters need not be what plain medians
    of the lab are: saturated pixels have no value there.

    Parameters
    ----------
    frame
        The frame.
    options
        How it is reduced; they tell the precision.
    look
        What is known of it; it is looked at where this is None.
    """

    saturated_are_nan = True

    def __init__(self, frame: Frame, options: Options, look: Look | None = None) -> None:
        self._frame, self._readout = frame, frame.readout
        self._dtype = options.dtype
        self._recipe = Recipe(frame.readout, Correction(), options)
        self._steps = steps_of(self._recipe, "amplifier")
        self._given_look = look
        self._levels: dict[int, NDArray[np.float64]] = {}
        self._whole: dict[int, NDArray[Any]] = {}
        self._held: dict[int, tuple[int, int]] = {}  # which rows of raw images are in memory
        self._sums: dict[tuple[int, int], int] = {}
        self.shapes = frame.readout.shapes
        self._limits = [amplifier.saturation_adu for amplifier in frame.readout.amplifiers]
        self._keep: Kept | None = None
        self._oddities = {"wrapped": 0, "clipped": 0.0}

    @cached_property
    def _look(self) -> Look:
        return self._given_look or look_at(self._frame)

    @property
    def raw_sum(self) -> int:
        """The sum of all raw pixels; of those that were read, where the frame needs no look."""
        if self._readout.needs_look:
            return self._look.raw_sum
        return sum(self._sums.values()) % 2**64

    @property
    def oddities(self) -> Mapping[str, float]:
        """How many raw pixels have wrapped, and where they pile up; see `CHECKS`."""
        if self._readout.needs_look:
            return {**self._oddities, "wrapped": float(self._look.n_wrapped)}
        return self._oddities

    def _look_for_piles(self, number: int) -> None:
        """Take pile-ups for saturation, where no card tells it of the amplifiers of an image."""
        for place, image in enumerate(self._frame.images):
            of_image = [
                which
                for which, amplifier in enumerate(self._readout.amplifiers)
                if (amplifier.image, amplifier.target) == (place, number)
                and amplifier.saturation_adu == image.largest
            ]
            sections = [self._readout.amplifiers[which].data for which in of_image]
            if not sections or image.largest is None:
                continue
            piles = piles_of(self._frame.path, image, sections)
            for which, pile in zip(of_image, piles, strict=True):
                if pile:
                    self._limits[which] = self._oddities["clipped"] = pile

    @property
    def n_pixels(self) -> int:
        """How many pixels amplifiers read."""
        places = [amplifier.place.shape for amplifier in self._readout.amplifiers]
        return sum(rows * columns for rows, columns in places)

    def bands(
        self,
        number: int,
        saturated: bool,
        every: int = 1,
        piles: bool = False,
        keep: Kept | None = None,
    ) -> Iterator[Piece]:
        """Yield the bands of an image, or every so many of its rows."""
        self._keep = keep
        if piles:
            self._look_for_piles(number)
        height, width = self.shapes[number]
        n_rows = band_rows((height, width)) * every
        for start in range(0, height, n_rows):
            shape = (-(-min(n_rows, height - start) // every), width)
            pixels = scratch("prepared band", shape, self._dtype)
            full = scratch("saturated band", shape, "?")
            self.read(number, start, pixels, full, every)
            yield start, pixels, full

    def read(
        self,
        number: int,
        start: int,
        pixels: NDArray[Any],
        saturated: NDArray[np.bool_],
        every: int = 1,
    ) -> None:
        """Write rows of an image, from a start, and where they are saturated.

        Pixels that no amplifier reads are NaN.

        Parameters
        ----------
        number
            Which image.
        start
            The first row.
        pixels, saturated
            As many rows as are wanted; overwritten.
        every
            Of all rows, so many are gone on by for the next.

        Raises
        ------
        FrameError
            When they cannot be read, or lie above a linearity table.
        """
        amplifiers = [
            (which, amplifier)
            for which, amplifier in enumerate(self._readout.amplifiers)
            if amplifier.target == number
        ]
        if self.n_pixels < sum(rows * columns for rows, columns in self.shapes):
            pixels[...] = np.nan
            saturated[...] = False
        n_rows = band_rows(self.shapes[number])
        try:
            for first in range(0, len(pixels), n_rows):
                band = slice(first, first + n_rows)
                row = start + first * every
                self._held.clear()  # other sources of this thread use the same memory
                for which, amplifier in amplifiers:
                    self._read_part(which, amplifier, row, pixels[band], saturated[band], every)
                if every == 1 and not self._readout.needs_look:
                    self._add_up(number, row, row + len(pixels[band]))
        except ValueError as error:
            raise FrameError(self._frame.path, str(error)) from error

    def _add_up(self, number: int, start: int, stop: int) -> None:
        """Add the raw pixels of some rows to their sum, while they are in the cache."""
        image = self._frame.images[number]
        first_row = sum(other.shape[0] for other in self._frame.images[:number])
        raw = self._rows(image, start, stop)
        self._sums[number, start] = sum_of_rows(raw, first_row + start)
        self._oddities["wrapped"] += wrapped_in(raw)

    def _read_part(
        self,
        which: int,
        amplifier: Amplifier,
        start: int,
        pixels: NDArray[Any],
        saturated: NDArray[np.bool_],
        every: int,
    ) -> None:
        """Write every so many rows of one amplifier, from a start, at their place."""
        place = amplifier.place
        # Which of the wanted rows the amplifier has.
        first = max(-(-(place.rows[0] - start) // every), 0)
        last = min(-(-(place.rows[1] - start) // every), len(pixels))
        if first >= last:
            return
        top = start + first * every - place.rows[0]
        rows = range(top, top + (last - first - 1) * every + 1)
        across = slice(None, None, -1 if place.flips[1] else 1)
        where = slice(first, last), slice(*place.columns)
        in_place = pixels[where][:, across]
        part = self._part(which, amplifier, rows, every, in_place)
        for step in self._steps:
            step.work(part, self._recipe)
        if part.signal is not in_place:
            in_place[...] = part.signal
        saturated[where] = part.saturated[:, across]

    def _part(
        self, which: int, amplifier: Amplifier, rows: range, every: int, out: NDArray[Any]
    ) -> Part:
        """Read rows of an amplifier, as they come out, counted from the first at its place.

        They are worked on where they come out, where that is exact; or else in float64.
        """
        height = amplifier.data.shape[0]
        taken = slice(None, None, every)
        start, stop = rows.start, rows.stop
        if amplifier.place.flips[0]:  # what is put in place backwards is read from its other end
            start, stop = height - rows.stop, height - rows.start
            taken = slice(None, None, -every)
        raw = self._raw(amplifier, start, stop)[taken]
        keep_raw(self._keep, which, raw)
        exact = out.dtype == np.float64 or self._is_exact(raw.dtype)
        signal = out if exact else scratch("signal of an amplifier", raw.shape, "f8")
        signal[...] = raw
        return Part(
            amplifier,
            signal,
            self._saturated(which, amplifier, raw, start, stop, taken),
            lambda: self._overscan(which, amplifier, start, stop, taken),
            lambda other: self._neighbour(amplifier, other, start, stop)[taken],
        )

    def _is_exact(self, raw: np.dtype[Any]) -> bool:
        """Whether float32 holds all that comes of raw pixels exactly.

        So it does where whole numbers of 16 bits lose a median of such numbers, and no more.
        """
        overscan = self._readout.overscan
        whole = overscan is None or (overscan.statistic == "median" and overscan.fit == "none")
        plain = {step.name for step in self._steps} <= {"saturation", "overscan", "trim"}
        return whole and plain and raw.kind in "iu" and raw.itemsize <= 2

    def _rows(self, image: Image, start: int, stop: int) -> NDArray[Any]:
        """Return whole rows of a raw image; the same rows are read once for all amplifiers."""
        number = self._frame.images.index(image)
        if reads_whole(self._frame.path, image):
            if number not in self._whole:
                pixels = np.empty(image.shape, image.dtype)
                read_rows(self._frame.path, image, 0, image.shape[0], pixels)
                self._whole[number] = pixels
            return self._whole[number][start:stop]
        name = f"raw rows {number}"
        held = self._held.get(number)
        if held and held[0] <= start and stop <= held[1]:
            rows = scratch(name, (held[1] - held[0], image.shape[1]), image.dtype)
            return rows[start - held[0] : stop - held[0]]
        rows = scratch(name, (stop - start, image.shape[1]), image.dtype)
        read_rows(self._frame.path, image, start, stop, rows)
        self._held[number] = (start, stop)
        return rows

    def _raw(self, amplifier: Amplifier, start: int, stop: int) -> NDArray[Any]:
        """Return the light-sensitive pixels of some rows of an amplifier."""
        top = amplifier.data.rows[0]
        rows = self._rows(self._frame.images[amplifier.image], top + start, top + stop)
        return rows[:, slice(*amplifier.data.columns)]

    def _saturated(
        self,
        which: int,
        amplifier: Amplifier,
        raw: NDArray[Any],
        start: int,
        stop: int,
        taken: slice,
    ) -> NDArray[np.bool_]:
        """Return which pixels of some rows are saturated, or beside saturated ones."""
        full = scratch("saturated part", raw.shape, "?")
        limit = self._limits[which]
        mark_saturated(raw, limit, full)
        reach = min(self._readout.bleed_rows, amplifier.data.shape[0])
        if not reach or limit is None:
            return full
        first, last = max(start - reach, 0), min(stop + reach, amplifier.data.shape[0])
        wide = self._raw(amplifier, first, last) >= limit
        grown = wide.copy()
        for step in range(1, min(reach, len(wide) - 1) + 1):
            grown[step:] |= wide[:-step]
            grown[:-step] |= wide[step:]
        full[...] = grown[start - first : stop - first][taken]
        return full

    def _overscan(
        self, which: int, amplifier: Amplifier, start: int, stop: int, taken: slice
    ) -> NDArray[np.float64]:
        """Return the level of the overscan of some rows, of the columns, or of both."""
        overscan = self._readout.overscan
        if overscan is None:
            return np.zeros((1, 1))
        if not amplifier.beside:
            return self._columns(which, amplifier, overscan)
        if overscan.fit != "none" and (curve := self._look.curves[which]):
            levels = curve.at(start, stop)[taken, np.newaxis]
        else:
            top = amplifier.data.rows[0]
            rows = self._rows(self._frame.images[amplifier.image], top + start, top + stop)
            strip = side_by_side(rows[taken], amplifier.beside)
            levels = row_levels(strip, overscan.statistic)[:, np.newaxis]
        if amplifier.above:
            levels = levels + self._columns(which, amplifier, overscan)
        return levels

    def _columns(self, which: int, amplifier: Amplifier, overscan: Overscan) -> NDArray[np.float64]:
        """Return the level of each column, shape ``(1, x)``, less that of its rows."""
        if which not in self._levels:
            image = self._frame.images[amplifier.image]
            strips = []
            for section in amplifier.above:
                rows = np.empty((section.shape[0], image.shape[1]), image.dtype)
                read_rows(self._frame.path, image, *section.rows, rows)
                strip = rows[:, slice(*amplifier.data.columns)]
                if amplifier.beside:
                    # The corner, which both strips would have, tells what all of its row has.
                    corner = side_by_side(rows, amplifier.beside)
                    strip = strip - row_levels(corner, overscan.statistic)[:, np.newaxis]
                strips.append(strip)
            levels = row_levels(np.concatenate(strips).T, overscan.statistic)
            if overscan.fit != "none":
                levels = fit_levels(levels, overscan).at(0, len(levels))
            self._levels[which] = levels
        return self._levels[which][np.newaxis, :]

    def _neighbour(
        self, amplifier: Amplifier, number: int, start: int, stop: int
    ) -> NDArray[np.float64]:
        """Return the signal of another amplifier, of the pixels that are read at the same time.

        A section written backwards is read backwards.
        """
        other = self._readout.amplifiers[number]
        height = amplifier.data.shape[0]
        turned = amplifier.data.flips[0] != other.data.flips[0]
        rows = (height - stop, height - start) if turned else (start, stop)
        signal = self._raw(other, *rows).astype("f8")
        if other.overscan:
            signal -= self._overscan(number, other, *rows, slice(None))
        across = amplifier.data.flips[1] != other.data.flips[1]
        return _turned(signal, (turned, across))


def _turned(pixels: NDArray[Any], flips: tuple[bool, bool]) -> NDArray[Any]:
    return pixels[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]


def read_frame(
    frame: Frame, options: Options
) -> tuple[list[NDArray[Any]], list[NDArray[np.bool_]], int]:
    """Read a frame whole: its prepared images, where they are saturated, and its raw sum.

    Raises
    ------
    FrameError
        When it cannot be read or prepared.
    """
    source = PreparedSource(frame, options)
    images = [np.empty(shape, options.dtype) for shape in source.shapes]
    saturated = [np.zeros(shape, bool) for shape in source.shapes]
    for number, (pixels, full) in enumerate(zip(images, saturated, strict=True)):
        source.read(number, 0, pixels, full)
    return images, saturated, source.raw_sum
