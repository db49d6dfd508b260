"""What two equal exposures differ by: their noise alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.polynomial.polynomial import polygrid2d
from numpy.typing import NDArray

from daskred.kernels.robust import SIGMA_OF_MAD, robust_sigma, scaled_mad

Pixels = NDArray[np.float64]
_CLIP_SIGMA = 5.0
_ROUNDS = 8
# Of rows and columns, in the terms of a surface of second order.
_POWERS = ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1))
_CELLS = 16  # along either axis: their means tell how illumination differs


class Variance(NamedTuple):
    """A variance, and of how many independent values it is.

    Parameters
    ----------
    value
        NaN where too few values tell it.
    freedom
        Degrees of freedom.
    """

    value: float
    freedom: float


def clipped_variance(difference: Pixels) -> Variance:
    """Return the variance of a difference around the means of its rows, without outliers.

    What is common to a row, as the noise of its overscan level, is no noise of pixels. Values are
    clipped until none is further than five deviations away, so that cosmic rays do not count,
    however many there are.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(0, 2, (100, 100))
    >>> noise[::3, ::7] = 4000
    >>> round(clipped_variance(noise).value, 1)
    4.0
    """
    inside = np.isfinite(difference)
    if not inside.any():
        return Variance(math.nan, 0.0)
    # Outliers do not move medians; means of whole numbers are finer.
    with np.errstate(invalid="ignore"):
        known = np.where(inside, difference, np.nan)
        some = inside.any(axis=1)
        middles = np.zeros(len(difference))
        middles[some] = np.nanmedian(known[some], axis=1)
    values = np.where(inside, difference - middles[:, np.newaxis], 0.0)
    # Of whole numbers most may be alike.
    sigma = scaled_mad(values[inside], 0.0) or robust_sigma(values[inside], few=0)[1]
    for _ in range(_ROUNDS):
        near = inside & (np.abs(values) <= _CLIP_SIGMA * max(sigma, 1e-300))
        numbers = np.count_nonzero(near, axis=1)
        means = np.where(near, values, 0.0).sum(axis=1) / np.maximum(numbers, 1)
        values -= means[:, np.newaxis]
        # One degree of freedom goes with each row's mean.
        freedom = float(np.count_nonzero(near) - np.count_nonzero(numbers))
        if freedom < 1:
            return Variance(math.nan, 0.0)
        variance = float(np.sum(np.square(values), where=near)) / freedom
        if abs(math.sqrt(variance) - sigma) < 1e-4 * sigma or variance == 0:
            break
        sigma = math.sqrt(variance)
    return Variance(variance, freedom)


def shared_variance(n_pairs: int) -> float:
    """Return the variance of a mean over pairs of which each shares a frame with the next.

    It is over that of as many others: the squares of two differences of Gaussian values that share
    one are correlated by a quarter.

    Examples
    --------
    >>> shared_variance(1), shared_variance(2)
    (1.0, 1.25)
    """
    return 1 + (n_pairs - 1) / (2 * n_pairs)


def _rounding_of_pair(sigma: float) -> float:
    """Return what rounding adds to the mean square of the difference of two values.

    Both are rounded to whole numbers from wherever between two of them a pixel's level lies, so
    that on average a difference of k + f becomes k or k + 1: f (1 - f) more than its square. Its
    mean over differences of normal values follows from their Fourier series.
    """
    orders = np.arange(1, 60)
    # Of f (1 - f): 1/6 - sum of cos(2 pi n d) / (pi n)^2, d being normal of variance 2 sigma^2.
    falls = np.exp(-4 * (np.pi * orders * sigma) ** 2)
    return float(1 / 6 - np.sum(falls / (np.pi * orders) ** 2))


def unrounded_noise(variance: float, step: float) -> float:
    """Return the noise of single values, of the variance of the difference of two rounded ones.

    Rounding adds a sixth of the square of its step to that of noisy values, and less to those of
    little noise, most of which are rounded alike.

    Parameters
    ----------
    variance
        Of the difference.
    step
        Values are whole multiples of it; 0 where they are not rounded.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> level = rng.uniform(0, 100, 100000)
    >>> first, second = (np.round(level + rng.normal(0, 0.33, 100000)) for _ in range(2))
    >>> round(unrounded_noise(np.var(first - second), 1.0), 2)
    0.33
    """
    if not step > 0 or not variance > 0:
        return math.sqrt(variance / 2) if variance > 0 else variance
    found = variance / step**2
    low, high = 0.0, math.sqrt(found / 2)
    for _ in range(60):
        middle = (low + high) / 2
        if 2 * middle**2 + _rounding_of_pair(middle) < found:
            low = middle
        else:
            high = middle
    return step * (low + high) / 2


def smooth_ratio(first: Pixels, second: Pixels) -> Pixels:
    """Return by what the second of two flats is to be multiplied to be as bright as the first.

    Illumination may change between them, and not everywhere alike: it is a surface of second order
    through the ratios of some cells, without those that stand out.

    Examples
    --------
    >>> slope = np.linspace(1, 1.03, 64) * np.ones((64, 1))
    >>> bool(np.allclose(smooth_ratio(1000 * slope, np.full((64, 64), 1000.0)), slope))
    True
    """
    height, width = first.shape
    rows, columns = (np.array_split(np.arange(n), min(_CELLS, n)) for n in (height, width))
    places, ratios = [], []
    for row in rows:
        for column in columns:
            where = slice(row[0], row[-1] + 1), slice(column[0], column[-1] + 1)
            one, other = first[where], second[where]
            good = np.isfinite(one) & np.isfinite(other)
            total = float(other[good].sum()) if good.any() else 0.0
            if total > 0 and np.count_nonzero(good) > good.size / 2:
                places.append((row.mean() / height - 0.5, column.mean() / width - 0.5))
                ratios.append(float(one[good].sum()) / total)
    if not ratios:
        return np.ones(first.shape)
    y, x = np.array(places).T
    found = np.array(ratios)
    n_terms = 6 if len(found) >= 36 else 3 if len(found) >= 12 else 1
    powers = _POWERS[:n_terms]
    terms = np.stack([y**i * x**j for i, j in powers], axis=1)
    kept = np.ones(len(found), bool)
    for _ in range(3):
        factors, *_ = np.linalg.lstsq(terms[kept], found[kept], rcond=None)
        residual = np.abs(found - terms @ factors)
        kept = residual <= 5 * SIGMA_OF_MAD * np.median(residual[kept]) + 1e-12
        if np.count_nonzero(kept) <= 2 * n_terms:
            break
    grid_y, grid_x = (np.arange(n) / n - 0.5 for n in (height, width))
    surface = np.zeros((3, 3))
    surface[tuple(zip(*powers, strict=True))] = factors
    return np.asarray(polygrid2d(grid_y, grid_x, surface))
