"""The light between the stars: smooth, and better known than any single pixel.

In blocks of some thirty pixels a side, the mean of what lies within three deviations of the median;
of each block and its neighbours the median; and straight lines between the centres of the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.scratch import scratch

Pixels = NDArray[np.floating[Any]]
_BLOCK = 32
_ENOUGH = 32  # pixels along a side of a block that are taken at most
_EVERY = 2
_EVERY_ROW = 4  # of light, of which a row costs what it costs to read it
_CLIP_SIGMA = 3.0
_FEW = 8


@dataclass(frozen=True)
class Axis:
    """How an axis is cut into blocks of one length; what is left over lies at either end.

    Parameters
    ----------
    n_pixels
        Its length.
    block
        About how long blocks are, pixels.
    """

    n_pixels: int
    block: int

    @property
    def n_blocks(self) -> int:
        """How many blocks there are."""
        return max(1, round(self.n_pixels / self.block))

    @property
    def length(self) -> int:
        """Of a block, pixels."""
        return self.n_pixels // self.n_blocks

    @property
    def first(self) -> int:
        """The first pixel of the first block."""
        return (self.n_pixels - self.n_blocks * self.length) // 2

    def start(self, block: int) -> int:
        """Return the first pixel of a block."""
        return self.first + block * self.length

    def places(self, pixels: NDArray[np.intp], beyond: bool = False) -> NDArray[np.float64]:
        """Return where pixels lie, counted in centres of blocks; on request beyond the last."""
        found = (pixels + 0.5 - self.first) / self.length - 0.5
        return found if beyond else np.clip(found, 0, self.n_blocks - 1)


def _of_blocks(strip: Pixels) -> tuple[Pixels, Pixels]:
    """Return level and deviation of blocks ``(block, pixel)``; NaN where few pixels are known."""
    ordered = np.sort(strip, axis=1)  # what is not known comes last
    n = np.count_nonzero(np.isfinite(ordered), axis=1)
    last, at = np.maximum(n - 1, 0), np.arange(len(ordered))
    low, middle, high = (
        ordered[at, np.round(part * last).astype(np.intp)] for part in (0.16, 0.5, 0.84)
    )
    with np.errstate(invalid="ignore"):
        sigma = (high - low) / 2
        near = np.abs(ordered - middle[:, np.newaxis]) <= _CLIP_SIGMA * sigma[:, np.newaxis]
    total = np.where(near, ordered, 0).sum(axis=1, dtype="f8")
    level = total / np.maximum(np.count_nonzero(near, axis=1), 1)
    few = n < min(_FEW, strip.shape[1])
    level[few], sigma[few] = np.nan, np.nan
    return level, sigma


def smoothed(mesh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of each block and its neighbours; of all where none is known."""
    height, width = mesh.shape
    padded = np.pad(mesh, 1, constant_values=np.nan)
    shifted = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    ordered = np.sort(shifted, axis=0)
    n = np.count_nonzero(np.isfinite(ordered), axis=0)
    lower, upper = np.maximum(n - 1, 0) // 2, np.minimum(n // 2, 8)
    pick = [np.take_along_axis(ordered, rank[np.newaxis], 0)[0] for rank in (lower, upper)]
    found = np.where(n > 0, (pick[0] + pick[1]) / 2, np.nan)
    known = found[np.isfinite(found)]
    return np.where(n > 0, found, np.median(known) if known.size else np.nan)


