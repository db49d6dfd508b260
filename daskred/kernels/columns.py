"""Columns that stand out: of more charge, or of less, than those beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import robust_sigma

_REACH = 5  # columns on either side
_CLEAR = 8.0  # deviations
_FEW_ROWS = 8
_EFFICIENCY = 1.2533  # standard deviation of a median over that of a mean


def columns_off(rows: NDArray[Any], noise: float) -> list[int]:
    """Return which columns lie beyond those beside them, by what chance does not.

    Parameters
    ----------
    rows
        Some rows of an image, evenly taken, shape ``(row, x)``; NaN where there is no value.
    noise
        One standard deviation of a pixel.

    Examples
    --------
    >>> rows = np.random.default_rng(1).normal(500, 5, (64, 300))
    >>> rows[:, 117] += 30
    >>> columns_off(rows, 5.0)
    [117]
    """
    n_rows, n_columns = rows.shape
    if n_rows < _FEW_ROWS or n_columns < 4 * _REACH:
        return []
    known = np.isfinite(rows).any(axis=0)
    levels = np.full(n_columns, np.nan)
    levels[known] = np.nanmedian(rows[:, known], axis=0)
    padded = np.pad(levels, _REACH, mode="reflect")
    beside = np.lib.stride_tricks.sliding_window_view(padded, 2 * _REACH + 1)
    usual = np.full(n_columns, np.nan)
    some = np.isfinite(beside).any(axis=1)
    usual[some] = np.nanmedian(beside[some], axis=1)
    away = levels - usual
    finite = away[np.isfinite(away)]
    if not finite.size:
        return []
    chance = max(robust_sigma(finite)[1], _EFFICIENCY * noise / n_rows**0.5)
    with np.errstate(invalid="ignore"):
        return np.flatnonzero(np.abs(away) > _CLEAR * chance).tolist()
