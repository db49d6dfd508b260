"""The stars of a frame: how many, how wide, how round. SEP finds them, where it is installed."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_CLEAR = 5.0  # deviations of a pixel
_FEWEST_PIXELS = 5
_MESH = 128  # pixels that share a background
_LEVELS = 8  # by which stars that touch are told apart; more of them take longer
_FEW_BRIGHT, _ALL_BRIGHT = 2**15, 2**20  # pixels that SEP has room for, which it clears each time
_FWHM_OF_SIGMA = 2 * math.sqrt(2 * math.log(2))
_FEW = 5  # stars that tell how wide they are
_MIXED, _CUT_OFF = 0x01 | 0x02, 0x04 | 0x08  # SEP's flags: blended, saturated, at an edge


class Stars(NamedTuple):
    """What there is of stars.

    Parameters
    ----------
    places
        Of each row, column and light above the background, shape ``(star, 3)``.
    fwhm_pixels, ellipticity
        Of a typical one; NaN where there are few. The ellipticity is one less the ratio of axes.
    """

    places: NDArray[np.float64]
    fwhm_pixels: float
    ellipticity: float


NO_STARS = Stars(np.empty((0, 3)), math.nan, math.nan)


@cache
def can_find_stars() -> bool:
    """Whether SEP is installed."""
    try:
        import sep
    except ImportError:
        return False
    return sep is not None


def stars_in(pixels: NDArray[Any]) -> Stars | None:
    """Return the stars in an image; None where nothing is installed that finds them.

    Parameters
    ----------
    pixels
        Shape ``(y, x)``; NaN where there is no value.

    Examples
    --------
    >>> y, x = np.mgrid[:200, :200]
    >>> sky = np.random.default_rng(1).normal(100, 1, (200, 200))
    >>> for row in (31.2, 77.7, 123.4, 169.5):
    ...     for column in (40.1, 95.3, 160.8):
    ...         sky += 300 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8)
    >>> found = stars_in(sky)
    >>> found is None or (len(found.places), round(found.fwhm_pixels)) == (12, 5)
    True
    """
    if not can_find_stars() or min(pixels.shape) < 2 * _FEWEST_PIXELS:
        return None
    import sep

    values = np.ascontiguousarray(pixels, "f4")
    missing = ~np.isfinite(values)
    if missing.all():
        return NO_STARS
    values = np.where(missing, np.float32(0), values)
    side = min(_MESH, *pixels.shape)
    background = sep.Background(values, mask=missing, bw=side, bh=side)
    background.subfrom(values)
    found = None
    for room in (_FEW_BRIGHT, _ALL_BRIGHT):
        sep.set_extract_pixstack(room)
        try:
            found = sep.extract(
                values,
                _CLEAR,
                err=background.globalrms,
                mask=missing if missing.any() else None,
                minarea=_FEWEST_PIXELS,
                deblend_nthresh=_LEVELS,
            )
            break
        except Exception as error:  # SEP's own, where its buffers are full of what is no star
            if "limit" not in str(error) and "buffer" not in str(error):
                raise
    if found is None:
        return NO_STARS
    places = np.stack([found["y"], found["x"], found["flux"]], axis=1).astype("f8")
    places = places[places[:, 2] > 0]
    clear = (found["flag"] & (_MIXED | _CUT_OFF) == 0) & (found["peak"] > 2 * _CLEAR)
    clear &= (found["b"] > 0) & (found["a"] > 0)
    shapes = found[clear]
    if len(shapes) < _FEW:
        return Stars(places, math.nan, math.nan)
    width = _FWHM_OF_SIGMA * np.sqrt(shapes["a"] * shapes["b"])
    return Stars(places, float(np.median(width)), float(np.median(1 - shapes["b"] / shapes["a"])))
