"""Where stars, galaxies and rays are in frames of the night sky: by what the others have there.

Each frame is compared with the median of all, so that fringes, vignetting and whatever else they
share are no objects. That needs frames between which the telescope has moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.median import median_over_frames
from daskred.kernels.robust import SIGMA_OF_MAD, medians, noise_of_neighbours

_NEAR = 2  # pixels: the light of so many on either side is added up
_BRIGHT, _ALONE = 3.0, 6.0  # sigma, of such a sum and of one pixel
_GROWN = 3  # pixels: wings are fainter than what is found
_AROUND = 4  # pixels on either side that tell the noise
_ROWS = 8
# By what the median deviation of so few normal values from their own median is too small (Croux
# and Rousseeuw 1992, Computational Statistics 1, 411).
_OF_FEW = {2: 1.196, 3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}
# What lies so many rows away does not matter any more.
MARGIN = _GROWN + max(_NEAR, _AROUND) + 1


def _added(values: NDArray[Any], reach: int) -> NDArray[Any]:
    """Return for each pixel the sum of those so near in rows and columns, itself included.

    It is added in one order for each pixel, so that it is the same however frames are cut.
    """
    for axis in (0, 1):
        total = values.copy()
        ahead, behind = np.moveaxis(total, axis, 0), np.moveaxis(values, axis, 0)
        for step in range(1, min(reach, len(ahead) - 1) + 1):
            ahead[step:] += behind[:-step]
            ahead[:-step] += behind[step:]
        values = total
    return values


def objects_in(sky: NDArray[np.float32], levels: Sequence[float]) -> NDArray[np.bool_]:
    """Tell which pixels of frames have the light of an object.

    Parameters
    ----------
    sky
        Shape ``(frame, y, x)``: frames of the sky, each over its level; NaN where there is no
        value. It is overwritten.
    levels
        Of the frames: the more light, the less noise.

    Returns
    -------
    array of bool
        Of the same shape.

    Examples
    --------
    >>> sky = np.random.default_rng(1).normal(1, 0.01, (7, 20, 30)).astype("f4")
    >>> sky[2, 8:11, 14:17] += 0.1
    >>> found = objects_in(sky, [100.0] * 7)
    >>> found[2, 6:13, 12:19].all(), found[3, 9, 15]
    (np.True_, np.False_)
    """
    n_frames, height, width = sky.shape
    sky -= median_over_frames(sky).astype("f4")
    # Each frame has its share in the median, which makes few of them look alike.
    share = _OF_FEW.get(n_frames, n_frames / max(n_frames - 0.8, 1))
    noise = np.empty((height, width), "f4")
    for row in range(0, height, _ROWS):  # few at a time, which takes little memory
        rows = slice(row, row + _ROWS)
        noise[rows] = median_over_frames(np.abs(sky[:, rows]))
    noise[~np.isfinite(noise)] = 0
    known = _added(np.ones((height, width), "f4"), _AROUND)
    noise = _added(noise, _AROUND) / known * np.float32(SIGMA_OF_MAD * share)
    fainter = np.sqrt(np.median(levels) / np.asarray(levels, "f8")).astype("f4")
    n_added = (2 * _NEAR + 1) ** 2
    found = np.empty(sky.shape, bool)
    for frame, scale, out in zip(sky, fainter, found, strict=True):
        frame[~np.isfinite(frame)] = 0
        sigma = noise * scale
        bright = _added(frame, _NEAR) > _BRIGHT * np.sqrt(n_added) * sigma
        bright |= frame > _ALONE * sigma
        bright &= sigma > 0  # where nothing tells the noise, nothing is above it
        out[...] = _added(bright.astype("u1"), _GROWN) > 0
    return found


_TILE = 128  # columns that share a level
_RANK, _BEYOND, _CERTAIN = 0.001, 1.5, 5.0


def pixels_of_stars(band: NDArray[np.float32]) -> int:
    """Return how many pixels of some rows of a master of the sky belong to stars.

    Fringes are as dark as they are bright, and dust is dark: what is brighter than half as much
    again as the darkest thousandth is dark is a star, if a neighbour is so too.

    Parameters
    ----------
    band
        Shape ``(y, x)``; NaN where there is no value. Enough rows to tell what is usual.

    Examples
    --------
    >>> sky = np.random.default_rng(1).normal(1, 0.01, (64, 256)).astype("f4")
    >>> sky += 0.1 * np.sin(np.arange(256) / 4).astype("f4")
    >>> before = pixels_of_stars(sky)
    >>> sky[30:33, 90:93] += 0.5
    >>> before, pixels_of_stars(sky)
    (0, 9)
    """
    away = np.full(band.shape, np.nan, "f4")
    for start in range(0, band.shape[1], _TILE):
        tile = band[:, start : start + _TILE]
        known = tile[np.isfinite(tile)]
        if known.size:
            away[:, start : start + _TILE] = tile - medians(known)
    known = away[np.isfinite(away)]
    if not known.size:
        return 0
    darkest = -float(np.partition(known, int(_RANK * known.size))[int(_RANK * known.size)])
    sigma = noise_of_neighbours(away) or 0.0
    with np.errstate(invalid="ignore"):
        bright = away > max(_BEYOND * darkest, _CERTAIN * sigma)
    padded = np.pad(bright, 1)
    beside = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return int(np.count_nonzero(bright & beside))
