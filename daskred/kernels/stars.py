"""Where the light of stars lies in frames, coarsely: in bins of some strips of their rows."""

from __future__ import annotations

from collections.abc import Callable
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

    def of(self, band: NDArray[Any], first_row: int) -> NDArray[Any]:
        """Return the rows of a band that are in strips, whole."""
        return band.take(_rows_within(self, first_row, len(band)), axis=0)


@lru_cache(maxsize=256)
def _rows_within(strips: Strips, first_row: int, n_rows: int) -> NDArray[np.intp]:
    """Return which of some rows are in strips."""
    rows = np.add.outer(strips.first_rows, np.arange(strips.height)).reshape(-1) - first_row
    return rows[(rows >= 0) & (rows < n_rows)]


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
        Shape ``(image, row, x)``: all rows of the strips of each image, whole.
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
    n_strips, height, width = len(strips.first_rows), strips.height, strips.width
    n_images, n_rows = pixels.shape[:2]
    pixels = np.ascontiguousarray(pixels[..., :width])
    n_bins = n_strips * -(-width // strips.bin_width)
    tile = min(width, _TILE)
    n_tiles = width // tile
    in_strips = pixels.reshape(n_images, n_strips, height, width)
    background, sigma = _background(in_strips.reshape(n_images, n_strips, height, n_tiles, tile))
    # Where nothing tells the noise, nothing is above it.
    clear = np.where(sigma > 0, _CLEAR * sigma, np.inf).astype("f4")
    limits = (background + clear[:, np.newaxis]).repeat(tile, axis=1)
    # About each strip is nothing, so that all pixels have neighbours.
    stride, rows = width + _LAG, height + _LAG
    framed = np.zeros((1 + n_images * n_strips * rows, stride), bool)
    bright = framed[1:].reshape(n_images, n_strips, rows, stride)[:, :, :height, :width]
    np.greater(in_strips, limits.reshape(n_images, n_strips, 1, width), out=bright)
    flat = framed.reshape(-1)
    places = np.flatnonzero(flat)
    places = places[
        flat[places + 1] | flat[places - 1] | flat[places + stride] | flat[places - stride]
    ]
    row, column = np.divmod(places - stride, stride)
    strip, row = np.divmod(row, rows)  # the strips of all images, one after the other
    above = pixels.reshape(-1)[(strip * height + row) * width + column]
    above -= background.reshape(-1)[strip * n_tiles + column // tile]
    bins = strip * (n_bins // n_strips) + column // strips.bin_width
    light = np.bincount(bins, weights=above, minlength=n_images * n_bins)
    roots = np.sqrt(light).clip(0, _LARGEST).astype("f2").reshape(n_images, n_bins)
    images = strip // n_strips
    parts = np.bincount(images, minlength=n_images) / (n_rows * width)

    def pairs(down: int, right: int) -> NDArray[np.float64]:
        found = flat[places + (down * stride + right)]
        return np.asarray(np.bincount(images, weights=found, minlength=n_images), "f8")

    lengths = _lengths(pairs, height) if height > _LAG else np.zeros(n_images)
    return list(map(Light, roots, parts.tolist(), lengths.tolist()))


def _background(
    tiles: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the background of tiles, shape ``(image, tile)``, and the noise of images."""
    # Of every other row some columns tell it.
    n_images, n_strips, _, n_tiles, tile = tiles.shape
    few = tiles[:, :, ::2, :, :: max(1, tile // 16)].swapaxes(2, 3)
    few = few.reshape(n_images, n_strips * n_tiles, -1)
    known = np.isfinite(few)
    if not known.all():
        for image in np.flatnonzero(~known.all(axis=(1, 2))):
            some = few[image][known[image]]
            few[image][~known[image]] = middle_of(some) if some.size else 0
    middle = few.shape[2] // 2
    background = np.partition(few, middle, axis=2)[..., middle]
    deviations = np.abs(few - background[..., np.newaxis]).reshape(n_images, -1)
    deviations = deviations[:, :: deviations.shape[1] // _FEW | 1]
    middle = deviations.shape[1] // 2
    return background, np.float32(SIGMA_OF_MAD) * np.partition(deviations, middle, 1)[:, middle]


def _lengths(pairs: Callable[[int, int], NDArray[np.float64]], height: int) -> NDArray[np.float64]:
    """Return by how much more pairs of bright pixels lie in one direction than across it.

    Parameters
    ----------
    pairs
        Tells how many bright pixels of each image have another so many rows down, and so many
        columns to the right.
    height
        Of strips.
    """
    # Fewer pairs fit into the height of a strip.
    fits = height / (height - _LAG)
    along, across = pairs(0, _LAG), pairs(_LAG, 0) * fits
    up, down = pairs(_LAG_ASKEW, -_LAG_ASKEW), pairs(_LAG_ASKEW, _LAG_ASKEW)
    straight = (along - across) / (along + across + _FEW_PAIRS)
    askew = (up - down) / (up + down + _FEW_PAIRS)
    return np.asarray(np.hypot(straight, askew))
