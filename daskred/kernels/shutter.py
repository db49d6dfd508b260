"""How much longer the shutter is open for each pixel than headers say, of flats of several times.

The light of a flat is that of the lamp, times the time for which the pixel sees it. Blades that
take a while to open and to close let some pixels see it longer than others: of a short flat that is
a larger part than of a long one (Stetson 1989, "Some factors affecting the accuracy of stellar
photometry with CCDs"; Zissell 2000, JAAVSO 28, 149).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from daskred.kernels.flat import flat_tile
from daskred.kernels.robust import medians, scaled_mad

_CERTAIN = 3.0  # standard errors
_FEW_TIMES = 3
_STEADY = 1e-3  # of its light: a lamp that wanders by more has changed
_FAR_S = 1000.0  # seconds: no shutter takes so long
_ROUNDING = 1e-6  # of a level: what scatters less is as good as exact


def common_delay(times_s: Sequence[float], levels: Sequence[float]) -> tuple[float, float]:
    """Return by how much longer flats are exposed than they say, and its error, seconds.

    Two times tell nothing, since the lamp may have changed between them: at least three must lie on
    one line.

    Parameters
    ----------
    times_s
        The exposure time of each flat, seconds.
    levels
        How bright each is.

    Returns
    -------
    delay, error
        The delay is 0 where it is not three times its error; both are NaN where it is not told.

    Examples
    --------
    >>> times, levels = [1.0, 1.0, 4.0, 4.0, 8.0], [1050.0, 1051.0, 4049.0, 4051.0, 8050.0]
    >>> delay, error = common_delay(times, levels)
    >>> round(delay, 2), error < 0.01
    (0.05, True)
    >>> common_delay(times, [*levels[:4], 9000.0])
    (nan, nan)
    """
    times, found = np.asarray(times_s, "f8"), np.asarray(levels, "f8")
    different, number = np.unique(times, return_counts=True)
    if len(different) < _FEW_TIMES or not (found > 0).all():
        return math.nan, math.nan
    middle = np.array([float(medians(found[times == time])) for time in different])
    # Of each time the level has an error that is a part of itself.
    weights = np.sqrt(number) / middle
    terms = np.stack([different, np.ones(len(different))], axis=1) * weights[:, np.newaxis]
    rate, offset = np.linalg.lstsq(terms, np.sqrt(number), rcond=None)[0].tolist()
    if not rate > 0:
        return math.nan, math.nan
    of_each = np.repeat(middle, number)
    scatter = max(scaled_mad(found[np.argsort(times, kind="stable")] / of_each, 1.0), _ROUNDING)
    away = np.abs(middle / (rate * different + offset) - 1)
    if (away > _CERTAIN * scatter / np.sqrt(number) + _STEADY).any():
        return math.nan, math.nan
    covariance = np.linalg.inv(terms.T @ terms) * max(scatter, float(away.max())) ** 2
    delay, error = offset / rate, math.sqrt(covariance[1, 1]) / rate
    return (delay if abs(delay) >= _CERTAIN * error else 0.0), error


def delay_tile(
    tile: NDArray[Any],
    darks: NDArray[np.float64],
    *,
    which: Sequence[int],
    levels: Sequence[float],
    times_s: Sequence[float],
    delay_s: float,
    precision: DTypeLike = "f8",
) -> tuple[NDArray[np.float64]]:
    """Return by how much longer each pixel of a band is exposed than headers say, seconds.

    Of each exposure time the median flat; through these, as bright as the lamp is steady, the
    straight line of each pixel, which is zero where the shutter opens for it.

    Parameters
    ----------
    tile, darks, which, levels, precision
        As of `daskred.kernels.flat.flat_tile`.
    times_s
        The exposure time of each flat, seconds.
    delay_s
        By how much longer typical pixels are exposed, on which levels are measured.

    Examples
    --------
    >>> light = np.array([[1.0, 2.0]])  # of two pixels, of which one sees 0.1 s more
    >>> tile = np.stack([light * ([[0.0, 0.1]] + np.full((1, 2), t)) for t in (1.0, 10.0)])
    >>> none = np.zeros((1, 1, 2))
    >>> found = delay_tile(
    ...     tile, none, which=[0, 0], levels=[1.0, 10.0], times_s=[1.0, 10.0], delay_s=0.0
    ... )
    >>> found[0].round(6).tolist()
    [[0.0, 0.1]]
    """
    times = np.asarray(times_s, "f8")
    rate, start = np.zeros(tile.shape[1:]), np.zeros(tile.shape[1:])
    different = np.unique(times)
    open_s = different + delay_s
    n_frames = np.array([np.count_nonzero(times == time) for time in different])
    # The photons of a flat grow with its time, and so the variance of its light.
    weights = n_frames / open_s
    total, first, second = (float(np.sum(weights * different**power)) for power in range(3))
    determinant = total * second - first**2
    for time, seconds, weight in zip(different, open_s, weights, strict=True):
        some = np.flatnonzero(times == time).tolist()
        ratio = flat_tile(
            tile[some],
            darks,
            which=[which[n] for n in some],
            levels=[levels[n] for n in some],
            precision=precision,
        )
        light = ratio * seconds
        rate += weight * (total * time - first) / determinant * light
        start += weight * (second - first * time) / determinant * light
    return (start / rate,)


def smooth_delay(delay_s: NDArray[Any]) -> NDArray[Any]:
    """Return the smooth part of the delays of an image.

    Examples
    --------
    >>> y, x = np.indices((64, 96))
    >>> noise = np.random.default_rng(1).normal(0, 0.01, (64, 96))
    >>> bool(np.abs(smooth_delay(0.001 * (x - 48) + noise) - 0.001 * (x - 48)).max() < 0.004)
    True
    """
    from daskred.kernels.fringes import smooth_light

    # As light that is never near zero, where straight lines would not go on.
    return np.asarray(smooth_light(delay_s.astype("f8") + _FAR_S) - _FAR_S, delay_s.dtype)


def exposure_factors(delay_s: NDArray[Any], exptime_s: float) -> NDArray[Any]:
    """Return by what factor each pixel has seen more light than its exposure time tells.

    Where nobody knows the delay, it is taken for none.

    Examples
    --------
    >>> exposure_factors(np.array([0.0, 0.1, np.nan]), 2.0).tolist()
    [1.0, 1.05, 1.0]
    """
    return np.asarray(1 + np.where(np.isfinite(delay_s), delay_s, 0) / exptime_s)
