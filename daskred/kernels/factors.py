"""By what factors the flats of a master differ: of each against what all of them have in common.

The level of a single flat is blurred by all that makes its pixels differ: vignetting, a slit,
amplifiers of unlike gain, the stars of a twilight. Flats of one master share all that but the
stars; what they differ by is a factor, and that is measured against their median.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.level import BRIGHT, LIT, histogram_mode
from daskred.kernels.median import median_over_frames
from daskred.kernels.robust import quantiles
from daskred.kernels.scratch import scratch

# Values that are further away do not count, and nearer ones the more: four deviations of a normal
# value, in median deviations.
_REACH = 5.9304
_ROUNDS = 2
_FEW_PIXELS = 16
_START_PIXELS = 2**12  # tell where to begin, and how far values scatter
_STRIP = 2**13
FEW_FRAMES = 12  # each is compared with the others, for it would be much of what all have in common


def relative_factors(flats: NDArray[Any], numbers: Sequence[int] | None = None) -> list[float]:
    """Return for flats the factor between each and what all have in common.

    It is the most likely one of photon noise, the sum of the flat over that of their median, of lit
    pixels, each weighted by Tukey's biweight: stars, satellites and cosmic rays do not count
    (Beaton and Tukey 1974, Technometrics 16, 147). Their light only adds, so that what is darker
    than the most frequent ratio tells how far ratios scatter.

    Parameters
    ----------
    flats
        Shape ``(frame, pixel)``: the same pixels of each flat less its dark, over its level; NaN
        where there is no value.
    numbers
        Whose factor is wanted; None for all.

    Examples
    --------
    >>> light = np.array([1.0, 0.9, 1.1, 0.5] * 50)
    >>> flats = np.random.default_rng(1).normal(np.outer([1.0, 1.02, 0.99], light), 0.001)
    >>> [round(factor, 2) for factor in relative_factors(flats)]
    [1.0, 1.02, 0.99]
    """
    n_flats = len(flats)
    numbers = range(n_flats) if numbers is None else numbers
    common = median_over_frames(flats)
    lit = _lit(common)
    if np.count_nonzero(lit) < _FEW_PIXELS:
        return [1.0] * len(numbers)
    where: Any = slice(None) if lit.all() else lit
    if n_flats >= FEW_FRAMES:
        common = common[where]
        return [_factor(flats[number][where], common) for number in numbers]
    flats = flats[:, where]
    factors = np.ones(n_flats)
    for _ in range(2):  # the first changes what the others have in common
        found = []
        for number, flat in enumerate(flats):
            others = np.delete(flats, number, axis=0) / np.delete(factors, number)[:, np.newaxis]
            found.append(_factor(flat, median_over_frames(others)) / factors[number])
        # A flat that differs from the others by x does so from all, itself included, by less.
        factors *= np.array(found) ** ((n_flats - 1) / n_flats)
    return [float(factors[number]) for number in numbers]


def _lit(common: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which pixels have light, of what flats have in common."""
    known = common[np.isfinite(common)]
    if not known.size:
        return np.zeros(common.shape, bool)
    (bright,) = quantiles(known, [BRIGHT])
    with np.errstate(invalid="ignore"):
        return np.asarray(common > max(LIT * bright, 0))


def _factor(flat: NDArray[Any], common: NDArray[np.float64]) -> float:
    """Return the factor of one flat; 1 where its pixels tell none, as those of another slit."""
    factor = _measured(flat, common)
    return factor if 0 < factor < math.inf else 1.0


def _measured(flat: NDArray[Any], common: NDArray[np.float64]) -> float:
    values = scratch("flat of a factor", flat.shape, "f8")
    values[...] = flat
    flat = values
    known = np.isfinite(flat) & (common > 0)
    if not known.all():
        flat, common = flat[known], common[known]
    if flat.size < _FEW_PIXELS:
        return 1.0
    # Some pixels tell nearly where it is, and how far values scatter; odd steps do not fall into
    # step with the columns.
    step = flat.size // _START_PIXELS | 1
    few, few_common = flat[::step].copy(), common[::step].copy()
    factor = histogram_mode(few / few_common)
    darker = (factor * few_common - few) / np.sqrt(few_common)  # as photon noise goes
    darker = darker[darker >= 0]
    reach = _REACH * quantiles(darker, [0.5])[0] if darker.size else 0.0
    if not reach > 0:
        return factor
    for _ in range(_ROUNDS):
        factor = _nearer(few, few_common, reach, factor)
    return _nearer(flat, common, reach, factor) if step > 1 else factor


def _nearer(
    flat: NDArray[np.float64], common: NDArray[np.float64], reach: float, factor: float
) -> float:
    """Return a better factor: a step of Newton's towards that of the biweight."""
    pull = slope = 0.0
    for start in range(0, flat.size, _STRIP):
        light, expected = flat[start : start + _STRIP], common[start : start + _STRIP]
        away = scratch("away from a factor", light.shape, "f8")
        near = scratch("nearness to a factor", light.shape, "f8")
        np.multiply(expected, -factor, out=away)
        away += light
        np.multiply(away, away, out=near)
        near /= expected
        near *= -1 / reach**2
        near += 1
        np.maximum(near, 0, out=near)  # one less the square of the deviation over its reach
        # How the weighted deviations fall when the factor grows.
        slope -= 4 * float(expected @ near)
        np.multiply(near, near, out=near)
        slope += 5 * float(expected @ near)
        pull += float(away @ near)
    return factor + pull / slope if slope > 0 else factor
