"""Where the light of stars lies in frames, coarsely: in bins of some strips of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import SIGMA_OF_MAD, middle_of

_HEIGHT = 16  # rows of a strip
_FEW_PIXELS, _PART = 2**15, 64  # so many pixels, or one of so many, are looked at
_TILE = 128  # columns that share a background
_FEW = 2**11  # pixels that tell the noise
_CLEAR = 5.0  # sigma
_N_BINS = 128  # of the light of a frame
_LAG, _LAG_ASKEW = 6, 4  # pixels: two that are so far apart are in one star only if it is long
_FEW_PAIRS = 60
_NARROW_BIN = 4
_LARGEST = 65000.0  # what half precision can hold


@dataclass(frozen=True)
class Strips:
    """Some strips of rows of an image.

    Parameters
    ----------
    first_rows
        Of each.
    height
        Of all, rows.
    width
        Columns that are looked at.
    bin_width
        Columns of a bin of light.
    """

    first_rows: tuple[int, ...]
    height: int
    width: int
    bin_width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Of all their rows, one strip below the other."""
        return len(self.first_rows) * self.height, self.width

    def copy(self, band: NDArray[Any], first_row: int, out: NDArray[np.float32]) -> None:
        """Copy what a band of rows has of the strips; ``out`` has all of their rows."""
        for number, first in enumerate(self.first_rows):
            start, stop = max(first, first_row), min(first + self.height, first_row + len(band))
            if start < stop:
                where = number * self.height + start - first
                rows = band[start - first_row : stop - first_row, : self.width]
                out[where : where + stop - start] = rows