def mesh_of(
    value: Pixels, flagged: NDArray[np.bool_] | None, block: int, every_row: int = _EVERY
) -> tuple[NDArray[np.float64], NDArray[np.float64], Axis, Axis]:
    """Return level and deviation of the blocks of an image, and how its axes are cut.

    They are NaN where few pixels are known.

    Parameters
    ----------
    value, flagged
        As of `Background`.
    block
        About how large blocks are, pixels.
    every_row
        Of the rows of a block, so many are gone on by at least for the next one that is taken.
    """
    y, x = Axis(value.shape[0], block), Axis(value.shape[1], block)
    meshes = np.empty((2, y.n_blocks, x.n_blocks))
    every_row, every_column = (max(e, block // _ENOUGH) for e in (every_row, _EVERY))
    columns = slice(x.first, x.start(x.n_blocks))
    for number in range(y.n_blocks):
        rows = slice(y.start(number), y.start(number + 1), every_row)
        strip = value[rows, columns]
        if flagged is not None:
            strip = np.where(flagged[rows, columns], np.nan, strip)
        cut = strip.reshape(len(strip), x.n_blocks, x.length)[:, :, ::every_column]
        blocks = np.ascontiguousarray(cut.transpose(1, 0, 2)).reshape(x.n_blocks, -1)
        meshes[0, number], meshes[1, number] = _of_blocks(blocks)
    return meshes[0], meshes[1], y, x


class Background:
    """The level between the stars of an image.

    Parameters
    ----------
    value
        Shape ``(y, x)``; NaN are pixels without a value.
    flagged
        Pixels that do not count; None for none.
    """

    def __init__(self, value: Pixels, flagged: NDArray[np.bool_] | None = None) -> None:
        *meshes, self._y, self._x = mesh_of(value, flagged, _BLOCK, _EVERY_ROW)
        places = self._x.places(np.arange(value.shape[1]))
        centres = np.arange(self._x.n_blocks)
        # At the centres of each row of blocks: the level, and how it changes to the next one.
        self._level, sigma = (
            np.array([np.interp(places, centres, row) for row in smoothed(mesh)]).astype(
                value.dtype
            )
            for mesh in meshes
        )
        self._change = np.append(np.diff(self._level, axis=0), self._level[-1:] * 0, axis=0)
        self._above = sigma * value.dtype.type(_CLIP_SIGMA)  # a star is at least so much brighter

    def _lines(self, start: int, stop: int, level: Pixels, most: Pixels) -> None:
        """Write the level of rows, and the limit of what is no star: lines down the columns."""
        places = self._y.places(np.arange(start, stop))
        blocks = np.minimum(places.astype(np.intp), self._y.n_blocks - 1)
        shares = (places - blocks).astype(level.dtype)[:, np.newaxis]
        for block in range(blocks[0], blocks[-1] + 1):
            rows = slice(*np.searchsorted(blocks, [block, block + 1]).tolist())
            np.multiply(shares[rows], self._change[block], out=level[rows])
            level[rows] += self._level[block]
            np.add(level[rows], self._above[block], out=most[rows])

    def expected(self, value: Pixels, start: int, stop: int) -> Pixels:
        """Return what light rows hold as far as is known: a star's its own, others the level.

        Pixels that touch one of a star belong to it: its wings are within the noise of one pixel,
        but not of all.

        Parameters
        ----------
        value
            The image, shape ``(y, x)``.
        start, stop
            The first row that is asked for, and that behind the last.

        Returns
        -------
        array
            In memory that the next rows overwrite.

        Examples
        --------
        >>> sky = np.random.default_rng(1).normal(10, 2, (64, 64))
        >>> sky[5, 7] = 500.0
        >>> found = Background(sky).expected(sky, 0, 64)
        >>> found[5, 7].item(), found[20:22, 30].round().tolist()
        (500.0, [10.0, 10.0])
        """
        first, last = max(start - 1, 0), min(stop + 1, len(value))
        value = value[first:last]
        level, most = (
            scratch(f"background {name}", value.shape, value.dtype) for name in ("level", "limit")
        )
        self._lines(first, last, level, most)
        # A pixel without a value is not within its noise, and keeps having none.
        star = np.less_equal(value, most, out=scratch("star", value.shape, "?"))
        star &= np.greater(value, -np.inf, out=scratch("no star", value.shape, "?"))
        np.logical_not(star, out=star)
        near = scratch("near a star", value.shape, "?")
        near[...] = star
        near[:, 1:] |= star[:, :-1]
        near[:, :-1] |= star[:, 1:]
        star[...] = near
        star[1:] |= near[:-1]
        star[:-1] |= near[1:]
        places = np.flatnonzero(star)
        level.reshape(-1)[places] = value.take(places)
        return level[start - first : stop - first]
