"""What frames have been combined to, until it is written: pixels on disk, and what divides them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.detector import Section
from daskred.fitswrite import Bands
from daskred.raster import Raster


@dataclass(frozen=True)
class Level:
    """What a master is divided by in the end.

    Parameters
    ----------
    whole
        The level of the whole detector; 1 for masters that are no flats.
    parts
        Of amplifiers, where each is divided by its own: image, place, level.
    """

    whole: float = 1.0
    parts: tuple[tuple[int, Section, float], ...] = ()

    def of(self, number: int, first_row: int, shape: tuple[int, ...]) -> Any:
        """Return the level of a band of an image: a number, or one for each pixel."""
        if not self.parts:
            return self.whole
        levels = np.full(shape, self.whole)
        for image, place, own in self.parts:
            if image == number:
                rows = slice(*np.clip(np.array(place.rows) - first_row, 0, shape[0]).tolist())
                levels[rows, slice(*place.columns)] = own
        return levels


@dataclass(frozen=True)
class Combined:
    """The pixels of a master.

    Parameters
    ----------
    rasters
        For each image; whoever uses them removes them.
    level
        What they are to be divided by.
    sums
        For each frame the sum of its pixels; see `daskred.fitspixels.pixel_sum`.
    counts
        For each image how many values were used, and how many rejected; empty for plain medians.
    levels
        Of flats, what each was divided by.
    weights
        Of frames; empty where all count alike.
    """

    rasters: list[Raster]
    level: Level
    sums: list[int]
    counts: list[list[Raster]] = field(default_factory=list)
    levels: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()

    def remove(self) -> None:
        """Remove the rasters."""
        for raster in (*self.rasters, *(one for pair in self.counts for one in pair)):
            raster.remove()


def master_bands(
    raster: Raster, number: int, dtype: str, level: Level, on_bad: Callable[[int], None]
) -> Bands:
    """Return an image of a master, divided by its level, as it is written.

    Parameters
    ----------
    raster, number
        The image, and which it is.
    dtype
        Of the product.
    level
        What it is divided by.
    on_bad
        Called with the number of pixels that are zero or negative, band by band.
    """

    def bands() -> Iterator[NDArray[np.floating]]:
        for divided in divided_bands(raster, number, level):
            on_bad(int(np.count_nonzero(divided <= 0)))
            yield divided.astype(dtype)

    return Bands(raster.shape, np.dtype(dtype), bands())


def divided_bands(raster: Raster, number: int, level: Level) -> Iterator[NDArray[Any]]:
    """Yield an image band by band, divided by its level."""
    row = 0
    for band in raster.bands():
        plain = level.whole == 1 and not level.parts
        own = level.of(number, row, band.shape)
        yield band if plain else np.divide(band, own, dtype="f8")
        row += len(band)
