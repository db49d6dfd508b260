"""A straight line through masters over exposure time, each with the weight of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def line_factors(
    times_s: Sequence[float], weights: Sequence[float], at_s: float
) -> tuple[float, ...]:
    """Return the factors of masters whose sum is the line at an exposure time.

    Parameters
    ----------
    times_s
        Exposure times of the masters, seconds; at least two different ones.
    weights
        Numbers of their frames.
    at_s
        The exposure time wanted.

    Examples
    --------
    >>> line_factors([0.0, 10.0], [1, 1], 5.0), line_factors([0.0, 10.0], [1, 1], 0.0)
    ((0.5, 0.5), (1.0, 0.0))
    """
    parts, middle, spread = _line(times_s, weights)
    return tuple(
        part * (1 + (at_s - middle) * (time - middle) / spread)
        for part, time in zip(parts, times_s, strict=True)
    )


def _line(times_s: Sequence[float], weights: Sequence[float]) -> tuple[list[float], float, float]:
    """Return the parts of masters in their mean, the mean of the times, and their variance."""
    total = sum(weights)
    parts = [weight / total for weight in weights]
    middle = sum(part * time for part, time in zip(parts, times_s, strict=True))
    spread = sum(part * (time - middle) ** 2 for part, time in zip(parts, times_s, strict=True))
    return parts, middle, spread


def fit_rate(planes: Sequence[Any], times_s: Sequence[float], weights: Sequence[float]) -> Any:
    """Return bias and dark rate of each pixel: a straight line through planes over time.

    Parameters
    ----------
    planes
        Masters, one for each exposure time, ADU.
    times_s, weights
        As of `line_factors`.

    Returns
    -------
    bias, rate
        ADU and ADU per second, of the planes' shape.

    Examples
    --------
    >>> import numpy as np
    >>> fit_rate([np.array([100.0]), np.array([120.0])], [0.0, 10.0], [1, 1])
    (array([100.]), array([2.]))
    """
    parts, middle, spread = _line(times_s, weights)
    mean = sum(part * plane for part, plane in zip(parts, planes, strict=True))
    rate = sum(
        part * (time - middle) / spread * plane
        for part, time, plane in zip(parts, times_s, planes, strict=True)
    )
    return mean - rate * middle, rate
