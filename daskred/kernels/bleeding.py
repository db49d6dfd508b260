"""Charge that runs over: the trails that saturated stars leave along their columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.level import quantiles

_SAMPLE = 2**16  # pixels that tell the background
_FEW = 3  # saturated pixels: what has fewer, as a hot pixel or a ray, does not run over
_TIMES = 1.5  # the light that a star has as far from its middle, across
_CLEAR = 5.0  # deviations above that
_GAP = 2  # rows that noise may hide


def trails(value: NDArray[Any], saturated: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels to which charge of saturated ones has run along their columns.

    A star is as bright along a column as across it, at the same distance from its middle; where it
    is clearly brighter along the column, and that from the saturated pixels on without a gap, there
    is charge that has run over.

    Parameters
    ----------
    value
        Calibrated pixels, shape ``(y, x)``.
    saturated
        Which of them are.

    Examples
    --------
    >>> value = np.random.default_rng(1).normal(100, 3, (60, 40))
    >>> value[10:50, 20] = 900.0
    >>> saturated = np.zeros((60, 40), bool)
    >>> saturated[28:31, 19:22] = True
    >>> found = trails(value, saturated)
    >>> np.flatnonzero(found.any(axis=1))[[0, -1]].tolist(), found.sum(axis=1).max().item()
    ([10, 49], 1)
    """
    found = np.zeros(value.shape, bool)
    if not saturated.any():
        return found
    from scipy.ndimage import find_objects, label

    some = value.reshape(-1)[:: value.size // _SAMPLE | 1]
    some = some[np.isfinite(some)]
    if not some.size:
        return found
    low, level, _ = quantiles(some, [0.16, 0.5, 0.84])
    noise = level - low
    labels, _ = label(saturated, np.ones((3, 3), int))
    for number, (rows, columns) in enumerate(find_objects(labels), start=1):
        star = labels[rows, columns] == number
        if np.count_nonzero(star) < _FEW:
            continue
        # Across it is widest, and along it longest, at its middle, also where an edge cuts it.
        middle = rows.start + _highest(star.sum(axis=1))
        centre = columns.start + _highest(star.sum(axis=0))
        light = _across(value[middle], centre, level)
        for column in columns.start + np.flatnonzero(star.any(axis=0)):
            in_star = np.flatnonzero(star[:, column - columns.start]) + rows.start
            for first, step in ((int(in_star[0]) - 1, -1), (int(in_star[-1]) + 1, 1)):
                line = value[first::step, column] if first >= 0 else value[:0, column]
                away = np.hypot(first + step * np.arange(len(line)) - middle, column - centre)
                # A quarter of a pixel nearer: nobody knows better where its middle is.
                beside = np.interp(away - 0.25, np.arange(len(light)), light)
                run = line - level > _TIMES * (beside - level) + _CLEAR * noise
                found[first + step * np.arange(_length(run)), column] = True
    return found & ~saturated


def _highest(numbers: NDArray[Any]) -> int:
    """Return where a number is largest; of several places the one in the middle."""
    places = np.flatnonzero(numbers == numbers.max())
    return int(places[len(places) // 2])


def _across(row: NDArray[Any], middle: int, level: float) -> NDArray[np.float64]:
    """Return the light of a star at each distance from its middle: the fainter of both sides.

    Beyond the edges, and where there is no value, it is the background.
    """
    reach = max(middle, len(row) - 1 - middle) + 1
    sides = np.full((2, reach + 1), math.inf)
    before, behind = row[middle::-1], row[middle:]
    sides[0, : len(before)], sides[1, : len(behind)] = before, behind
    sides[~np.isfinite(sides)] = math.inf
    light = sides.min(axis=0)
    light[~np.isfinite(light)] = level
    return np.asarray(np.maximum(light, level))


def _length(run: NDArray[np.bool_]) -> int:
    """Return how far a run reaches from its begin, over short gaps."""
    if not run.any():
        return 0
    places = np.flatnonzero(run)
    gaps = np.diff(places, prepend=-1) > _GAP + 1
    last = int(np.argmax(gaps)) if gaps.any() else len(places)
    return int(places[last - 1]) + 1 if last else 0
