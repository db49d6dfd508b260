"""By what plane the light of each frame of the sky differs from what all of them have in common.

Moonlight and dawn lie across a frame in another way from exposure to exposure; what the detector
and the telescope do to the sky is the same in all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import scaled_mad

_ROUNDS = 8
_CLIP_SIGMA = 2.5
_FEW_PIXELS = 100
_LEAST, _MOST = 0.2, 5.0  # a frame that differs by more is not alike


class Plane(NamedTuple):
    """By what part light is more, in the middle of an image, and from its first side to the last.

    Parameters
    ----------
    middle, down, right
        In the middle; over all rows; over all columns.
    """

    middle: float = 0.0
    down: float = 0.0
    right: float = 0.0

    def factors(self, first_row: int, n_rows: int, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Return by what factor rows of an image of shape ``(y, x)`` are brighter.

        Examples
        --------
        >>> Plane(0.0, 0.2, 0.0).factors(0, 2, (2, 1)).tolist()
        [[0.95], [1.05]]
        """
        height, width = shape
        y = (np.arange(first_row, first_row + n_rows) + 0.5) / height - 0.5
        x = (np.arange(width) + 0.5) / width - 0.5
        found = 1 + self.middle + self.down * y[:, np.newaxis] + self.right * x
        return np.asarray(np.clip(found, _LEAST, _MOST))


def plane_of(ratio: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]) -> Plane:
    """Return the plane through ratios of a frame to what all have in common; stars do not count.

    Parameters
    ----------
    ratio
        Of some pixels; NaN where there is none.
    y, x
        Where they lie, parts of the image from its middle.

    Examples
    --------
    >>> y, x = np.meshgrid(np.linspace(-0.5, 0.5, 40), np.linspace(-0.5, 0.5, 30))
    >>> noise = np.random.default_rng(1).normal(0, 0.01, y.shape)
    >>> found = plane_of((1 + 0.1 * y + noise).ravel(), y.ravel(), x.ravel())
    >>> [abs(round(part, 2)) for part in found]
    [0.0, 0.1, 0.0]
    """
    terms = np.stack([np.ones(len(ratio)), y, x], axis=1)
    known = np.isfinite(ratio)
    near = known
    plane = np.zeros(3)
    for _ in range(_ROUNDS):
        if np.count_nonzero(near) < _FEW_PIXELS:
            return Plane()
        some = terms[near]
        plane = np.linalg.lstsq(some.T @ some, some.T @ (ratio[near] - 1), rcond=None)[0]
        away = ratio - 1 - terms @ plane
        sigma = scaled_mad(away[near], 0.0)
        now = known & (np.abs(away) <= _CLIP_SIGMA * sigma)
        if (now == near).all():
            break
        near = now
    return Plane(*plane.tolist())
