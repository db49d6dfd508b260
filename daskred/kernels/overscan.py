"""The level of an overscan: one value for each row or column, as it is or along a curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.median import median_over_frames
from daskred.kernels.robust import SIGMA_OF_MAD
from daskred.model.readout import Overscan

_CLIP_SIGMA = 3.0
_MOST_ROUNDS = 5
_FEW_ROWS = 300
Levels = NDArray[np.float64]


def _clipped_mean(strip: NDArray[Any]) -> Levels:
    """Return the mean of each row's pixels within three standard deviations of their median."""
    pixels = strip.astype("f8")
    kept = np.isfinite(pixels)
    for _ in range(_MOST_ROUNDS):
        known = np.where(kept, pixels, np.nan)
        centre = np.nanmedian(known, axis=1, keepdims=True)
        deviation = np.nanstd(known, axis=1, keepdims=True)
        now = kept & (np.abs(pixels - centre) <= _CLIP_SIGMA * deviation)
        if (now == kept).all():
            break
        kept = now
    return np.asarray(np.where(kept, pixels, 0.0).sum(axis=1) / kept.sum(axis=1))


def row_levels(strip: NDArray[Any], statistic: str) -> Levels:
    """Return the level of each row of a strip, ADU.

    Parameters
    ----------
    strip
        Shape ``(row, x)``, the pixels of all strips of an amplifier side by side, ADU.
    statistic
        ``median``, ``mean`` or ``clipped-mean``.

    Returns
    -------
    ndarray of float64
        Shape ``(row,)``; NaN for a row without any value.

    Examples
    --------
    >>> row_levels(np.array([[10, 11, 12], [20, 22, 90]], "u2"), "median")
    array([11., 22.])
    """
    if strip.dtype.kind not in "iu" and not np.isfinite(strip).all():
        return _without_gaps(strip, statistic)
    if statistic == "median":
        return _medians(strip)
    if statistic == "mean":
        return np.asarray(strip.mean(axis=1, dtype="f8"))
    return _clipped_mean(strip)


def _medians(strip: NDArray[Any]) -> Levels:
    """Return the median of each row, by whatever is faster for so many rows."""
    if len(strip) > _FEW_ROWS:
        return median_over_frames(np.ascontiguousarray(strip.T))
    low, high = (strip.shape[1] - 1) // 2, strip.shape[1] // 2
    rows = np.array(strip)
    rows.partition((low, high) if low != high else low, axis=1)
    levels: Levels = rows[:, low].astype("f8")
    if low != high:
        levels += rows[:, high]
        levels /= 2
    return levels


def _without_gaps(strip: NDArray[Any], statistic: str) -> Levels:
    """Return the levels of rows some of whose pixels have no value; NaN where none has."""
    levels = np.full(len(strip), np.nan)
    for place, row in enumerate(strip):
        known = row[np.isfinite(row)]
        if known.size:
            levels[place] = row_levels(known[np.newaxis], statistic)[0]
    return levels


@dataclass(frozen=True, eq=False)
class Curve:
    """A smooth curve through the levels of an overscan; small, however many rows there are.

    Parameters
    ----------
    n_levels
        Number of rows, or columns, that it goes through.
    fit
        What kind of curve.
    numbers
        Its coefficients; or its values, where it is none.
    spline
        Of a spline, the function.
    """

    n_levels: int
    fit: str
    numbers: Levels
    spline: Any = None

    def at(self, start: int, stop: int) -> Levels:
        """Return its values from one place to another."""
        if self.fit == "none":
            return self.numbers[start:stop]
        if self.fit == "constant":
            return np.full(stop - start, self.numbers[0])
        place = _places(self.n_levels)[start:stop]
        from numpy.polynomial import chebyshev, legendre  # few cameras need it; it takes a while

        if self.fit == "legendre":
            return np.asarray(legendre.legval(place, self.numbers))
        if self.fit == "chebyshev":
            return np.asarray(chebyshev.chebval(place, self.numbers))
        return np.asarray(self.spline(place), "f8")


def _places(n_levels: int) -> Levels:
    return np.linspace(-1, 1, n_levels) if n_levels > 1 else np.zeros(1)


def fit_levels(levels: Levels, overscan: Overscan) -> Curve:
    """Return a smooth curve through levels, those far from it left out.

    Examples
    --------
    >>> fit_levels(np.array([10.0, 12.0]), Overscan(fit="constant")).at(0, 2)
    array([11., 11.])
    """
    kept = known = np.isfinite(levels)
    if not known.any():
        return Curve(len(levels), "none", levels)
    curve = _curve(levels, kept, overscan)
    for _ in range(_MOST_ROUNDS if overscan.reject_sigma else 0):
        residual = levels - curve.at(0, len(levels))
        sigma = float(np.std(residual[kept]))
        now = known & (np.abs(residual) <= overscan.reject_sigma * sigma)
        if (now == kept).all() or np.count_nonzero(now) <= overscan.order + 1:
            break
        kept = now
        curve = _curve(levels, kept, overscan)
    return curve


def _curve(levels: Levels, kept: NDArray[np.bool_], overscan: Overscan) -> Curve:
    n_levels = len(levels)
    if overscan.fit == "constant" or n_levels == 1:
        return Curve(n_levels, "constant", np.array([levels[kept].mean()]))
    from numpy.polynomial import chebyshev, legendre

    place = _places(n_levels)
    degree = min(overscan.order, int(np.count_nonzero(kept)) - 1)
    x, y = place[kept], levels[kept]
    if overscan.fit == "legendre":
        return Curve(n_levels, "legendre", np.asarray(legendre.legfit(x, y, degree)))
    if overscan.fit == "chebyshev":
        return Curve(n_levels, "chebyshev", np.asarray(chebyshev.chebfit(x, y, degree)))
    from scipy.interpolate import UnivariateSpline

    # The noise of the levels, from how neighbours differ; a spline that leaves as much is smooth.
    steps = np.diff(y)
    sigma = (
        SIGMA_OF_MAD * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2)
        if len(y) > 1
        else 0.0
    )
    if len(y) <= 3 or sigma <= 0:
        return Curve(n_levels, "none", np.asarray(np.interp(place, x, y)))
    smoothing = len(y) / max(overscan.order, 1)
    spline = UnivariateSpline(x, y, w=np.full(len(y), 1 / sigma), k=3, s=smoothing)
    return Curve(n_levels, "spline", np.empty(0), spline)
