"""What neighbouring pixels of two equal flats have in common: charge that went from one to another.

Charge that is there already drives further charge aside, into neighbours, so that variances lag
behind photon noise and covariances appear; none of it is lost. Variance and covariances together
are what photons alone would make (Astier et al. 2019, A&A 629, A36, section 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import scaled_mad

Pixels = NDArray[np.float64]
_MOST_LAG = 3  # pixels
_CLIP_SIGMA = 5.0
_FEW_PIXELS = 1000
# What of the charge goes further than that, and what else the sum may be wrong by.
_BEYOND = 0.2


@dataclass(frozen=True)
class Covariances:
    """What pixels of a pair of flats have in common, over their variance.

    Parameters
    ----------
    signal
        Mean signal, ADU.
    along_row, along_column
        Covariance of a pixel with the next one in its row, and in its column.
    total
        The sum of those with all pixels within three rows and columns.
    error
        One standard deviation of the sum.
    n_pixels
        How many pixels tell it.
    """

    signal: float
    along_row: float
    along_column: float
    total: float
    error: float
    n_pixels: int


def covariances_of(difference: Pixels, light: Pixels) -> Covariances | None:
    """Return what neighbouring pixels have in common; None of too few.

    Parameters
    ----------
    difference
        Of two flats that were brought to one level, shape ``(y, x)``; NaN where there is none.
    light
        Their mean, ADU above bias and dark.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(0, 100, (256, 256))
    >>> smeared = 0.8 * noise + 0.2 * np.roll(noise, 1, 1)
    >>> found = covariances_of(smeared, np.full((256, 256), 1e4))
    >>> round(found.along_row, 1), abs(found.along_column) < 0.01
    (0.2, True)
    """
    lit = np.isfinite(difference) & (light > 0)
    if np.count_nonzero(lit) < _FEW_PIXELS:
        return None
    # Over the root of the light, so that pixels of all levels count alike.
    noise = np.where(lit, difference, 0.0) / np.sqrt(np.where(lit, light, 1.0))
    sigma = scaled_mad(noise[lit], 0.0)
    good = lit & (np.abs(noise) < _CLIP_SIGMA * sigma)
    noise = np.where(good, noise - noise[good].mean(), 0.0)
    n_good = int(np.count_nonzero(good))
    if n_good < _FEW_PIXELS:
        return None
    variance = float(np.sum(noise * noise)) / n_good
    found: dict[tuple[int, int], float] = {}
    for down in range(_MOST_LAG + 1):
        for right in range(-_MOST_LAG if down else 1, _MOST_LAG + 1):
            first, second = _shifted(noise, down, right)
            known, beside = _shifted(good, down, right)
            n_pairs = np.count_nonzero(known & beside)
            if not n_pairs:
                return None
            found[down, right] = float(np.sum(first * second)) / int(n_pairs) / variance
    return Covariances(
        signal=float(light[good].mean()),
        along_row=found[0, 1],
        along_column=found[1, 0],
        total=2 * sum(found.values()),  # to either side
        error=2 * math.sqrt(len(found) / n_good),
        n_pixels=n_good,
    )


def _shifted(values: NDArray[Any], down: int, right: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return pixels, and those so many rows further down and columns to the right."""
    height, width = values.shape
    left = max(-right, 0), width - max(right, 0)
    moved = max(right, 0), width - max(-right, 0)
    first = values[: height - down, slice(*left)]
    return first, values[down:, slice(*moved)]


class Lag(NamedTuple):
    """By what part variances lag behind photon noise, its error, and at which signal.

    The error counts charge that goes further than the pixels that are looked at; by noise alone it
    is less.
    """

    part: float
    error: float
    signal_adu: float
    error_by_noise: float


def lag_of(pairs: Sequence[Covariances], floor_adu2: float, gain: float) -> Lag:
    """Return by what part variances of flats of about one level lag behind photon noise.

    Parameters
    ----------
    pairs
        What neighbours have in common.
    floor_adu2
        The variance of a pixel without light.
    gain
        Electrons for one ADU, as near as it is known.
    """
    weights = np.array([1 / pair.error**2 for pair in pairs])
    signal = float(np.average([pair.signal for pair in pairs], weights=weights))
    # What is without light shares nothing.
    photons = 1 + floor_adu2 * gain / max(signal, 1e-30)
    total = photons * float(np.average([pair.total for pair in pairs], weights=weights))
    part = total / (1 + total)
    by_noise = photons / math.sqrt(float(weights.sum()))
    return Lag(part, math.hypot(by_noise, _BEYOND * part), signal, by_noise)


def shared_per_e(pairs: Sequence[Covariances], gain: float) -> tuple[float, float, float]:
    """Return what a pixel has in common with the next one in its row, and in its column.

    Parameters
    ----------
    pairs
        Of flats of any levels.
    gain
        Electrons for one ADU.

    Returns
    -------
    along_row, along_column, error
        Parts of the variance for each electron of signal, and one standard deviation of either.
    """
    signal = np.array([pair.signal for pair in pairs]) * gain
    weights = np.array([pair.n_pixels for pair in pairs]) * signal
    total = float(np.sum(weights * signal))
    found = np.array([(pair.along_row, pair.along_column) for pair in pairs])
    along_row, along_column = (weights @ found / total).tolist()
    return along_row, along_column, 1 / math.sqrt(total)
