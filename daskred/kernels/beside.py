"""What is bright in one frame of a field alone: cosmic rays, told by the other frames.

A pixel is a ray where it is above the median of the other frames by more than noise, and by more
than that median changes to the pixels next to it, so that stars that are a little sharper, or
elsewhere, are none (Fruchter and Hook 2002, PASP 114, 144, section 3.4; STScI's drizzlepac).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.fringes import smooth_light
from daskred.kernels.median import median_over_frames
from daskred.kernels.robust import known_values, robust_sigma, scaled_mad
from daskred.kernels.shifts import Shift, shift_between
from daskred.kernels.widths import bright_stars

LEAST_FRAMES = 2  # beside the frame itself
_TYPICAL = 2**16  # pixels that tell level and noise
_CHANGE = 1.2  # times what the median changes by to the next pixel is no ray
# What is next to a ray is one with less: of that change, and of the deviations asked for.
_NEXT_CHANGE, _NEXT_SIGMA = 0.7, 0.75
_BRIGHTEST, _NEAR = 12, 2.0  # stars that are looked for in the other frame, so many pixels around
_FEW_STARS, _MOST_OF_THEM = 3, 0.6  # so many are to be there
_DIMMER = 3.0  # times the light of stars: frames that differ by more are not compared
_SATURATED = 0.9  # of what is: such stars have no top
_OF_MEDIAN = math.pi / 2  # the variance of a median over that of a mean


@dataclass(frozen=True)
class Sky:
    """Level and noise of a frame, and its brightest stars.

    Parameters
    ----------
    level, noise
        The median, and one robust standard deviation, of its pixels.
    stars
        Of each row, column and light.
    """

    level: float
    noise: float
    stars: NDArray[np.float64]

    @classmethod
    def of(cls, value: NDArray[Any], full: float) -> Sky | None:
        """Return those of pixels of shape ``(y, x)``; None where none has a value.

        What comes near the level at which pixels are full is no star whose place is known.
        """
        known = value[np.isfinite(value)]
        if not known.size:
            return None
        level, noise = robust_sigma(known[:: known.size // _TYPICAL | 1])
        below = np.where(value < level + _SATURATED * (full - level), value, np.nan)
        return cls(level, noise, bright_stars(below, level, noise))


def _shift(own: Sky, other: Sky, shape: tuple[int, int]) -> Shift | None:
    """Return where stars of another frame lie; None where it does not clearly show the same.

    Without stars in either, nothing says that the telescope has moved.
    """
    if not len(own.stars) and not len(other.stars):
        return Shift(0.0, 0.0, 1.0)
    found = shift_between(own.stars, other.stars)
    if found is None or not 1 / _DIMMER < found.light < _DIMMER:
        return None
    # A few pairs agree by chance in any two fields: most of the brightest stars are to be there.
    there = own.stars[:, :2] + (found.y, found.x)
    inside = ((there >= 0) & (there < np.array(shape) - 1)).all(axis=1)
    there = there[inside][:_BRIGHTEST]
    away = np.abs(there[:, np.newaxis] - other.stars[np.newaxis, :, :2]).max(axis=2)
    n_seen = np.count_nonzero(away.min(axis=1) < _NEAR) if away.size else 0
    return found if n_seen >= max(_FEW_STARS, _MOST_OF_THEM * len(there)) else None


def _moved(value: NDArray[Any], down: int, right: int) -> NDArray[Any]:
    """Return an image whose pixel ``(y, x)`` is that of ``(y + down, x + right)``; NaN outside."""
    height, width = value.shape
    found = np.full(value.shape, np.nan, value.dtype)
    rows = slice(max(-down, 0), min(height - down, height))
    columns = slice(max(-right, 0), min(width - right, width))
    if rows.start < rows.stop and columns.start < columns.stop:
        taken = value[rows.start + down : rows.stop + down]
        found[rows, columns] = taken[:, columns.start + right : columns.stop + right]
    return found


def _around(value: NDArray[Any], reduce: Any) -> NDArray[Any]:
    """Return of each pixel and the eight around it what a function of two makes of them."""
    padded = np.pad(value, 1, mode="edge")
    rows = reduce(reduce(padded[:-2], padded[1:-1]), padded[2:])
    return np.asarray(reduce(reduce(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]))


def rays_beside(
    value: NDArray[Any],
    masked: NDArray[np.bool_],
    others: Sequence[NDArray[Any]],
    clip_sigma: float,
    gain_per_unit: float,
    sigma: NDArray[np.float32] | None = None,
    full: float = math.inf,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Return where a frame is brighter than the others of its field ever are.

    Parameters
    ----------
    value
        Calibrated pixels, shape ``(y, x)``.
    masked
        Pixels that are not looked at.
    others
        The same of other frames of the field, calibrated alike, at least two; their stars may lie
        elsewhere. NaN where they have no value.
    clip_sigma
        By how many deviations a ray stands out at least.
    gain_per_unit
        Electrons for one unit of the pixels.
    sigma
        One standard deviation of each pixel; None where the scatter of the sky is to tell it.
    full
        Where pixels are saturated.

    Returns
    -------
    hit, told : arrays of bool, or None
        And of which pixels two others tell it at least. None where fewer than two show the same
        stars.

    Examples
    --------
    >>> frames = np.random.default_rng(1).normal(100, 5, (4, 64, 80))
    >>> frames[0, 20, 30] += 400
    >>> hit, _ = rays_beside(frames[0], np.zeros((64, 80), bool), list(frames[1:]), 5.0, 1.0)
    >>> np.argwhere(hit).tolist()
    [[20, 30]]
    """
    own = Sky.of(np.where(masked, np.nan, value), full)
    if own is None:
        return None
    aligned, lights = [], []
    for other in map(known_values, others):
        sky = Sky.of(other, full)
        if sky is None or (shift := _shift(own, sky, value.shape)) is None:
            continue
        there = _moved(other, round(shift.y), round(shift.x))
        aligned.append((there - sky.level) / shift.light + own.level)
        lights.append(shift.light)
    if len(aligned) < LEAST_FRAMES:
        return None
    stack = np.stack(aligned)
    # Where another frame has no pixel, the rest tells it, if they are two.
    expected = median_over_frames(stack)
    expected[np.count_nonzero(np.isfinite(stack), axis=0) < LEAST_FRAMES] = np.nan
    away = value - expected
    told = np.isfinite(away) & ~masked
    if not told.any():
        return None
    # Moonlight lies across each frame in its own way.
    away -= smooth_light(away, ~told)
    # Others are noisier by as much as they are dimmer, and have noise of their own together.
    noisier = 1 + _OF_MEDIAN / len(aligned) * float(np.mean(np.square(lights) ** -1.0))
    if sigma is None:
        some = away[told]
        noise = scaled_mad(some[:: some.size // _TYPICAL | 1], 0.0)
        photons = np.maximum(expected - own.level, 0) / gain_per_unit
        deviation = np.sqrt(noise**2 + photons * noisier)
    else:
        deviation = sigma * math.sqrt(noisier)
    filled = np.where(np.isfinite(expected), expected, own.level)
    change = np.maximum(_around(filled, np.maximum) - filled, filled - _around(filled, np.minimum))
    hit = told & (away > clip_sigma * deviation + _CHANGE * change)
    weaker = away > _NEXT_SIGMA * clip_sigma * deviation + _NEXT_CHANGE * change
    return hit | (told & weaker & _around(hit, np.logical_or)), told
