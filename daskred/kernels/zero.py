"""The level of darks without their current: where no bias tells it, their own scatter does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.agreement import without_rays
from daskred.kernels.robust import scaled_mad

_FEW_PIXELS = 64
_FEW_FRAMES = 2
_HOT = 5.0  # deviations: pixels whose current is so far from that of most do not count


def level_without_current(frames: NDArray[Any], floor: float, slope: float) -> float:
    """Return the level above which the signal of darks makes their noise.

    The electrons of dark current come as photons do, so that the variance of a pixel grows with
    them: what is scattered over read noise tells how many there are, and what is left of the mean
    is the level without any (the photon transfer method; Janesick 2007, Photon Transfer, chapter
    5).

    Parameters
    ----------
    frames
        Shape ``(frame, pixel)``: some pixels of darks of one exposure time, ADU; NaN where there is
        no value.
    floor, slope
        The variance of a pixel without signal, and by how much it grows with it.

    Returns
    -------
    float
        NaN where too few frames or pixels tell it.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> frames = 1000 + rng.poisson(300, (20, 5000)) / 2.0 + rng.normal(0, 5, (20, 5000))
    >>> round(level_without_current(frames, 25.0, 0.5), -1)
    1000.0
    """
    n_frames = len(frames)
    if n_frames < _FEW_FRAMES or not slope > 0:
        return math.nan
    mean, variance = frames.mean(axis=0, dtype="f8"), frames.var(axis=0, ddof=1, dtype="f8")
    known = np.isfinite(mean)
    mean, variance = mean[known], variance[known]
    if mean.size < _FEW_PIXELS:
        return math.nan
    middle = float(np.median(mean))
    typical = np.abs(mean - middle) <= _HOT * scaled_mad(mean, middle)
    mean, variance = mean[typical], variance[typical]
    usual = np.median(variance - slope * (mean - middle))
    clean = without_rays(variance / np.maximum(usual + slope * (mean - middle), floor), n_frames)
    if np.count_nonzero(clean) < _FEW_PIXELS:
        return math.nan
    mean, variance = mean[clean], variance[clean]
    current = max(float(variance.mean()) - floor, 0.0) / slope
    return float(mean.mean()) - current
