"""Columns that stand out: of more charge, or of less, than those beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.median import median_over_frames
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
    levels = median_over_frames(rows)
    padded = np.concatenate([_beyond(levels[::-1])[::-1], levels, _beyond(levels)])
    beside = np.lib.stride_tricks.sliding_window_view(padded, len(levels))  # column below column
    # Less the slope, along which the middle would move by a column for each that is odd.
    slopes = median_over_frames(np.diff(beside, axis=0))
    places = np.arange(-_REACH, _REACH + 1)[:, np.newaxis]
    away = levels - median_over_frames(beside - slopes * places)
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
