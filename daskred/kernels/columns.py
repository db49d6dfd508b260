"""Columns that stand out: of more charge, or of less, than those beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import medians, robust_sigma

_REACH = 5  # columns on either side
CLEAR, FAINT = 8.0, 4.0  # deviations: no chance; to be seen where others are clear
_FEW_ROWS = 8
_EFFICIENCY = 1.2533  # standard deviation of a median over that of a mean


def columns_away(rows: NDArray[Any], noise: float) -> NDArray[np.float64]:
    """Return by how many deviations columns lie beyond those beside them.

    Parameters
    ----------
    rows
        Some rows of an image, evenly taken, shape ``(row, x)``; NaN where there is no value.
    noise
        One standard deviation of a pixel.

    Returns
    -------
    array
        Of each column; 0 where there are too few rows, or columns, to tell.

    Examples
    --------
    >>> rows = np.random.default_rng(1).normal(500, 5, (64, 300))
    >>> rows[:, 117] += 30
    >>> np.flatnonzero(columns_away(rows, 5.0) > CLEAR).tolist()
    [117]
    """
    n_rows, n_columns = rows.shape
    if n_rows < _FEW_ROWS or n_columns < 4 * _REACH:
        return np.zeros(n_columns)
    levels = _known_medians(rows, 0)
    padded = np.concatenate([_beyond(levels[::-1])[::-1], levels, _beyond(levels)])
    beside = np.lib.stride_tricks.sliding_window_view(padded, 2 * _REACH + 1)
    # Less the slope, along which the middle would move by a column for each that is odd.
    slopes = _known_medians(np.diff(beside, axis=1), 1)[:, np.newaxis]
    away = levels - _known_medians(beside - slopes * np.arange(-_REACH, _REACH + 1), 1)
    finite = away[np.isfinite(away)]
    if not finite.size:
        return np.zeros(n_columns)
    chance = max(robust_sigma(finite)[1], _EFFICIENCY * noise / n_rows**0.5)
    if not chance > 0:
        return np.zeros(n_columns)
    return np.asarray(np.nan_to_num(np.abs(away) / chance, nan=0.0, posinf=0.0))


def _beyond(levels: NDArray[Any]) -> NDArray[Any]:
    """Return levels beyond the last column: those before it mirrored, along the slope there.

    Examples
    --------
    >>> _beyond(np.arange(20.0)).tolist()
    [20.0, 21.0, 22.0, 23.0, 24.0]
    """
    near = levels[-2 * _REACH - 1 :]
    steps = np.diff(near)
    steps = steps[np.isfinite(steps)]
    slope = float(medians(steps)) if steps.size else 0.0
    away = np.arange(1, _REACH + 1)
    return np.asarray(near[-1 - away] + 2 * away * slope)


def _known_medians(values: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return medians along an axis of what has a value; NaN where nothing has."""
    known = np.isfinite(values)
    if known.all():
        return np.asarray(medians(values, axis))
    some = known.any(axis=axis)
    found = np.full(some.shape, np.nan)
    found[some] = np.nanmedian(np.compress(some, values, axis=1 - axis), axis=axis)
    return found
