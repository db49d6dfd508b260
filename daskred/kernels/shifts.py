"""By how much the stars of one frame lie elsewhere than in another, and how bright they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Stars = NDArray[np.float64]
_BRIGHTEST = 60
_NEAR = 2.0  # pixels: pairs whose steps agree so well are of one star each
_FEW = 3
_STRIDE = 2**24  # more squares than any image is wide
_CHANCE = 0.2  # of the stars: so many agree at least where it is no chance


class Shift(NamedTuple):
    """Where the stars of a frame are beside those of another.

    Parameters
    ----------
    y, x
        By how many pixels they lie further up, and further right.
    light
        How bright they are, over the others: the median.
    """

    y: float
    x: float
    light: float


def shift_between(first: Stars, second: Stars) -> Shift | None:
    """Return where the stars of the second frame are beside those of the first; None if unknown.

    Most differences of places are those of two stars by chance; those of one star agree.

    Parameters
    ----------
    first, second
        Of each star row, column and light, shape ``(star, 3)``.

    Examples
    --------
    >>> stars = np.random.default_rng(1).uniform(0, 500, (30, 3))
    >>> found = shift_between(stars, stars * [1, 1, 0.5] + [3, -7, 0])
    >>> [round(value, 2) for value in found]
    [3.0, -7.0, 0.5]
    """
    one, other = (stars[np.argsort(-stars[:, 2])][:_BRIGHTEST] for stars in (first, second))
    least = max(_FEW, _CHANCE * min(len(one), len(other)))
    if min(len(one), len(other)) < _FEW:
        return None
    steps = (other[np.newaxis, :, :2] - one[:, np.newaxis, :2]).reshape(-1, 2)
    light = (other[np.newaxis, :, 2] / one[:, np.newaxis, 2]).reshape(-1)
    near = _most_alike(steps)
    if np.count_nonzero(near) < least:
        return None
    y, x = np.median(steps[near], axis=0)
    return Shift(float(y), float(x), float(np.median(light[near])))


def _most_alike(steps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of some steps lie in the fullest square; squares of four grids overlap."""
    fullest, n_fullest = np.zeros(len(steps), bool), 0
    for down, right in ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5)):
        cells = np.floor(steps / (2 * _NEAR) + (down, right)).astype("i8")
        keys = cells[:, 0] * _STRIDE + cells[:, 1]
        values, numbers = np.unique(keys, return_counts=True)
        if numbers.max() > n_fullest:
            n_fullest = int(numbers.max())
            fullest = keys == values[np.argmax(numbers)]
    return fullest
