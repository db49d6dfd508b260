"""Where the bands of a frame come from: a file, a file whose detector is prepared, or an array.

A source yields bands of rows ready to be calibrated, and where they are saturated. It is made in
the task that uses it, and read once, from the first image to the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.looks import Look
from daskred.arrays.oddities import Kept, keep_raw, piles_of, wrapped_in
from daskred.arrays.prepared import Piece, PreparedSource
from daskred.fits.checksum import sum_of_rows
from daskred.fits.pixels import band_rows, bands_of
from daskred.fits.storage import state_of
from daskred.kernels.flat import mark_saturated
from daskred.kernels.scratch import scratch
from daskred.model.errors import FrameError
from daskred.model.frame import Frame
from daskred.model.readout import whole

if TYPE_CHECKING:
    from daskred.options import Options


class Source(Protocol):
    """The pixels of a frame, ready to be calibrated."""

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of each image."""

    @property
    def saturated_are_nan(self) -> bool:
        """Whether masters take saturated pixels for pixels without a value."""

    @property
    def n_pixels(self) -> int:
        """How many pixels were read out."""

    @property
    def raw_sum(self) -> int | None:
        """The sum of the raw pixels that were read, see `daskred.fits.pixels.pixel_sum`.

        None for what is no raw frame.
        """

    @property
    def oddities(self) -> Mapping[str, float]:
        """What was found in all raw pixels: ``wrapped`` and ``clipped``; see `CHECKS`."""

    def bands(
        self,
        number: int,
        saturated: bool,
        every: int = 1,
        piles: bool = False,
        keep: Kept | None = None,
    ) -> Iterator[Piece]:
        """Yield first row, pixels and, where that is wanted, saturation of each band of an image.

        All may be in memory that the next band overwrites. Of every so many rows each band begins
        with one. Where no card tells saturation, a pile-up of pixels may
        be looked for (``piles``), which reads the frame twice more. Raw integers of these rows may
        be kept, by amplifiers.
        """


def source_of(frame: Frame, options: Options, look: Look | None = None) -> Source:
    """Return the source of a frame's pixels; what is known of it need not be looked at again."""
    return PreparedSource(frame, options, look) if frame.is_prepared else PlainSource(frame)


class PlainSource:
    """A frame whose pixels are taken as they are, by masters the saturated ones too."""

    saturated_are_nan = False

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.shapes = tuple(image.shape for image in frame.images)
        self._sums = [0] * len(self.shapes)
        self.oddities = {"wrapped": 0.0, "clipped": 0.0}

    @property
    def n_pixels(self) -> int:
        """How many pixels were read out."""
        return sum(rows * columns for rows, columns in self.shapes)

    @property
    def raw_sum(self) -> int:
        """The sum of the raw pixels that were read."""
        return sum(self._sums) % 2**64

    def bands(
        self,
        number: int,
        saturated: bool,
        every: int = 1,
        piles: bool = False,
        keep: Kept | None = None,
    ) -> Iterator[Piece]:
        """Yield the bands of an image, or every so many of its rows."""
        image = self._frame.images[number]
        first = sum(image.shape[0] for image in self._frame.images[:number])
        limit = None
        if saturated:  # where nothing is prepared, one amplifier is all of an image
            amplifiers = self._frame.readout.amplifiers
            (limit,) = (a.saturation_adu for a in amplifiers if a.target == number)
            if piles and limit == image.largest:
                (pile,) = piles_of(self._frame.path, image, [whole(image.shape)])
                self.oddities["clipped"] = pile or self.oddities["clipped"]
                limit = pile or limit
        start = self._sums[number] = 0
        for raw in bands_of(self._frame.path, image, every):
            if every == 1:
                self._sums[number] += sum_of_rows(raw, first + start)
                self.oddities["wrapped"] += wrapped_in(raw)
            full = None
            if saturated:
                full = scratch("saturated", raw.shape, "?")
                mark_saturated(raw, limit, full)
            keep_raw(keep, number, raw)
            yield start, raw, full
            start += len(raw) * every


class ArraySource:
    """A frame whose pixels are in memory."""

    saturated_are_nan = False
    raw_sum = None
    oddities: Mapping[str, float] = {}

    def __init__(self, images: Mapping[int, NDArray[Any]]) -> None:
        self._images = images
        # Of a mosaic, one image may be there alone, under its own number.
        n_images = max(images) + 1
        shapes = {number: (image.shape[0], image.shape[1]) for number, image in images.items()}
        self.shapes = tuple(shapes.get(number, (0, 0)) for number in range(n_images))
        self.n_pixels = sum(image.size for image in images.values())

    def bands(
        self,
        number: int,
        saturated: bool,
        every: int = 1,
        piles: bool = False,
        keep: Kept | None = None,
    ) -> Iterator[Piece]:
        """Yield the bands of an image; of arrays nobody knows where they are saturated."""
        image = self._images.get(number, np.empty((0, 1)))
        step = band_rows(image.shape) * every
        for start in range(0, len(image), step):
            pixels = image[start : start + step : every]
            keep_raw(keep, number, pixels)
            yield start, pixels, np.zeros(pixels.shape, bool) if saturated else None


def check_unchanged(frame: Frame) -> None:
    """Raise FrameError where a frame is no longer the file whose header was read."""
    check_state(frame.path, frame.state)


def check_state(path: str, before: str) -> None:
    """Raise FrameError where a file is not in the state in which it was before."""
    try:
        state = state_of(path)
    except OSError as error:
        raise FrameError(path, f"cannot be read any more: {error.strerror}") from error
    if state != before:
        raise FrameError(path, "has changed while it was used; run again")
