"""What the night sky shows in frames that are divided by a flat: uneven light, and fringes.

Uneven light is what remains on the scale of the detector, since a lamp or a twilight shines
another way than the night sky does (IRAF's mkillumcor). Fringes are light of the sky's emission
lines that interferes within the detector: they add, as bright as these lines are (Howell 2012,
PASP 124, 263).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.background import Pixels, mesh_of, smoothed
from daskred.kernels.robust import noise_of_neighbours, scaled_mad

_N_BLOCKS = 16  # along the shorter side: much wider than fringes
_LEAST_BLOCK = 32
_FIT_PIXELS = 2**20  # tell how bright fringes are
_CLIP_SIGMA = 3.0
_REAL = 2.0  # times the power that noise gives a pattern
_ROUNDS = 8
_FEW_PIXELS = 100
_LEAST = 1e-5  # of the sky: what is fainter is rounding
_STEEP = 0.2  # of the fainter of two blocks: a straight line does not go on beyond them
_DIM = 0.2  # of the light: where there is less, nothing tells how even it is
_REACH = 1  # pixels on either side, whose mean is a pixel of a pattern
_SMOOTHED = 2 * _REACH + 1  # by so much its noise is less


def smooth_light(
    image: Pixels, flagged: NDArray[np.bool_] | None = None, rows: slice = slice(None)
) -> Pixels:
    """Return the smooth part of an image: straight lines between the levels of blocks.

    Parameters
    ----------
    image
        Shape ``(y, x)``; NaN are pixels without a value.
    flagged
        Pixels that do not count; None for none.
    rows
        Which rows of it are wanted.

    Examples
    --------
    >>> y, x = np.indices((128, 128))
    >>> smooth = smooth_light(1 + 0.1 * y / 128 + 0.02 * np.sin(x))
    >>> bool(np.abs(smooth - 1 - 0.1 * y / 128).max() < 0.005)
    True
    """
    block = max(_LEAST_BLOCK, min(image.shape) // _N_BLOCKS)
    mesh, _, y, x = mesh_of(image, flagged, block)
    mesh = np.where(np.isfinite(mesh), mesh, smoothed(mesh))
    down = _lines(mesh, y.places(np.arange(image.shape[0])[rows], beyond=True), 0)
    wide = _lines(down, x.places(np.arange(image.shape[1]), beyond=True), 1)
    return np.asarray(wide.astype(image.dtype))


def _lines(mesh: NDArray[np.float64], places: NDArray[np.float64], axis: int) -> NDArray[Any]:
    """Return values on straight lines between neighbours along an axis, and beyond the last."""
    last = mesh.shape[axis] - 1
    if last == 0:
        return np.repeat(mesh, len(places), axis)
    before = np.clip(places.astype(np.intp), 0, last - 1)
    share = np.expand_dims(places - before, 1 - axis)
    first, second = (np.take(mesh, before + n, axis) for n in (0, 1))
    change = second - first
    steep = np.abs(change) > _STEEP * np.minimum(np.abs(first), np.abs(second))
    return np.asarray(first + np.where(steep, np.clip(share, 0, 1), share) * change)


def illumination(smooth: Pixels) -> Pixels:
    """Return what frames are divided by, of the smooth part of a master of the sky.

    Examples
    --------
    >>> illumination(np.array([0.9, 0.01, -1.0])).tolist()
    [0.9, 0.2, 0.2]
    """
    return np.maximum(smooth, smooth.dtype.type(_DIM))


def fringe_pattern(sky: Pixels, smooth: Pixels) -> Pixels:
    """Return the fringes of a master of sky frames, without their noise from pixel to pixel.

    Parameters
    ----------
    sky, smooth
        The master, shape ``(y, x)``, and its smooth part.

    Returns
    -------
    array
        Of the same shape: the mean of 3 x 3 pixels of what is not smooth; 0 where none is known,
        and everywhere where noise makes all of it.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(1, 0.01, (64, 64))
    >>> fringes = noise + 0.02 * np.sin(np.arange(64) / 4)
    >>> [bool(fringe_pattern(sky, np.ones((64, 64))).any()) for sky in (noise, fringes)]
    [False, True]
    """
    fine = sky - smooth
    known = np.isfinite(fine)
    pattern = _mean_around(fine, known)
    noise = noise_of_neighbours(fine)
    if noise is None:
        return np.zeros_like(pattern)
    by_noise = (noise / _SMOOTHED) ** 2
    power = scaled_mad(pattern[known], 0.0) ** 2
    return pattern if power > max(_REAL * by_noise, _LEAST**2) else np.zeros_like(pattern)


def _mean_around(fine: Pixels, known: NDArray[np.bool_]) -> Pixels:
    """Return the mean of each pixel and its neighbours, of those that are known; 0 for none."""
    padded = np.pad(np.where(known, fine, 0), _REACH)
    counted = np.pad(known.astype("u1"), _REACH)
    height, width = fine.shape
    total = np.zeros(fine.shape, fine.dtype)
    n = np.zeros(fine.shape, "u1")
    for y in range(_SMOOTHED):
        for x in range(_SMOOTHED):
            total += padded[y : y + height, x : x + width]
            n += counted[y : y + height, x : x + width]
    return np.asarray(total / np.maximum(n, 1).astype(fine.dtype))


def fringe_scale(image: Pixels, flagged: NDArray[np.bool_], pattern: Pixels) -> tuple[float, float]:
    """Return how bright the fringes of an image are, and by how much that may be wrong.

    It is the factor by which a pattern fits best what is not smooth in the image; pixels further
    than three deviations off, as stars, do not count.

    Parameters
    ----------
    image
        Shape ``(y, x)``, divided by the flat; NaN are pixels without a value.
    flagged
        Pixels that do not count.
    pattern
        See `fringe_pattern`.

    Returns
    -------
    scale, error
        In the unit of the image; 0 and infinity where nothing tells it.

    Examples
    --------
    >>> y, x = np.indices((128, 128))
    >>> pattern = np.sin(x / 3 + y / 5)
    >>> image = np.random.default_rng(1).normal(1000 + 20 * pattern, 30)
    >>> scale, error = fringe_scale(image, np.zeros(image.shape, bool), pattern)
    >>> round(scale), round(error, 1)
    (20, 0.3)
    """
    step = max(1, image.size // _FIT_PIXELS)
    rows = slice(step // 2, None, step)
    fine = (image[rows] - smooth_light(image, flagged, rows)).reshape(-1)
    fringes = pattern[rows].reshape(-1)
    good = np.isfinite(fine) & (fringes != 0) & ~flagged[rows].reshape(-1)
    fine, fringes = fine[good].astype("f8"), fringes[good].astype("f8")
    if fine.size < _FEW_PIXELS:
        return 0.0, math.inf
    near = np.ones(fine.shape, bool)
    scale = 0.0
    for _ in range(_ROUNDS):
        power = float(np.sum(fringes[near] ** 2))
        if not power > 0:
            return 0.0, math.inf
        scale = float(np.sum(fine[near] * fringes[near])) / power
        left = np.abs(fine - scale * fringes)
        sigma = scaled_mad(left, 0.0)
        now = left <= _CLIP_SIGMA * sigma
        if (now == near).all():
            break
        near = now
    return scale, sigma / math.sqrt(power)
