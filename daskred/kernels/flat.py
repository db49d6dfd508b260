"""The arithmetic of flats: each less its dark, over its level; the median of those."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from daskred.kernels.compiled import compiled_kernels
from daskred.kernels.median import median_of_rows
from daskred.kernels.scratch import scratch


def mark_saturated(raw: NDArray[Any], limit: float | None, out: NDArray[np.bool_]) -> None:
    """Tell which pixels reach a level, ADU; none where there is no such level.

    Examples
    --------
    >>> reached = np.empty(2, "?")
    >>> mark_saturated(np.array([1, 65535], "u2"), 65535.0, reached)
    >>> reached.tolist()
    [False, True]
    """
    level: Any = limit
    if raw.dtype.kind in "iu" and limit is not None:
        # Integers are compared as such, which is several times faster.
        info = np.iinfo(raw.dtype)
        reached = limit <= info.max  # nor by what is no number
        level = raw.dtype.type(math.ceil(max(limit, info.min))) if reached else None
    if level is None:
        out[...] = False
    else:
        np.greater_equal(raw, level, out=out)


def write_lit(raw: NDArray[Any], dark: NDArray[Any], level: float, out: NDArray[Any]) -> None:
    """Write pixels less their dark and divided by their level, computed in float64.

    Parameters
    ----------
    raw, dark
        Pixels, ADU, one-dimensional.
    level
        ADU.
    out
        float32 or float64; overwritten.

    Examples
    --------
    >>> out = np.empty(2, "f4")
    >>> write_lit(np.array([110, 120], "u2"), np.array([100.0, 100.0]), 10.0, out)
    >>> out.tolist()
    [1.0, 2.0]
    """
    kernels = compiled_kernels()
    if kernels and raw.dtype == np.uint16 and dark.dtype == np.float64:
        kernels.lit(raw, dark, out, level)
        return
    lit = scratch("lit row", raw.shape, "f8")
    np.subtract(raw, dark, out=lit)
    np.divide(lit, level, out=lit)
    out[...] = lit


def flat_tile(
    tile: NDArray[Any],
    darks: NDArray[np.float64],
    *,
    which: Sequence[int],
    levels: Sequence[float],
    precision: DTypeLike = "f8",
) -> NDArray[np.float64]:
    """Return the median over the frames of a band, each less its dark and divided by its level.

    Parameters
    ----------
    tile
        Shape ``(frame, rows, x)``, ADU.
    darks
        The different darks, shape ``(n, rows, x)``, ADU.
    which
        For each frame, which dark.
    levels
        For each frame its level after the subtraction, ADU.
    precision
        What quotients are rounded to before their median is taken; each is computed in float64.

    Examples
    --------
    >>> tile = np.array([[[110, 120]], [[120, 140]]], "u2")
    >>> flat_tile(tile, np.array([[[100.0, 100.0]]]), which=[0, 0], levels=[10.0, 20.0])
    array([[1., 2.]])
    """
    pixels = tile.reshape(len(tile), -1)
    planes = darks.reshape(len(darks), -1)

    def fill(rows: NDArray[Any], where: Any) -> None:
        for row, raw, plane, level in zip(rows, pixels, which, levels, strict=True):
            write_lit(raw[where], planes[plane][where], level, row)

    return median_of_rows(fill, *pixels.shape, precision).reshape(tile.shape[1:])
