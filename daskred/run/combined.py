"""What the frames of a master combine to, before it is a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.normalised import MasterLevel
from daskred.arrays.tiles import Tile
from daskred.fits.hdus import Hdu
from daskred.fits.raster import Raster
from daskred.fits.write import Bands


@dataclass(frozen=True)
class Combined:
    """What frames were combined to, until it is written.

    Parameters
    ----------
    rasters
        For each image its pixels on disk; whoever uses them removes them.
    sums
        For each frame the sum of its pixels; see `daskred.fits.pixels.pixel_sum`.
    counts
        For each image how many values were used, and how many rejected; empty for plain medians.
    level
        What the pixels are to be divided by.
    levels
        Of flats, what each was divided by.
    weights
        Of frames; empty where all count alike.
    figures
        Of the checks of its frames, by their names.
    tiles
        Of each image the tiles, without their arrays, where somebody asks for their samples.
    headers
        The first frame's units, with the cards on which all frames agree.
    """

    rasters: list[Raster]
    sums: list[int]
    counts: list[list[Raster]] = field(default_factory=list)
    level: MasterLevel = field(default_factory=MasterLevel)
    levels: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)
    tiles: list[list[Tile]] = field(default_factory=list)
    headers: list[Hdu] = field(default_factory=list)

    def remove(self) -> None:
        """Remove the rasters."""
        for raster in (*self.rasters, *(raster for pair in self.counts for raster in pair)):
            raster.remove()

    def bands(self, number: int, dtype: str, on_bad: Callable[[int], None]) -> Bands:
        """Return an image as it is written; tell how many pixels are zero or negative."""

        def divided() -> Iterator[NDArray[np.floating]]:
            for band in self.divided(number):
                on_bad(int(np.count_nonzero(band <= 0)))
                yield band.astype(dtype)

        return Bands(self.rasters[number].shape, np.dtype(dtype), divided())

    def row(self, number: int, row: int) -> NDArray[np.float64]:
        """Return a row of an image, shape ``(1, x)``, divided by its level."""
        return self.level.divide(self.rasters[number].row(row), number, row).astype("f8")

    def divided(self, number: int) -> Iterator[NDArray[Any]]:
        """Yield an image band by band, divided by its level."""
        row = 0
        for band in self.rasters[number].bands():
            yield self.level.divide(band, number, row)
            row += len(band)
