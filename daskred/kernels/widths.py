"""How wide stars are, in pixels: what is narrower than they are is no star."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CLEAR = 20.0  # deviations: fainter maxima say little of their width
_SEEN = 3.0  # deviations that their neighbours are above the background at least
_FEW = 8  # stars
_MOST = 2000
_FWHM_OF_SIGMA = 2 * math.sqrt(2 * math.log(2))
_OF_PIXEL = 1 / 12  # variance of a pixel's own width


def _tops(
    value: NDArray[Any], background: NDArray[Any] | float, sigma: NDArray[Any] | float
) -> tuple[NDArray[np.intp], NDArray[np.float64], tuple[NDArray[np.float64], ...]]:
    """Return where the brightest stars have their tops, and the light of those and of their sides.

    Places are rows and columns, shape ``(2, star)``; sides are up, down, left and right.
    """
    if min(value.shape) < 3:
        none = np.empty(0)
        return np.empty((2, 0), np.intp), none, (none, none, none, none)
    light = value - background
    noise = np.broadcast_to(sigma, value.shape)[1:-1, 1:-1]
    centre = light[1:-1, 1:-1]
    sides = (light[:-2, 1:-1], light[2:, 1:-1], light[1:-1, :-2], light[1:-1, 2:])
    with np.errstate(invalid="ignore"):
        star = centre > _CLEAR * noise
        for side in sides:
            star &= (side > _SEEN * noise) & (side <= centre)
    places = np.flatnonzero(star)
    places = places[np.argsort(-centre.reshape(-1)[places], kind="stable")[:_MOST]]
    rows, columns = np.unravel_index(places, centre.shape)
    around = tuple(side.reshape(-1)[places].astype("f8") for side in sides)
    return np.stack([rows, columns]) + 1, centre.reshape(-1)[places].astype("f8"), around


def bright_stars(value: NDArray[Any], background: float, sigma: float) -> NDArray[np.float64]:
    """Return row, column and light of bright stars, shape ``(star, 3)``, the brightest first.

    Places are those of centres of light of five pixels; light is their sum.

    Parameters
    ----------
    value, background, sigma
        As of `width_of_stars`.

    Examples
    --------
    >>> sky = np.zeros((9, 9))
    >>> sky[3:6, 4] = sky[4, 3:6] = 50
    >>> sky[4, 4] = 90
    >>> bright_stars(sky, 0.0, 1.0).tolist()
    [[4.0, 4.0, 290.0]]
    """
    (rows, columns), top, (up, down, left, right) = _tops(value, background, sigma)
    light = top + up + down + left + right
    return np.stack([rows + (down - up) / light, columns + (right - left) / light, light], axis=1)


def width_of_stars(
    value: NDArray[Any], background: NDArray[Any] | float, sigma: NDArray[Any] | float
) -> float:
    """Return the full width of stars at half of their maximum, pixels; NaN where there are few.

    In a Gaussian the logarithms of three pixels in a row bend by one over its variance, wherever
    its centre lies between them. What cosmic rays leave has sharper edges, so that it hardly has
    neighbours that are clearly lit on all four sides.

    Parameters
    ----------
    value
        Shape ``(y, x)``; NaN where there is no value.
    background
        What lies below the stars: a number, or of that shape.
    sigma
        One standard deviation of a pixel: a number, or of that shape.

    Examples
    --------
    >>> y, x = np.mgrid[:100, :100]
    >>> sky = np.random.default_rng(1).normal(0, 1, (100, 100))
    >>> for row in (12.3, 37.1, 62.7, 87.2):
    ...     for column in (6.2, 31.6, 56.3, 81.8):
    ...         sky += 900 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8)
    >>> round(width_of_stars(sky, 0.0, 1.0), 1)
    4.7
    """
    _, top, (up, down, left, right) = _tops(value, background, sigma)
    if top.size < _FEW:
        return math.nan
    # A flat top is a saturated one.
    bends = np.log(top**4 / (up * down * left * right))
    bends = bends[bends > 0]
    if bends.size < _FEW:
        return math.nan
    variance = 2 / float(np.median(bends))
    return _FWHM_OF_SIGMA * math.sqrt(max(variance - _OF_PIXEL, 0.0))
