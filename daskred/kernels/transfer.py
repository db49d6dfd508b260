"""A detector's gain from pairs of flats: the photon transfer curve.

The difference of two equal exposures holds noise alone. Its variance against the signal is the
photon transfer curve, whose slope at the faint end is the inverse gain (Janesick 2001, Scientific
CCDs, chapter 2). Charge that is there already drives further charge aside, so that bright pixels
share it with their neighbours and the variance lags behind: the curve bends (the brighter-fatter
effect).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.covariances import Covariances, covariances_of, lag_of
from daskred.kernels.pairs import clipped_variance, smooth_ratio
from daskred.kernels.robust import scaled_mad

Pixels = NDArray[np.float64]
# A block is small enough for its signal to be even, and large enough for its variance.
BLOCK = 32
_EVEN = 0.5  # the signal of a block may vary by so much of it
_SEVERAL_LEVELS = 2.0  # times the lowest: only then the curve tells how it bends
_MOST_BENT = 0.15  # what a variance may lag behind at full scale where nobody can tell
_FULL_SCALE = 65535.0
_BINS = 20
_BEHIND = 0.75  # of the largest ratio of variance and signal: charge flows over
_FEW = 4
_MOST_SENSE = 1.0  # of bend times signal
_CLEARLY = 4.0  # deviations: by so much neighbours share something


@dataclass(frozen=True, eq=False)
class TransferPoints:
    """Signal and noise of blocks of pairs of flats.

    Parameters
    ----------
    signal
        Mean signal of each block, ADU.
    variance
        Of single pixels, ADU squared.
    freedom
        Of how many independent values each variance is.
    shared
        What neighbouring pixels of the pair have in common; None where too few tell it.
    """

    signal: Pixels
    variance: Pixels
    freedom: Pixels = field(default_factory=lambda: np.empty(0))
    shared: Covariances | None = None

    def below(self, limit: float) -> TransferPoints:
        """Return those whose signal is below a limit."""
        low = self.signal < limit
        shared = self.shared if self.shared and self.shared.signal < limit else None
        return TransferPoints(self.signal[low], self.variance[low], self.freedom[low], shared)


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
    ratio = smooth_ratio(first, second)
    difference = first - ratio * second
    found = []
    for y in range(0, first.shape[0] - BLOCK // 2, BLOCK):
        for x in range(0, first.shape[1] - BLOCK // 2, BLOCK):
            where = slice(y, y + BLOCK), slice(x, x + BLOCK)
            block, lit = difference[where], first[where]
            known = np.isfinite(block)
            if np.count_nonzero(known) < known.size / 2:
                continue
            typical = float(np.median(lit[known]))
            whole = np.where(known, lit, typical)
            along, across = (np.median(whole, axis=axis) for axis in (0, 1))
            if max(np.ptp(along), np.ptp(across)) > _EVEN * typical:
                continue  # as at the end of a slit: noise of several levels is no noise of one
            # Of a level ratio r, photons make (1 + r) times the variance, and the rest 1 + r**2.
            variance = clipped_variance(block)
            part = 1 + float(np.mean(ratio[where]))
            found.append((float(np.mean(lit[known])), variance.value / part, variance.freedom))
    signal, variances, freedom = np.array(found).reshape(-1, 3).T
    shared = covariances_of(difference, (first + ratio * second) / 2)
    return TransferPoints(signal, variances, freedom, shared)


@dataclass(frozen=True)
class Gain:
    """A gain from a photon transfer curve.

    Parameters
    ----------
    e_per_adu, error
        The gain, and one standard deviation.
    full_well_adu
        The signal at which the variance falls behind; None where it does not.
    model
        ``curve``, of flats of several levels. Where they have one, ``covariances``: the variance
        and what neighbours have in common together; or ``line``, where these show nothing, and so
        do not tell how the curve bends: then the error counts that the variance may lag behind by
        15 % at full scale, as it does in thick detectors.
    bend
        By what part the variance lags behind for each electron (``a00`` of Astier et al. 2019,
        negative); None for a line.
    """

    e_per_adu: float
    error: float
    full_well_adu: float | None
    model: Literal["line", "curve", "covariances"] = "line"
    bend: float | None = None


def fit_gain(points: Sequence[TransferPoints], read_noise_adu: float) -> Gain | None:
    """Return the gain that the points tell, or None where they tell none.

    Where flats have several levels the curve is that of Astier et al. (2019, A&A 629, A36,
    equation 16), of variances alone; of one level it is a straight line, corrected by what
    neighbouring pixels have in common where that is clearly something.

    Parameters
    ----------
    points
        Of all pairs of one amplifier.
    read_noise_adu
        Of single pixels, what rounding adds included.
    """
    signal = np.concatenate([pair.signal for pair in points])
    variance = np.concatenate([pair.variance for pair in points])
    freedom = np.concatenate([pair.freedom for pair in points])
    good = np.isfinite(variance) & (signal > 0) & (variance > read_noise_adu**2) & (freedom > 0)
    signal, variance, freedom = signal[good], variance[good] - read_noise_adu**2, freedom[good]
    if len(signal) < _FEW:
        return None
    full_well = _full_well(signal, variance)
    if full_well is not None:
        below = signal < full_well
        signal, variance, freedom = signal[below], variance[below], freedom[below]
        if len(signal) < _FEW:
            return None
    low, high = np.percentile(signal, [5, 95])
    curved = high > _SEVERAL_LEVELS * low
    fit = _Fit(signal, variance, freedom, read_noise_adu**2)
    try:
        slope, bend, error = fit.curve() if curved else fit.line()
    except (ZeroDivisionError, np.linalg.LinAlgError):  # of points that hardly belong together
        return None
    # A variance that grows faster than the signal by so much is none of photons.
    if not slope > 0 or not math.isfinite(error) or abs(bend) * high > _MOST_SENSE:
        return None
    gain = 1 / slope
    if curved:
        return Gain(gain, gain * error / slope, full_well, "curve", bend / gain)
    unknown = _MOST_BENT * high / _FULL_SCALE
    pairs = [pair.shared for pair in points if pair.shared]
    if pairs and (full_well is None or max(pair.signal for pair in pairs) < full_well):
        lag = lag_of(pairs, read_noise_adu**2, gain)
        # Where neighbours share nothing, something else may still bend the curve.
        if lag.error < unknown and lag.part > _CLEARLY * lag.error_by_noise:
            gain *= 1 - lag.part
            whole = math.hypot(error / slope, lag.error / (1 - lag.part))
            return Gain(
                gain, gain * whole, full_well, "covariances", -lag.part / (lag.signal_adu * gain)
            )
    return Gain(gain, gain * math.hypot(error / slope, unknown), full_well)


def _full_well(signal: Pixels, variance: Pixels) -> float | None:
    """Return the signal from which on the variance falls far behind; None where it does not."""
    order = np.argsort(signal)
    parts = np.array_split(order, min(_BINS, len(order) // _FEW))
    if len(parts) < 2:
        return None
    ratios = [float(np.median(variance[part] / signal[part])) for part in parts]
    best = 0.0
    for part, ratio in zip(parts, ratios, strict=True):
        if ratio < _BEHIND * best:
            return float(signal[part].min())
        best = max(best, ratio)
    return None


@dataclass(frozen=True, eq=False)
class _Fit:
    """A fit to points of a photon transfer curve, without those that stand out."""

    signal: Pixels
    variance: Pixels
    freedom: Pixels
    floor: float

    def line(self) -> tuple[float, float, float]:
        """Return slope, bend (none), and the error of the slope."""
        slope = float(np.median(self.variance / self.signal))
        kept = np.ones(len(self.signal), bool)
        for _ in range(5):
            relative, sigma = self._relative(slope, 0.0)
            kept = np.abs(relative) <= 4 * self._spread(relative[kept], sigma[kept]) * sigma
            weight = 1 / (sigma[kept] * (slope * self.signal[kept] + self.floor)) ** 2
            x, y = self.signal[kept], self.variance[kept]
            total = float(np.sum(weight * x * x))
            slope = float(np.sum(weight * x * y)) / total
        relative, sigma = self._relative(slope, 0.0)
        return slope, 0.0, self._spread(relative[kept], sigma[kept]) / math.sqrt(total)

    def curve(self) -> tuple[float, float, float]:
        """Return slope, bend for each ADU, and the error of the slope: Gauss and Newton's way."""
        slope, bend = self.line()[0], 0.0
        kept = np.ones(len(self.signal), bool)
        for _ in range(30):
            relative, sigma = self._relative(slope, bend)
            kept = np.abs(relative) <= 4 * self._spread(relative[kept], sigma[kept]) * sigma
            x = self.signal[kept]
            shape, change = _bent(2 * bend * x)
            weight = 1 / (sigma[kept] * (slope * x * shape + self.floor))
            columns = np.stack([x * shape, slope * x * change * 2 * x], axis=1) * weight[:, None]
            residual = (self.variance[kept] - slope * x * shape) * weight
            # Of numbers of unlike size the matrix is scaled before it is inverted.
            size = np.sqrt(np.sum(columns**2, axis=0))
            inverse = np.linalg.pinv((columns / size).T @ (columns / size))
            step = inverse @ ((columns / size).T @ residual) / size
            slope, bend = slope + float(step[0]), bend + float(step[1])
            if abs(step[0]) < 1e-9 * abs(slope):
                break
        relative, sigma = self._relative(slope, bend)
        error = math.sqrt(float(inverse[0, 0])) / float(size[0])
        return slope, bend, error * self._spread(relative[kept], sigma[kept])

    def _relative(self, slope: float, bend: float) -> tuple[Pixels, Pixels]:
        """Return residuals as parts of the variance, and how far these scatter by chance."""
        expected = slope * self.signal * _bent(2 * bend * self.signal)[0]
        whole = np.maximum(expected + self.floor, 1e-30)
        return (self.variance - expected) / whole, np.sqrt(2 / self.freedom)

    def _spread(self, relative: Pixels, sigma: Pixels) -> float:
        """Return by how much more values scatter than by chance; of few, at least as much."""
        found = scaled_mad(relative / sigma, 0.0) if len(relative) >= _FEW else 1.0
        return max(found, 1.0)


def _bent(u: Pixels) -> tuple[Pixels, Pixels]:
    """Return (exp(u) - 1) / u, and how it changes with u."""
    small = np.abs(u) < 1e-4
    safe = np.where(small, 1.0, np.clip(u, -50, 50))
    shape = np.where(small, 1 + u / 2, np.expm1(safe) / safe)
    change = np.where(small, 0.5 + u / 3, (np.exp(safe) * (safe - 1) + 1) / safe**2)
    return shape, change
