"""Charge that is left behind when it is moved from pixel to pixel: the overscan's edge shows it.

What comes out behind the last pixel that sees light was left behind on the way (extended pixel edge
response: Janesick 2001, Scientific CCDs, section 5.3). Slow electronics look alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import medians, scaled_mad

Pixels = NDArray[np.float64]
DEFERRED = 2  # pixels behind the last one hold what was left behind
_CLIP_SIGMA = 4.0
_FEW_LINES = 16


class Inefficiency(NamedTuple):
    """What part of the charge is left behind in each transfer, and its error."""

    part: float
    error: float


def inefficiency_of(last: Pixels, behind: Pixels, n_transfers: int) -> Inefficiency | None:
    """Return what part of the charge is left behind in each transfer; None where nothing tells it.

    Parameters
    ----------
    last
        The last light-sensitive pixel of each line, ADU, shape ``(line,)``.
    behind
        The overscan's pixels of each line, beginning with the one next to it, ``(line, pixel)``.
    n_transfers
        By which the charge of the last pixel came out.

    Examples
    --------
    >>> lines = np.random.default_rng(1).normal(500, 4, (1000, 20))
    >>> lines[:, 0] += 20000 * 1e-5 * 1000
    >>> found = inefficiency_of(np.full(1000, 20500.0), lines, 1000)
    >>> round(found.part * 1e5, 1)
    1.0
    """
    level = np.median(behind[:, DEFERRED:], axis=1)
    signal = last - level
    known = np.isfinite(signal)
    if np.count_nonzero(known) < _FEW_LINES or n_transfers < 1:
        return None
    late = (behind[:, :DEFERRED] - level[:, np.newaxis]).sum(axis=1)[known]
    light = float(medians(signal[known]))
    middle = float(medians(late))
    sigma = scaled_mad(late, middle)
    near = late[np.abs(late - middle) <= _CLIP_SIGMA * max(sigma, 1e-30)]
    if not light > 0 or not near.size:
        return None
    error = max(sigma, 0.3) / math.sqrt(near.size)  # of whole numbers, most may be alike
    return Inefficiency(float(near.mean()) / light / n_transfers, error / light / n_transfers)


def mean_inefficiency(found: Sequence[Inefficiency]) -> Inefficiency:
    """Return what several frames tell together, each by its error."""
    weights = np.array([1 / one.error**2 for one in found])
    part = float(np.average([one.part for one in found], weights=weights))
    return Inefficiency(part, 1 / math.sqrt(float(weights.sum())))
