"""Pixels beside their neighbours: a step, a glow or a dark corner makes none of them odd."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import robust_sigma

Pixels = NDArray[np.floating[Any]]
# Wider than a cluster of bad pixels or a few bad columns, and narrower than a glow.
_SIDE = 9
_MOST_BINS = 32
_BIN_PIXELS = 4000


def local_median(image: Pixels) -> NDArray[np.float64]:
    """Return the median of the 9x9 pixels around each; at edges as if the image were mirrored.

    Parameters
    ----------
    image
        Shape ``(y, x)``. Pixels without a value count as the median of all.

    Examples
    --------
    >>> image = np.ones((12, 12))
    >>> image[5, 5] = 99.0
    >>> local_median(image).max().item()
    1.0
    """
    from scipy.ndimage import median_filter

    finite = np.isfinite(image)
    filled = image.astype("f8")
    if not finite.all():
        known = image[finite]
        filled[~finite] = np.median(known) if known.size else 0.0
    return np.asarray(median_filter(filled, _SIDE, mode="reflect"))


def _between(values: NDArray[Any], parts: Sequence[float]) -> NDArray[np.float64]:
    """Return quantiles as if each value stood for all up to halfway to the next ones.

    Those of whole numbers are not coarse then.
    """
    levels, counts = np.unique(values, return_counts=True)
    if levels.size < 3:
        return np.asarray(np.quantile(values, parts))
    middles = (levels[1:] + levels[:-1]) / 2
    ends = 2 * levels[0] - middles[0], 2 * levels[-1] - middles[-1]
    edges = np.concatenate([ends[:1], middles, ends[1:]])
    below = np.concatenate([[0.0], np.cumsum(counts) / values.size])
    return np.asarray(np.interp(parts, below, edges))


def deviations(image: Pixels, local: Pixels) -> tuple[NDArray[np.float64], float]:
    """Return by how many robust deviations each pixel is above the median of its neighbours.

    And how large one is, in the middle.

    A deviation is that of all pixels whose neighbours are about as bright: where a glow or light
    lies on a detector, there is more noise.

    Parameters
    ----------
    image, local
        Shape ``(y, x)``; the second as `local_median` returns it.

    Examples
    --------
    >>> image = np.random.default_rng(1).normal(10, 2, (60, 60))
    >>> image[7, 9] = 70.0
    >>> found, deviation = deviations(image, local_median(image))
    >>> np.argwhere(found > 10).tolist(), round(deviation)
    ([[7, 9]], 2)
    """
    above = (image - local).reshape(-1)
    found = np.full(above.size, np.nan)
    sigmas: list[float] = []
    order = np.argsort(local, axis=None, kind="stable")
    order = order[np.isfinite(above[order])]
    n_bins = max(1, min(_MOST_BINS, order.size // _BIN_PIXELS))
    for places in np.array_split(order, n_bins):
        if places.size:
            low, middle, high = _between(above[places], [0.16, 0.5, 0.84])
            # Whole numbers may be alike so often that only rarer ones tell how they scatter.
            sigma = (high - low) / 2 or robust_sigma(above[places])[1] or math.inf
            found[places] = (above[places] - middle) / sigma
            sigmas.append(sigma)
    return found.reshape(image.shape), sorted(sigmas)[len(sigmas) // 2] if sigmas else math.nan
