"""How uncertain pixels are: photons and read noise, carried through every step.

Variances are in the unit of the pixels, squared. A master is a median or mean of frames whose
noise is known, and so is its variance.
"""

from __future__ import annotations

import math
from functools import lru_cache
from math import lgamma
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.scratch import scratch
from daskred.model.readout import Amplifier, Overscan, Readout, Section

Pixels = NDArray[np.floating[Any]]
# With more values the variance of a median is within 0.3 % of its limit.
_MANY = 300


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


def _log_density(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return -(x**2) / 2 - math.log(2 * math.pi) / 2


def knows_noise(readout: Readout) -> bool:
    """Whether gain and read noise of every amplifier are known."""
    return all(
        amplifier.gain_e_per_adu and amplifier.read_noise_e for amplifier in readout.amplifiers
    )


def overscan_part(amplifier: Amplifier, overscan: Overscan | None) -> float:
    """Return the variance of an amplifier's overscan level over that of one pixel's read noise.

    Examples
    --------
    >>> from daskred.model.readout import parse_section, whole
    >>> strip = parse_section("[11:30,1:8]")
    >>> amplifier = Amplifier("", 0, parse_section("[1:10,1:8]"), (strip,), 0, whole((8, 10)))
    >>> overscan_part(amplifier, Overscan("mean"))
    0.05
    """
    if overscan is None or not amplifier.overscan:
        return 0.0
    data, strips = amplifier.data, amplifier.overscan
    beside = strips[0].lies_beside(data)
    n_across = sum(strip.shape[1] if beside else strip.shape[0] for strip in strips)
    part = (median_factor(n_across) if overscan.statistic == "median" else 1.0) / n_across
    if overscan.fit == "none":
        return part
    n_along = data.shape[0] if beside else data.shape[1]
    n_free = {"constant": 1, "spline": max(8, overscan.order)}.get(overscan.fit, overscan.order + 1)
    return part * min(n_free / n_along, 1.0)


def noise_terms(amplifier: Amplifier, readout: Readout) -> tuple[float, float]:
    """Return the variance of a pixel without signal, and its growth with the signal."""
    gain, noise = amplifier.gain_e_per_adu, amplifier.read_noise_e
    if not gain or not noise:
        raise ValueError(f"gain and read noise of amplifier {amplifier.name!r} are not known")
    share = 1 + overscan_part(amplifier, readout.overscan)
    if readout.unit == "electron":
        return share * noise**2, 1.0
    return share * (noise / gain) ** 2, 1 / gain


def signal_variance(
    signal: Pixels,
    readout: Readout,
    target: int,
    first_row: int = 0,
    out: Pixels | None = None,
) -> Pixels:
    """Return the variance that read noise and photons give to single pixels.

    Parameters
    ----------
    signal
        Rows of a prepared image above the bias level, light and dark current.
    readout
        Tells gain and read noise of each amplifier.
    target, first_row
        Which image, and which of its rows comes first.
    out
        Where the result goes, in its precision; float64 where None.

    Raises
    ------
    ValueError
        When gain or read noise are not known.

    Examples
    --------
    >>> from daskred.model.readout import whole
    >>> amplifier = Amplifier("", 0, whole((1, 1)), (), 0, whole((1, 1)), 2.0, 8.0)
    >>> signal_variance(np.array([[100.0]]), Readout((amplifier,), ("",), ((1, 1),)), 0)
    array([[66.]])
    """
    variance = np.empty(signal.shape) if out is None else out
    amplifiers = [amplifier for amplifier in readout.amplifiers if amplifier.target == target]
    if len(amplifiers) > 1:
        variance[...] = np.nan  # between amplifiers, where nobody reads
    for amplifier in amplifiers:
        floor, slope = noise_terms(amplifier, readout)
        rows = _rows_within(amplifier.place, first_row, len(signal))
        columns = slice(*amplifier.place.columns)
        part = variance[rows, columns]
        np.maximum(signal[rows, columns], 0.0, out=part, casting="same_kind")
        part *= slope
        part += floor
    return variance


def _rows_within(place: Section, first_row: int, n_rows: int) -> slice:
    start = min(max(place.rows[0] - first_row, 0), n_rows)
    return slice(start, min(max(place.rows[1] - first_row, 0), n_rows))


def combined_part(method: str, n_used: NDArray[Any] | int) -> NDArray[np.float64]:
    """Return the variance of a combination of n equal values over that of one of them.

    Parameters
    ----------
    method
        As of `daskred.kernels.reject.combine_frames`.
    n_used
        How many values it is made of.

    Examples
    --------
    >>> combined_part("mean", 4), combined_part("sum", 4)
    (array(0.25), array(4.))
    """
    numbers = np.asarray(n_used)
    most = int(numbers.max(initial=0))
    table = np.full(most + 1, np.nan)
    for n in np.unique(numbers[numbers > 0]).tolist():
        if method in ("median", "lower-median"):
            table[n] = median_factor(n) / n
        else:
            table[n] = n if method == "sum" else 1 / n
    return np.asarray(table[numbers])


def add_flat_variance(variance: Pixels, value: Pixels, flat_variance: Pixels) -> None:
    """Add what a flat's uncertainty gives to the variance of pixels before they are divided by it.

    Parameters
    ----------
    variance
        Changed in place.
    value
        The pixels over the flat.
    flat_variance
        Of the flat.

    Examples
    --------
    >>> variance = np.array([4.0])
    >>> add_flat_variance(variance, np.array([10.0]), np.array([0.01]))
    >>> variance.tolist()
    [5.0]
    """
    part = scratch("variance of a flat", value.shape, value.dtype)
    np.multiply(value, value, out=part)
    part *= flat_variance
    variance += part


def sigma_of(variance: Pixels, divisor: Pixels | None, out: Pixels) -> None:
    """Write one standard deviation of pixels that are divided by a flat, or are not.

    Examples
    --------
    >>> out = np.empty(1)
    >>> sigma_of(np.array([5.0]), np.array([2.0]), out)
    >>> out.tolist()
    [1.118033988749895]
    """
    np.sqrt(variance, out=out, casting="same_kind")
    if divisor is not None:
        with np.errstate(invalid="ignore"):
            out /= divisor
