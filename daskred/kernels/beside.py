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

from daskred.kernels.robust import known_values, robust_sigma, scaled_mad
from daskred.kernels.shifts import Shift, shift_between
from daskred.kernels.widths import bright_stars

LEAST_FRAMES = 2  # beside the frame itself
_TYPICAL = 2**16  # pixels that tell level and noise
# Of the change to the next pixel, and of the deviations that are asked for: first for single
# pixels, then for those next to them, which are hit less.
_CHANGE, _NEXT_CHANGE = 1.2, 0.7
_NEXT_SIGMA = 0.75
_FEW_STARS = 3
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
    def of(cls, value: NDArray[Any]) -> Sky | None:
        """Return those of pixels of shape ``(y, x)``; None where none has a value."""
        known = value[np.isfinite(value)]
        if not known.size:
            return None
        level, noise = robust_sigma(known[:: known.size // _TYPICAL | 1])
        return cls(level, noise, bright_stars(value, level, noise))


def _shift(own: Sky, other: Sky) -> Shift | None:
    """Return where stars of another frame lie; as here, where there are hardly any in both."""
    if max(len(own.stars), len(other.stars)) < _FEW_STARS:
        return Shift(0.0, 0.0, 1.0)
    return shift_between(own.stars, other.stars)


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
) -> NDArray[np.bool_] | None:
    """Return where a frame is brighter than the others of its field ever are.

    Parameters
    ----------
    value
        Calibrated pixels, shape ``(y, x)``.
    masked
        Pixels that are not looked at.
    others
        The same of other frames of the field, calibrated alike, at least two; their stars may lie
        elsewhere.
    clip_sigma
        By how many deviations a ray stands out at least.
    gain_per_unit
        Electrons for one unit of the pixels.
    sigma
        One standard deviation of each pixel; None where the scatter of the sky is to tell it.

    Returns
    -------
    array of bool, or None
        None where fewer than two others show the same stars.

    Examples
    --------
    >>> frames = np.random.default_rng(1).normal(100, 5, (4, 40, 50))
    >>> frames[0, 20, 30] += 400
    >>> hit = rays_beside(frames[0], np.zeros((40, 50), bool), list(frames[1:]), 5.0, 1.0)
    >>> np.argwhere(hit).tolist()
    [[20, 30]]
    """
    own = Sky.of(np.where(masked, np.nan, value))
    if own is None:
        return None
    aligned = []
    for other in others:
        sky = Sky.of(known_values(other))
        if sky is None or (shift := _shift(own, sky)) is None:
            continue
        there = _moved(other, round(shift.y), round(shift.x))
        light = min(max(shift.light, 0.5), 2.0)
        aligned.append((there - sky.level) / light + own.level)
    if len(aligned) < LEAST_FRAMES:
        return None
    stack = np.stack(aligned)
    expected = np.asarray(np.median(stack, axis=0))
    lacking = ~np.isfinite(expected)
    if lacking.any():  # where another frame has no pixel, the rest tells it, if they are two
        expected[lacking] = _median_of_known(stack[:, lacking])
    away = value - expected
    known = np.isfinite(away) & ~masked
    if not known.any():
        return np.zeros(value.shape, bool)
    if sigma is None:
        some = away[known]
        noise = scaled_mad(some[:: some.size // _TYPICAL | 1], 0.0)
        photons = np.maximum(expected - own.level, 0) / gain_per_unit
        deviation = np.sqrt(noise**2 + photons * (1 + _OF_MEDIAN / len(aligned)))
    else:
        deviation = sigma * math.sqrt(1 + _OF_MEDIAN / len(aligned))
    filled = np.where(np.isfinite(expected), expected, own.level)
    change = np.maximum(_around(filled, np.maximum) - filled, filled - _around(filled, np.minimum))
    hit = known & (away > clip_sigma * deviation + _CHANGE * change)
    weaker = away > _NEXT_SIGMA * clip_sigma * deviation + _NEXT_CHANGE * change
    return np.asarray(hit | (known & weaker & _around(hit, np.logical_or)))


def _median_of_known(columns: NDArray[Any]) -> NDArray[Any]:
    """Return the median of what is known of each column; NaN where that is less than two."""
    ordered = np.sort(columns, axis=0)  # NaN last
    number = np.count_nonzero(np.isfinite(ordered), axis=0)
    at = np.arange(ordered.shape[1])
    lower, upper = np.maximum(number - 1, 0) // 2, np.minimum(number // 2, len(ordered) - 1)
    found = (ordered[lower, at] + ordered[upper, at]) / 2
    return np.where(number >= LEAST_FRAMES, found, np.nan)
