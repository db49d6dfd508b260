"""How far from the truth lies what frames combine to, where their values scatter as a Gaussian.

Without a rejection this is known: a mean, and a median by its order statistics. Of any rejection it
is found by combining Gaussian values with that very rejection, always the same ones. What such an
estimate differs from the mean of the same values does not depend on that mean (Basu's theorem), so
that only this small difference has to be drawn; the mean's own variance is added as it is.

Raw values are whole numbers. A mean of values that scatter by more than half a number hardly
notices; but a median is a whole number itself, or half of one, however many frames there are.

Each rejection has its own part in it, which makes the file a little longer than others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from math import lgamma
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.reject import Method, Rejection, combine_frames

Pixels = NDArray[np.float64]
# With more values the variance of a median is within 0.3 % of its limit.
_MANY = 300
_MOST_DRAWN = 2**22
_MOST_PIXELS = 2**16
_OFTEN = 500
# Where true values lie between two whole numbers.
_FRACTIONS = (np.arange(32) + 0.5) / 32
# Deviations over the step of the numbers: of single values, and of a mean of all.
_SINGLE = np.geomspace(0.02, 4, 40)
_MEANS = np.geomspace(0.004, 2, 48)
# Deviations for which overscans are drawn; and how many pixels have one in common then.
_DRAWN = np.geomspace(0.2, 8, 9)
_PER_OVERSCAN = 64
# Values over their deviation, where limits are parts of the value.
_RATIOS = np.geomspace(1, 300, 24)
_MEDIANS = ("median", "lower-median")
# More values than these, or deviations that are so much alike, need no sum over probabilities.
_MANY_UNLIKE, _ALIKE = 128, 0.02
_STEPS, _REACH = 400, 5.0


@lru_cache(maxsize=4096)
def median_factor(n: int) -> float:
    """Return the variance of a median of n Gaussian values over that of their mean.

    pi/2 for many; for few, by integrating over the order statistics.

    Examples
    --------
    >>> median_factor(1), median_factor(2), round(median_factor(3), 4), round(median_factor(4), 4)
    (1.0, 1.0, 1.346, 1.1928)
    """
    if n <= 2:
        return 1.0
    if n > _MANY:
        return float(np.pi / 2)
    from scipy.special import log_ndtr

    half = (n - 1) // 2
    log_c = lgamma(n + 1) - 2 * lgamma(half + 1)
    reach = 10 / math.sqrt(n)
    x, step = np.linspace(-reach, reach, 801, retstep=True)
    if n % 2:
        weight = np.exp(log_c + _log_density(x) + half * (log_ndtr(x) + log_ndtr(-x)))
        return float(n * (weight * x**2).sum() * step)
    # The lower middle value and its distance from the upper one, by the midpoint rule.
    gap_step = reach / 800
    gaps = (np.arange(800) + 0.5) * gap_step
    lower, gap = x[:, np.newaxis], gaps[np.newaxis, :]
    log_weight = log_c + _log_density(lower) + half * log_ndtr(lower)
    log_weight = log_weight + _log_density(lower + gap) + half * log_ndtr(-lower - gap)
    return float(n * (np.exp(log_weight) * (lower + gap / 2) ** 2).sum() * step * gap_step)


def unlike_variance(deviations: NDArray[np.float64]) -> float:
    """Return which variance alike values would have whose median scatters as that of unlike ones.

    Of many, the mean of one over the deviations tells it, since that is how densely they lie there;
    of few, how many of them are below any level, each with its own probability.

    Parameters
    ----------
    deviations
        Of each value, which are Gaussian and have one middle.

    Examples
    --------
    >>> round(unlike_variance(np.array([2.0, 2.0, 2.0])), 6)
    4.0
    >>> deviations = np.array([1.0, 1.5, 3.0])
    >>> drawn = np.median(np.random.default_rng(1).normal(0, deviations, (200_000, 3)), axis=1)
    >>> bool(abs(unlike_variance(deviations) * median_factor(3) / 3 / drawn.var() - 1) < 0.01)
    True
    """
    usual = float(np.mean(1 / deviations)) ** -1
    if len(deviations) > _MANY_UNLIKE or np.ptp(deviations) < _ALIKE * usual:
        return usual**2
    found, alike = (_median_variance(each / usual) for each in (deviations, usual + 0 * deviations))
    return usual**2 * found / alike


def _median_variance(deviations: NDArray[np.float64]) -> float:
    """Return the variance of a median of Gaussian values; of an even number, nearly."""
    from scipy.special import ndtr

    n = len(deviations)
    x = (np.arange(_STEPS) + 0.5) * float(deviations.max()) * _REACH / _STEPS
    step = float(x[1] - x[0])
    below = ndtr(x / deviations[:, np.newaxis])
    # The probabilities that so many are below each level, one value after the other.
    number = np.zeros((n + 1, _STEPS))
    number[0] = 1
    for chance in below:
        number[1:] = number[1:] * (1 - chance) + number[:-1] * chance
        number[0] *= 1 - chance
    if n % 2:
        return float(4 * step * np.sum(x * number[: n // 2 + 1].sum(axis=0)))
    # Of the lower and the upper of the two in the middle, each as often; less a quarter of the
    # square of their distance, which is distributed about as an exponential is.
    above = number[: n // 2].sum(axis=0) + number[n // 2] / 2
    distance = 2 * step * float(number[n // 2].sum())
    return float(4 * step * np.sum(x * above)) - distance**2 / 2


def _log_density(x: Pixels) -> Pixels:
    return -(x**2) / 2 - math.log(2 * math.pi) / 2


@lru_cache(maxsize=4096)
def combined_parts(
    method: Method, rejection: Rejection, n: int, ratio: float = 0.0
) -> NDArray[np.float64]:
    """Return the variance of what n Gaussian values combine to, over that of one value.

    Parameters
    ----------
    method, rejection
        As of `daskred.kernels.reject.combine_frames`.
    n
        How many values there are, one at least.
    ratio
        Their true value over their deviation, which matters where limits are parts of the value.

    Returns
    -------
    ndarray of float64
        For each number of values that were used, from 0 to n. Where chance alone leaves so many,
        as Gaussian values show it; where it hardly ever does, outliers were rejected, and the
        variance follows from the number of the others.

    Examples
    --------
    >>> float(combined_parts("mean", Rejection(), 5)[5])
    0.2
    >>> round(float(combined_parts("mean", Rejection("minmax", 1, 1), 5)[3]), 2)
    0.23
    """
    numbers = np.arange(n + 1)
    if rejection.method == "none" and method in ("median", "mean", "sum"):
        factor = median_factor(n) if method == "median" else 1.0
        return factor / np.where(numbers > 0, numbers, np.nan)
    n_pixels = min(_MOST_PIXELS, max(_MOST_DRAWN // n, 1024))
    values = np.random.default_rng(n).normal(ratio, 1, (n, 1, n_pixels))
    # So that limits which are deviations know it, where they do not measure it.
    found = combine_frames(
        values, "mean" if method == "sum" else method, rejection, noise=(1.0, 0.0, 0.0)
    )
    used = found.n_used.reshape(-1)
    rest = (found.value - values.mean(axis=0)).reshape(-1)
    rest -= rest.mean()  # a lower median is too low, which is no scatter
    drawn = np.bincount(used, minlength=n + 1)
    squares = np.bincount(used, rest**2, minlength=n + 1)
    on_average = (1 / n + squares.sum() / n_pixels) * used.mean()
    parts = on_average / np.where(numbers > 0, numbers, np.nan)
    often = drawn >= _OFTEN
    parts[often] = 1 / n + squares[often] / drawn[often]
    return np.asarray(parts)


@lru_cache(maxsize=64)
def _relative_parts(method: Method, rejection: Rejection, n: int) -> Pixels:
    found = [combined_parts(method, rejection, n, float(ratio)) for ratio in _RATIOS]
    return np.array(found)


def combined_part(
    method: Method,
    rejection: Rejection,
    n: int,
    n_used: NDArray[Any],
    value: NDArray[Any],
    variance: NDArray[Any],
) -> NDArray[np.float64]:
    """Return `combined_parts` of pixels.

    Parameters
    ----------
    method, rejection, n
        As there.
    n_used
        How many values of each are used.
    value, variance
        Their true values, and how single ones scatter about these, which matters where limits are
        parts of the value.

    Examples
    --------
    >>> plain = Rejection()
    >>> combined_part("mean", plain, 5, np.array([5, 4]), np.ones(2), np.ones(2)).tolist()
    [0.2, 0.25]
    """
    if not rejection.is_relative:
        return combined_parts(method, rejection, n).take(n_used)
    ratio = np.abs(value) / np.sqrt(variance)
    table = _relative_parts(method, rejection, n)
    part = np.empty(n_used.shape)
    for number, where in by_number(n_used):
        part[where] = np.interp(ratio[where], _RATIOS, table[:, number])
    return part


def by_number(numbers: NDArray[Any]) -> Iterator[tuple[int, Any]]:
    """Yield each of some numbers, and where it stands: everywhere, as most often, at no cost.

    Examples
    --------
    >>> [(number, where.tolist()) for number, where in by_number(np.array([3, 5]))]
    [(3, [True, False]), (5, [False, True])]
    >>> list(by_number(np.array([4, 4])))
    [(4, Ellipsis)]
    """
    if numbers.size and numbers.min() == numbers.max():
        yield int(numbers.max()), ...
        return
    for number in np.unique(numbers).tolist():
        yield number, numbers == number


def _rounded(low: Pixels, high: Pixels, sigma: float) -> tuple[Pixels, Pixels]:
    """Return whole numbers, and how likely a value is at most each, for each true value."""
    from scipy.special import ndtr

    numbers = np.arange(math.floor(low.min()) - 1, math.ceil(high.max()) + 2, dtype="f8")
    return numbers, ndtr((numbers + 0.5 - _FRACTIONS[:, np.newaxis]) / sigma)


def _moments(numbers: Pixels, likely: Pixels) -> tuple[Pixels, Pixels]:
    """Return the mean error, and the mean of its square, of a number that is at most these."""
    steps = np.diff(likely, prepend=0.0)
    errors = numbers - _FRACTIONS[:, np.newaxis]
    return (steps * errors).sum(axis=1), (steps * errors**2).sum(axis=1)


@lru_cache(maxsize=1)
def _mean_of_rounded() -> tuple[Pixels, Pixels]:
    """Return for each deviation what rounding adds to single values, and to all alike."""
    added, common = [], []
    for sigma in _SINGLE:
        numbers, likely = _rounded(_FRACTIONS - 9 * sigma, _FRACTIONS + 9 * sigma, sigma)
        error, square = _moments(numbers, likely)
        common.append(float(np.mean(error**2)))
        added.append(float(np.mean(square - error**2)) - sigma**2)
    return np.array(added), np.array(common)


@lru_cache(maxsize=4096)
def _median_of_rounded(n: int, lower: bool) -> Pixels:
    """Return for each deviation of a mean what rounding adds to the variance of a median."""
    from scipy.special import betainc, gammaln

    added = []
    low, high = (n + 1) // 2, n // 2 + 1
    for u in _MEANS:
        sigma = u * math.sqrt(n)
        reach = min(14 * u, 9 * sigma)
        numbers, likely = _rounded(_FRACTIONS - reach, _FRACTIONS + reach, sigma)
        error, square = _moments(numbers, betainc(low, n - low + 1, likely))
        if n % 2 == 0 and not lower:
            above, square_above = _moments(numbers, betainc(high, n - high + 1, likely))
            # Both middle values, and the square of what lies between them.
            weight = np.exp(gammaln(n + 1) - 2 * gammaln(low + 1))
            below, beyond = likely**low, (1 - likely) ** low
            pairs = 2 * (np.cumsum(below, axis=1) * beyond) - below * beyond
            square = (square + square_above) / 2 - weight * pairs.sum(axis=1) / 4
            error = (error + above) / 2
        # The mean error, of a lower median, is no scatter.
        total = float(np.mean(square) - np.mean(error) ** 2)
        part = combined_parts("lower-median" if lower else "median", Rejection(), n)[n]
        added.append(total - float(part) * sigma**2)
    return np.array(added)


def rounding_variance(
    method: Method, n: int, variance: NDArray[Any], step: float
) -> NDArray[np.float64]:
    """Return what rounding adds to the variance of what n values combine to.

    Parameters
    ----------
    method
        A median of whole numbers is one itself, or half of one; a mean is not.
    n
        How many values.
    variance
        Of single ones, before they are rounded.
    step
        Values are whole multiples of it; 0 where they are not rounded.

    Examples
    --------
    >>> rounding_variance("median", 61, np.array([4.0]), 1.0).round(4)
    array([0.0833])
    >>> rounding_variance("mean", 61, np.array([4.0]), 1.0).round(4)
    array([0.0014])
    """
    if not step:
        return np.zeros(np.shape(variance))
    sigma = np.sqrt(variance) / step
    if method in _MEDIANS:
        table = _median_of_rounded(n, method == "lower-median")
        return np.asarray(step**2 * np.interp(sigma / math.sqrt(n), _MEANS, table))
    added, common = _mean_of_rounded()
    return np.asarray(
        step**2 * (np.interp(sigma, _SINGLE, added) / n + np.interp(sigma, _SINGLE, common))
    )


@lru_cache(maxsize=64)
def _less_overscan(
    method: Method, rejection: Rejection, n: int, n_across: int, statistic: str
) -> Pixels:
    """Return for drawn deviations what rounding adds to what frames less an overscan combine to."""
    rng = np.random.default_rng(n)
    n_rows = max(_MOST_DRAWN // 24 // n // _PER_OVERSCAN, 16)
    truth = rng.uniform(0, 1, (n_rows, _PER_OVERSCAN))
    bias = rng.uniform(0, 1, (n_rows, 1))
    pixels = rng.normal(size=(n, n_rows, _PER_OVERSCAN))
    strip = rng.normal(size=(n, n_rows, n_across))
    middle = np.median if statistic == "median" else np.mean
    added = []
    for sigma in _DRAWN:
        variances = []
        for rounded in (np.round, np.positive):
            levels = middle(rounded(bias + sigma * strip), axis=2, keepdims=True)
            values = rounded(bias + truth + sigma * pixels) - levels
            found = combine_frames(values, method, rejection, noise=(sigma**2, 0.0, 0.0))
            error = found.value - truth
            variances.append(np.var(error - error.mean()))
        added.append(variances[0] - variances[1])
    return np.array(added)


def overscan_rounding(
    method: Method,
    rejection: Rejection,
    n: int,
    variance: NDArray[Any],
    step: float,
    n_across: int,
    statistic: str,
) -> NDArray[np.float64]:
    """Return what rounding adds where an overscan of rounded values is subtracted from each frame.

    Its own scatter may be enough to take values off whole numbers, or may not; so that is drawn.

    Parameters
    ----------
    method, rejection, n, variance, step
        As of `combined_part` and `rounding_variance`.
    n_across, statistic
        Of how many pixels the level of the overscan is the median, or the mean.

    Examples
    --------
    >>> plain = Rejection()
    >>> found = overscan_rounding("median", plain, 31, np.array([9.0]), 1.0, 32, "median")
    >>> bool(0.01 < found[0] < 1 / 12)
    True
    """
    table = _less_overscan(method, rejection, n, n_across, statistic)
    return np.asarray(step**2 * np.interp(np.sqrt(variance) / step, _DRAWN, table))
