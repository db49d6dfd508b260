"""The level of an overscan: one value for each row or column, as it is or along a curve."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.detector import Overscan

_CLIP_SIGMA = 3.0
_MOST_ROUNDS = 5
Levels = NDArray[np.float64]


def _clipped_mean(strip: NDArray[Any]) -> Levels:
    """Return the mean of each row's pixels within three standard deviations of their median."""
    pixels = strip.astype("f8")
    kept = np.isfinite(pixels)
    for _ in range(_MOST_ROUNDS):
        own = np.where(kept, pixels, np.nan)
        centre = np.nanmedian(own, axis=1, keepdims=True)
        deviation = np.nanstd(own, axis=1, keepdims=True)
        now = kept & (np.abs(pixels - centre) <= _CLIP_SIGMA * deviation)
        if (now == kept).all():
            break
        kept = now
    return np.asarray(np.where(kept, pixels, 0.0).sum(axis=1) / kept.sum(axis=1))


def overscan_levels(strip: NDArray[Any], how: Overscan) -> Levels:
    """Return the level of each row of a strip, ADU.

    Parameters
    ----------
    strip
        Shape ``(row, x)``, the pixels of all strips of an amplifier side by side, ADU.
    how
        Which statistic, and what is fitted.

    Returns
    -------
    ndarray of float64
        Shape ``(row,)``.

    Examples
    --------
    >>> overscan_levels(np.array([[10, 11, 12], [20, 22, 90]], "u2"), Overscan("median"))
    array([11., 22.])
    """
    whole = strip.dtype.kind in "iu" or bool(np.isfinite(strip).all())
    match how.statistic:
        case "median" if whole:
            levels = np.median(strip, axis=1).astype("f8")
        case "mean" if whole:
            levels = strip.mean(axis=1, dtype="f8")
        case "clipped-mean" if whole:
            levels = _clipped_mean(strip)
        case _:
            levels = _without_gaps(strip, how)
    return levels if how.fit == "none" else _fitted(levels, how)


def _without_gaps(strip: NDArray[Any], how: Overscan) -> Levels:
    """Return the levels of rows some of whose pixels have no value; NaN where none has."""
    levels = np.full(len(strip), np.nan)
    plain = replace(how, fit="none")
    for place, row in enumerate(strip):
        known = row[np.isfinite(row)]
        if known.size:
            levels[place] = overscan_levels(known[np.newaxis], plain)[0]
    return levels


def _fitted(levels: Levels, how: Overscan) -> Levels:
    """Return a smooth curve through levels, those far from it left out."""
    place = np.linspace(-1, 1, len(levels)) if len(levels) > 1 else np.zeros(1)
    kept = known = np.isfinite(levels)
    if not known.any():
        return levels
    curve = _curve(place, levels, kept, how)
    for _ in range(_MOST_ROUNDS if how.reject_sigma else 0):
        residual = levels - curve
        sigma = float(np.std(residual[kept]))
        now = known & (np.abs(residual) <= how.reject_sigma * sigma)
        if (now == kept).all() or np.count_nonzero(now) <= how.order + 1:
            break
        kept = now
        curve = _curve(place, levels, kept, how)
    return curve


def _curve(place: Levels, levels: Levels, kept: NDArray[np.bool_], how: Overscan) -> Levels:
    if how.fit == "constant" or len(levels) == 1:
        return np.full(len(levels), levels[kept].mean())
    from numpy.polynomial import chebyshev, legendre  # few cameras need it, and it takes a while

    degree = min(how.order, int(np.count_nonzero(kept)) - 1)
    x, y = place[kept], levels[kept]
    if how.fit == "legendre":
        return np.asarray(legendre.legval(place, legendre.legfit(x, y, degree)))
    if how.fit == "chebyshev":
        return np.asarray(chebyshev.chebval(place, chebyshev.chebfit(x, y, degree)))
    from scipy.interpolate import UnivariateSpline

    # The noise of the levels, from how neighbours differ; a spline that leaves as much is smooth.
    steps = np.diff(y)
    sigma = 1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2) if len(y) > 1 else 0.0
    if len(y) <= 3 or sigma <= 0:
        return np.asarray(np.interp(place, x, y))
    spline = UnivariateSpline(x, y, w=np.full(len(y), 1 / sigma), k=3, s=len(y) / max(how.order, 1))
    return np.asarray(spline(place), "f8")