@lru_cache(maxsize=64)
def strips_of(shape: tuple[int, int], n_images: int = 1) -> Strips:
    """Return the strips of an image of shape ``(y, x)``, one of so many of a frame.

    Examples
    --------
    >>> strips_of((2048, 2048)).first_rows
    (504, 1528)
    """
    height = min(shape[0], _HEIGHT)
    wanted = max(_FEW_PIXELS // n_images, shape[0] * shape[1] // _PART)
    n_strips = max(1, min(shape[0] // height, -(-wanted // (height * shape[1]))))
    rows = ((np.arange(n_strips) + 0.5) * shape[0] / n_strips - height / 2).astype(int)
    tile = min(shape[1], _TILE)
    width = shape[1] // tile * tile
    n_bins = max(1, _N_BINS // (n_images * n_strips))
    return Strips(tuple(rows.tolist()), height, width, max(_NARROW_BIN, -(-width // n_bins)))


@dataclass(frozen=True)
class Light:
    """The light of the stars of an image.

    Parameters
    ----------
    bins
        Of each bin of the strips the square root, as noise goes with it; in half precision.
    part
        What part of the pixels they make bright.
    length
        How much longer than wide they are: 0 for round ones, to 1.
    """

    bins: NDArray[np.float16]
    part: float
    length: float


def light_of_stars(pixels: NDArray[np.float32], strips: Strips) -> list[Light]:
    """Return where the light of stars lies in some strips of images.

    What is bright in one pixel alone is a hot pixel, or a cosmic ray.

    Parameters
    ----------
    pixels
        Shape ``(image, row, x)``: all rows of the strips of each image.
    strips
        Where they lie.

    Examples
    --------
    >>> pixels = np.random.default_rng(1).normal(100, 5, (1, 16, 64)).astype("f4")
    >>> pixels[0, 3:5, 10:12] += 400
    >>> (light,) = light_of_stars(pixels, strips_of((16, 64)))
    >>> light.bins.round().tolist()[:4], round(light.part * pixels.size)
    ([0.0, 0.0, 40.0, 0.0], 4)
    """
    n_images, n_rows, width = pixels.shape
    n_strips, n_pixels = len(strips.first_rows), n_rows * width
    n_bins = n_strips * -(-width // strips.bin_width)
    tile = min(width, _TILE)
    n_tiles = width // tile
    tiles = pixels.reshape(-1, strips.height, n_tiles, tile)
    background, sigma = _background(tiles, n_images)
    # Where nothing tells the noise, nothing is above it.
    clear = np.where(sigma > 0, _CLEAR * sigma, np.inf).astype("f4")
    limits = (background + clear[:, np.newaxis]).reshape(-1, 1, n_tiles, 1)
    # A row of nothing is above each image, and below it.
    bright = np.zeros((n_images, n_pixels + 2 * width), bool)
    bright[:, width:-width] = (tiles > limits).reshape(n_images, -1)
    flat = bright.reshape(-1)
    places = np.flatnonzero(flat)
    shared = np.zeros(len(places), bool)
    for step in (1, -1, width, -width):
        shared |= flat[places + step]
    places = places[shared]
    images, inside = np.divmod(places, n_pixels + 2 * width)
    inside -= width
    rows, columns = np.divmod(inside, width)
    strip = rows // strips.height
    above = pixels.reshape(-1)[images * n_pixels + inside]
    above -= background[images, strip * n_tiles + columns // tile]
    bins = images * n_bins + strip * (n_bins // n_strips) + columns // strips.bin_width
    light = np.bincount(bins, weights=above, minlength=n_images * n_bins)
    roots = np.sqrt(light).clip(0, _LARGEST).astype("f2").reshape(n_images, n_bins)
    parts = np.bincount(images, minlength=n_images) / n_pixels
    lengths = _lengths(bright, images, rows % strips.height, columns, places, strips)
    return list(map(Light, roots, parts.tolist(), lengths.tolist()))


def _background(
    tiles: NDArray[np.float32], n_images: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the background of tiles, shape ``(image, tile)``, and the noise of images."""
    # Of every other row some columns tell it.
    tile = tiles.shape[3]
    few = np.ascontiguousarray(tiles[:, ::2, :, :: max(1, tile // 16)].transpose(0, 2, 1, 3))
    few = few.reshape(n_images, -1, few.shape[2] * few.shape[3])
    known = np.isfinite(few)
    for image in np.flatnonzero(~known.all(axis=(1, 2))):
        some = few[image][known[image]]
        few[image][~known[image]] = middle_of(some) if some.size else 0
    middle = few.shape[2] // 2
    background = np.partition(few, middle, axis=2)[..., middle]
    deviations = np.abs(few - background[..., np.newaxis]).reshape(n_images, -1)
    deviations = deviations[:, :: deviations.shape[1] // _FEW | 1]
    middle = deviations.shape[1] // 2
    return background, np.float32(SIGMA_OF_MAD) * np.partition(deviations, middle, 1)[:, middle]


def _lengths(
    bright: NDArray[np.bool_],
    images: NDArray[np.intp],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    places: NDArray[np.intp],
    strips: Strips,
) -> NDArray[np.float64]:
    """Return by how much more pairs of bright pixels lie in one direction than across it.

    Parameters
    ----------
    bright
        Shape ``(image, place)``.
    images, rows, columns, places
        Of bright pixels: which image, the row of the strip and the column, and where in ``bright``.
    strips
        As of `light_of_stars`.
    """
    n_images, flat = len(bright), bright.reshape(-1)

    def pairs(down: int, right: int) -> NDArray[np.intp]:
        inside = (rows + down < strips.height) & (columns + right < strips.width)
        inside &= columns + right >= 0
        found = flat[places[inside] + down * strips.width + right]
        return np.bincount(images[inside][found], minlength=n_images)

    if strips.height <= _LAG:
        return np.zeros(n_images)
    # Fewer pairs fit into the height of a strip.
    fits = strips.height / (strips.height - _LAG)
    along, across = pairs(0, _LAG), pairs(_LAG, 0) * fits
    up, down = pairs(_LAG_ASKEW, -_LAG_ASKEW), pairs(_LAG_ASKEW, _LAG_ASKEW)
    straight = (along - across) / (along + across + _FEW_PAIRS)
    askew = (up - down) / (up + down + _FEW_PAIRS)
    return np.asarray(np.hypot(straight, askew))
