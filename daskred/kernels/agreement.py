"""Do frames scatter as gain and read noise tell? What a sample of their pixels says."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_FEW_PIXELS = 64
_RARE = 4.0  # deviations of a variance: cosmic rays make them larger


class Agreement(NamedTuple):
    """By how much the variance of frames is larger than what is stated.

    Parameters
    ----------
    ratio
        Of the variances; NaN where too few frames or pixels tell it.
    error
        One standard deviation of it.
    """

    ratio: float
    error: float


def largest_variance(median: float, n_frames: int, n_sigma: float) -> float:
    """Return how large variances over frames are by chance, given the median of them.

    Of normal values the cube root of a variance is nearly normal (Wilson and Hilferty 1931, PNAS
    17, 684).

    Parameters
    ----------
    median
        Of the variances of equally noisy pixels.
    n_frames
        Over so many frames, two at least.
    n_sigma
        How rare larger ones are, as deviations of a normal value.

    Examples
    --------
    >>> round(largest_variance(1.0, 20, 4.0), 2)
    2.97
    """
    part = 2 / (9 * (n_frames - 1))
    usual = median / (1 - part) ** 3
    return float(usual * (1 - part + n_sigma * math.sqrt(part)) ** 3)


def surely_larger(limit: float, median: float, n_frames: int, part: float) -> float:
    """Return how many times the usual variance a pixel has, of whose like a part is beyond a limit.

    Variances over frames scatter as chi squared does. Where most pixels have none, it is infinite.

    Parameters
    ----------
    limit
        Of variances, beyond which pixels are found.
    median
        Of the variances of equally noisy pixels.
    n_frames
        Over so many frames, two at least.
    part
        Of such pixels, that are found.

    Examples
    --------
    >>> round(surely_larger(2.97, 1.0, 20, 0.98), 1)
    6.4
    """
    from scipy.special import gammaincinv

    freedom = n_frames - 1
    usual = median / (1 - 2 / (9 * freedom)) ** 3
    lowest = 2 * float(gammaincinv(freedom / 2, 1 - part)) / freedom
    return limit / (usual * lowest) if usual > 0 else math.inf


def without_rays(variance: NDArray[Any], n_frames: int) -> NDArray[np.bool_]:
    """Tell which variances over frames are not made large by an outlier, of equally noisy pixels.

    Parameters
    ----------
    variance
        Of each pixel, over what is expected of it.
    n_frames
        Over so many frames, two at least.

    Examples
    --------
    >>> without_rays(np.array([1.0, 0.8, 1.2, 40.0]), 20).tolist()
    [True, True, True, False]
    """
    return np.asarray(variance <= largest_variance(float(np.median(variance)), n_frames, _RARE))


def agreement_of(frames: NDArray[Any], stated: NDArray[Any]) -> Agreement:
    """Return by how much frames scatter more than is stated.

    Parameters
    ----------
    frames
        Shape ``(frame, pixel)``: some pixels of frames that are to be combined; NaN where there is
        no value.
    stated
        The variance of one frame in each pixel.

    Examples
    --------
    >>> frames = np.random.default_rng(1).normal(0, 3, (20, 4000))
    >>> round(agreement_of(frames, np.full(4000, 4.5)).ratio, 1)
    2.0
    """
    if len(frames) < 2:
        return Agreement(math.nan, math.nan)
    found = frames.var(axis=0, ddof=1, dtype="f8") / stated
    found = found[np.isfinite(found)]
    if found.size < _FEW_PIXELS:
        return Agreement(math.nan, math.nan)
    clean = found[without_rays(found, len(frames))]
    ratio = float(clean.mean())
    return Agreement(ratio, ratio * math.sqrt(2 / ((len(frames) - 1) * clean.size)))
