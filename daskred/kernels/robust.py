"""Medians and deviations that outliers do not move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The standard deviation of a Gaussian over its median absolute deviation: 1 / Phi^-1(3/4).
SIGMA_OF_MAD = 1.482602218505602
# Of numbers that are rounded to whole ones: the variance that this adds.
ROUNDING_VARIANCE = 1 / 12
_FEW = 100
_LARGEST = 1e15  # no detector has it; its square is a number

# For what is done to pixels of files: floats may hold anything, and what comes of it is looked at.
any_floats = np.errstate(invalid="ignore", over="ignore", divide="ignore")


def scaled_mad(values: NDArray[Any], middle: float | None = None) -> float:
    """Return the scaled median absolute deviation from the median, or from another middle.

    Examples
    --------
    >>> round(scaled_mad(np.array([1.0, 2.0, 3.0])), 4)
    1.4826
    """
    centre = medians(values) if middle is None else middle
    return SIGMA_OF_MAD * float(medians(np.abs(values - centre)))


def noise_of_neighbours(values: NDArray[Any]) -> float | None:
    """Return the noise of single pixels, by what neighbours in a row differ; None where none do.

    Their noise makes them differ, and hardly what is wider than a pixel, as fringes.

    Parameters
    ----------
    values
        Shape ``(y, x)``; NaN where there is none.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(0, 2, (100, 100))
    >>> round(noise_of_neighbours(noise + 50 * np.sin(np.arange(100) / 100)), 1)
    2.0
    """
    steps = values[:, 1:] - values[:, :-1]
    steps = steps[np.isfinite(steps)]
    return scaled_mad(steps, 0.0) / math.sqrt(2) if steps.size else None


def robust_sigma(values: NDArray[Any], few: int = _FEW) -> tuple[float, float]:
    """Return the median of finite values, and their robust standard deviation.

    It is the scaled MAD; or, where that is small, as of whole numbers that are mostly alike, the
    standard deviation of the central 98 %, of more than a few values.

    Examples
    --------
    >>> robust_sigma(np.array([1.0, 2.0, 3.0]))
    (2.0, 1.482602218505602)
    """
    low, middle, high = quantiles(values, [0.01, 0.5, 0.99])
    central = values[(values >= low) & (values <= high)]
    width = float(np.std(central)) if central.size > few else 0.0
    return middle, max(scaled_mad(values, middle), width)


def robust_limits(values: NDArray[Any], n_sigma: float) -> tuple[float, float]:
    """Return the median of values less and plus so many robust deviations.

    Examples
    --------
    >>> robust_limits(np.array([1.0, 2.0, 3.0]), 1.0)  # doctest: +ELLIPSIS
    (0.517397781494..., 3.482602218505...)
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return math.nan, math.nan
    middle, sigma = robust_sigma(finite)
    return middle - n_sigma * sigma, middle + n_sigma * sigma


def middle_of(values: NDArray[Any]) -> float:
    """Return the median of an odd number of values; of an even one the upper, in half the time.

    Examples
    --------
    >>> middle_of(np.array([4.0, 1.0, 2.0])), middle_of(np.array([1.0, 2.0]))
    (2.0, 2.0)
    """
    return float(np.partition(values, len(values) // 2)[len(values) // 2])


def middles_of(rows: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the same of each of some rows, of their known values alone; NaN where there is none.

    Examples
    --------
    >>> rows = np.array([[4.0, 1.0, 2.0], [1.0, 2.0, 9.0]])
    >>> middles_of(rows, rows < 5).tolist()
    [2.0, 2.0]
    """
    middle = rows.shape[1] // 2
    if known.all():
        return np.partition(rows, middle, axis=1)[:, middle]
    found = [
        middle_of(row[some]) if some.any() else math.nan
        for row, some in zip(rows, known, strict=True)
    ]
    return np.array(found, rows.dtype)


def medians(values: NDArray[Any], axis: int | None = None) -> Any:
    """Return medians as ``numpy.median`` has them, of finite values, along one axis or of all.

    numpy's own imports ``numpy.ma`` for it, which takes longer than the work.

    Examples
    --------
    >>> medians(np.array([[4.0, 1.0], [2.0, 8.0]]), 1).tolist()
    [2.5, 5.0]
    """
    if axis is None:
        return medians(values.reshape(-1), 0)
    n = values.shape[axis]
    # To ask for two places takes numpy six times as long as for one.
    lower, upper, _ = np.split(np.partition(values, n // 2, axis), [n // 2, n // 2 + 1], axis)
    # The sum of two whole numbers may be larger than they can hold.
    number = "f8" if values.dtype.kind in "iu" else values.dtype
    upper = upper.squeeze(axis).astype(number)
    return upper if n % 2 else (upper + lower.max(axis)) / 2


def quantiles(values: NDArray[Any], parts: Sequence[float]) -> list[float]:
    """Return quantiles as ``numpy.quantile`` has them, between neighbours in proportion.

    numpy's own imports ``numpy.ma`` for it, in every worker, which takes longer than the work.

    Parameters
    ----------
    values
        Finite values, one-dimensional, at least one.
    parts
        From 0 to 1.

    Examples
    --------
    >>> quantiles(np.array([4.0, 1.0, 2.0]), [0.5, 0.75])
    [2.0, 3.0]
    """
    places = [part * (values.size - 1) for part in parts]
    lower = [math.floor(place) for place in places]
    upper = [min(low + 1, values.size - 1) for low in lower]
    ordered = np.partition(values, sorted({*lower, *upper}))
    found = []
    for place, low, high in zip(places, lower, upper, strict=True):
        first, second = float(ordered[low]), float(ordered[high])
        share = place - low
        # From the nearer end, as numpy does it, so that the bits agree.
        near_first = first + (second - first) * share
        near_second = second - (second - first) * (1 - share)
        found.append(near_first if share < 0.5 else near_second)
    return found


def known_values(values: NDArray[Any]) -> NDArray[Any]:
    """Return values, NaN instead of those that no detector has: infinite ones, and near that.

    Examples
    --------
    >>> known_values(np.array([1.0, np.inf, -1e38])).tolist()
    [1.0, nan, nan]
    """
    known = np.abs(values) < _LARGEST
    return values if known.all() else np.where(known, values, np.float32(np.nan))
