"""Pixels that are replaced by what lies around them, and how uncertain they are then."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_REACH = 2  # pixels to each side: 5 x 5
_CLEARLY = 3.0  # deviations: so much more scatter than noise explains is structure
_CHUNK = 2**14


def replace_by_neighbours(
    value: NDArray[Any],
    wanted: NDArray[np.bool_],
    good: NDArray[np.bool_],
    sigma: NDArray[Any] | None = None,
) -> None:
    """Replace pixels by the mean of the good ones around them, 5 x 5, in place.

    Where there are none, pixels stay as they are.

    Parameters
    ----------
    value
        Shape ``(y, x)``.
    wanted
        Which pixels are replaced.
    good
        Which may be used for it.
    sigma
        One standard deviation of each pixel: where one is replaced, that of the mean; and where
        neighbours differ by more than their noise, as on the flank of a star, what they do.

    Examples
    --------
    >>> value = np.ones((5, 5)); value[2, 2] = 99; sigma = np.full((5, 5), 0.5)
    >>> replace_by_neighbours(value, value > 9, value < 9, sigma)
    >>> value[2, 2].item(), sigma[2, 2].round(3).item()
    (1.0, 0.102)
    """
    steps = np.arange(-_REACH, _REACH + 1)
    all_rows, all_columns = np.nonzero(wanted)
    found: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for start in range(0, all_rows.size, _CHUNK):
        rows = all_rows[start : start + _CHUNK, np.newaxis, np.newaxis] + steps[:, np.newaxis]
        columns = all_columns[start : start + _CHUNK, np.newaxis, np.newaxis] + steps
        inside = (rows >= 0) & (rows < value.shape[0])
        inside = inside & (columns >= 0) & (columns < value.shape[1])
        rows, columns = np.broadcast_arrays(
            rows.clip(0, value.shape[0] - 1), columns.clip(0, value.shape[1] - 1)
        )
        use = inside & good[rows, columns]
        n = use.sum(axis=(1, 2))
        some = np.maximum(n, 1)
        values = np.where(use, value[rows, columns].astype("f8"), 0.0)
        mean = values.sum(axis=(1, 2)) / some
        mean[n == 0] = math.nan
        deviation = np.zeros(len(mean))
        if sigma is not None:
            noise = np.where(use, np.square(sigma[rows, columns], dtype="f8"), 0.0)
            noise_of_one = noise.sum(axis=(1, 2)) / some
            apart = np.where(use, values - mean[:, np.newaxis, np.newaxis], 0.0)
            scatter = np.square(apart).sum(axis=(1, 2)) / np.maximum(n - 1, 1)
            expected = noise_of_one * (1 + _CLEARLY * np.sqrt(2 / np.maximum(n - 1, 1)))
            deviation = np.sqrt(noise_of_one / some + np.maximum(scatter - expected, 0.0))
        found.append((mean, deviation))
    if not found:
        return
    mean, deviation = (np.concatenate(parts) for parts in zip(*found, strict=True))
    known = np.isfinite(mean)
    places = all_rows[known], all_columns[known]
    value[places] = mean[known]
    if sigma is not None:
        sigma[places] = deviation[known]
