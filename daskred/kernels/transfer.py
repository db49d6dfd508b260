"""A detector's numbers from pairs of frames: read noise, gain, dark current.

The difference of two equal exposures holds noise alone. Its variance against the signal is the
photon transfer curve: its slope is the inverse gain (Janesick 2001, Scientific CCDs, chapter 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import robust_sigma, scaled_mad

Pixels = NDArray[np.float64]
# A block is small enough for its signal to be even, and large enough for its variance.
BLOCK = 32
_EVEN = 0.5  # the signal of a block may vary by so much of it
_CLIP_SIGMA = 5.0


def _clipped_variance(difference: Pixels) -> float:
    """Return the variance of a difference around the means of its rows, without outliers.

    What is common to a row, as the noise of its overscan level, is no noise of pixels.
    """
    finite = np.isfinite(difference)
    numbers = np.count_nonzero(finite, axis=1)
    filled = np.where(finite, difference, 0.0)
    values = filled - (filled.sum(axis=1) / np.maximum(numbers, 1))[:, np.newaxis]
    if not finite.any():
        return float("nan")
    middle, sigma = robust_sigma(values[finite], few=0)
    width = _CLIP_SIGMA * sigma
    inside = finite & (np.abs(values - middle) <= width)
    n = np.count_nonzero(inside)
    # One degree of freedom goes with each row's mean.
    lost = np.count_nonzero(numbers) * n / np.count_nonzero(finite)
    if n - lost < 1:
        return float("nan")
    return float(np.sum(np.square(values - middle), where=inside) / (n - lost))


def pair_noise(first: Pixels, second: Pixels) -> float:
    """Return the noise of single pixels of two equal exposures, in their unit.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> round(pair_noise(rng.normal(0, 5, (300, 300)), rng.normal(9, 5, (300, 300))), 1)
    5.0
    """
    return float(np.sqrt(_clipped_variance(first - second) / 2))


@dataclass(frozen=True, eq=False)
class TransferPoints:
    """Signal and noise of blocks of pairs of flats.

    Parameters
    ----------
    signal
        Mean signal of each block, ADU.
    variance
        Of single pixels, ADU squared.
    """

    signal: Pixels
    variance: Pixels


def transfer_points(first: Pixels, second: Pixels) -> TransferPoints:
    """Return signal and variance of the blocks of two flats, brought to one level.

    Parameters
    ----------
    first, second
        Shape ``(y, x)``, ADU above bias and dark.
    """
    good = np.isfinite(first) & np.isfinite(second)
    if not good.any():
        return TransferPoints(np.empty(0), np.empty(0))
    ratio = float(np.median(first[good]) / np.median(second[good]))
    difference = first - ratio * second
    signals, variances = [], []
    for y in range(0, first.shape[0] - BLOCK // 2, BLOCK):
        for x in range(0, first.shape[1] - BLOCK // 2, BLOCK):
            block = difference[y : y + BLOCK, x : x + BLOCK]
            lit = first[y : y + BLOCK, x : x + BLOCK]
            known = np.isfinite(block)
            if np.count_nonzero(known) < known.size / 2:
                continue
            typical = float(np.median(lit[known]))
            whole = np.where(known, lit, typical)
            along, across = (np.median(whole, axis=axis) for axis in (0, 1))
            if max(np.ptp(along), np.ptp(across)) > _EVEN * typical:
                continue  # as at the end of a slit: noise of several levels is no noise of one
            signals.append(float(np.mean(lit[known])))
            # Of a level ratio r, photons make (1 + r) times the variance, and the rest 1 + r**2.
            variances.append(_clipped_variance(block) / (1 + ratio))
    return TransferPoints(np.array(signals), np.array(variances))


@dataclass(frozen=True)
class Gain:
    """A gain from a photon transfer curve.

    Parameters
    ----------
    e_per_adu, error
        The gain, and one standard deviation.
    full_well_adu
        The signal at which the variance falls behind; None where it does not.
    """

    e_per_adu: float
    error: float
    full_well_adu: float | None


def fit_gain(points: Sequence[TransferPoints], read_noise_adu: float) -> Gain | None:
    """Return the gain that the points tell, or None where they tell none.

    Parameters
    ----------
    points
        Of all pairs of one amplifier.
    read_noise_adu
        Of single pixels.
    """
    signal = np.concatenate([pair.signal for pair in points])
    variance = np.concatenate([pair.variance for pair in points]) - read_noise_adu**2
    good = np.isfinite(variance) & (signal > 0) & (variance > 0)
    signal, variance = signal[good], variance[good]
    if len(signal) < 4:
        return None
    slope = float(np.median(variance / signal))
    kept = np.ones(len(signal), bool)
    error = 0.0
    for _ in range(4):
        expected = slope * signal + read_noise_adu**2
        weight = 1 / expected**2
        x, y, w = signal[kept], variance[kept], weight[kept]
        slope = float((w * x * y).sum() / (w * x * x).sum())
        relative = (variance - slope * signal) / (slope * signal + read_noise_adu**2)
        scatter = scaled_mad(relative[kept], 0.0)
        error = scatter / np.sqrt(np.count_nonzero(kept))
        kept = np.abs(relative) <= 4 * scatter
    behind = (relative < -0.3) & (signal > 0.5 * signal.max())
    full_well = float(signal[behind].min()) if np.count_nonzero(behind) > 3 else None
    return Gain(1 / slope, error / slope, full_well)
