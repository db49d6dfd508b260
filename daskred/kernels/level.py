"""The level of a frame: the one number that stands for how bright it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import quantiles
from daskred.kernels.scratch import scratch

# Of the robust standard deviation: the width of the Gaussian that smooths the histogram. On a
# broad distribution narrower ones let noise decide where the peak is.
SMOOTHING = 0.5
_BINS_PER_SIGMA = 50
_HALF_RANGE_SIGMA = 4
_SAMPLE_PIXELS = 16384
_FEW_PIXELS = 4096
_ENOUGH_PIXELS = 2**20
# Of one of several flats, whose levels are refined: half of a small frame, so many of a large one.
_LEAST_OF_ONE, _MOST_OF_ONE = 2**15, 2**18
_STRIP = 2**16
_MOST_COUNTS = 2**18


def _robust_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the median and half the central 68 % range of a regular sample."""
    # An odd step does not fall into step with the columns of a frame.
    sample = values[:: values.size // _SAMPLE_PIXELS | 1]
    low, middle, high = quantiles(sample, [0.16, 0.5, 0.84])
    return middle, (high - low) / 2


def histogram_mode(values: NDArray[Any]) -> float:
    """Return the peak of the smoothed histogram: a mode that noise does not move.

    The values within four robust standard deviations of the median are counted in bins of a
    fiftieth of one, the counts smoothed with a Gaussian of half of one, and the peak placed by
    a parabola through the three highest bins. Vignetting, stars and cosmic rays hardly pull it.

    Parameters
    ----------
    values
        Finite values, one-dimensional, at least one.

    Examples
    --------
    >>> round(histogram_mode(np.random.default_rng(1).normal(100, 5, 100000)))
    100
    """
    middle, sigma = _robust_range(values)
    if sigma <= 0:
        return middle
    width = sigma / _BINS_PER_SIGMA
    n_bins = 2 * _HALF_RANGE_SIGMA * _BINS_PER_SIGMA
    low = middle - _HALF_RANGE_SIGMA * sigma
    counts = np.zeros(n_bins + 2, np.intp)
    for start in range(0, values.size, _STRIP):
        strip = values[start : start + _STRIP]
        places = scratch("places", strip.shape, "f8")
        np.subtract(strip, low, out=places, dtype="f8")
        places /= width
        # What lies outside falls into a bin at either end that is cut off.
        np.clip(places, -1, n_bins, out=places)
        places += 1
        bins = scratch("bins", strip.shape, np.intp)
        np.copyto(bins, places, casting="unsafe")
        counts += np.bincount(bins, minlength=n_bins + 2)
    counts = counts[1:-1]
    reach = int(4 * SMOOTHING * _BINS_PER_SIGMA)
    offsets = np.arange(-reach, reach + 1) / (SMOOTHING * _BINS_PER_SIGMA)
    smooth = np.convolve(counts.astype("f8"), np.exp(-(offsets**2) / 2), mode="same")
    peak = int(np.argmax(smooth))
    left, top, right = smooth[max(peak - 1, 0)], smooth[peak], smooth[min(peak + 1, n_bins - 1)]
    curvature = left - 2 * top + right
    shift = (left - right) / (2 * curvature) if curvature < 0 else 0.0
    return float(low + (peak + 0.5 + shift) * width)


def exact_mode(values: NDArray[Any]) -> float:
    """Return the most frequent value, the smallest of several: ``scipy.stats.mode``.

    Whole and half numbers, as raw pixels less a median of raw pixels are, are counted without
    being sorted.

    Examples
    --------
    >>> exact_mode(np.array([3.0, 1.0, 3.0, 1.0]))
    1.0
    """
    low, high = float(values.min()), float(values.max())
    counts = None
    if high - low < _MOST_COUNTS / 2 and (2 * low).is_integer():
        counts = _counts_of_halves(values, low, high)
    if counts is not None:
        return low + int(np.argmax(counts)) / 2
    unique, numbers = np.unique(values, return_counts=True)
    return float(unique[np.argmax(numbers)])


def _counts_of_halves(values: NDArray[Any], low: float, high: float) -> NDArray[np.intp] | None:
    """Count ``low``, ``low + 1/2``, and so on; None where there is anything in between."""
    counts = np.zeros(int(2 * (high - low)) + 1, np.intp)
    for start in range(0, values.size, _STRIP):
        strip = values[start : start + _STRIP]
        places = scratch("places", strip.shape, "f8")
        np.subtract(strip, low, out=places, dtype="f8")
        places *= 2
        bins = scratch("bins", strip.shape, np.intp)
        np.copyto(bins, places, casting="unsafe")
        if (bins != places).any():
            return None
        counts += np.bincount(bins, minlength=counts.size)
    return counts


def sampling_step(n_pixels: int, method: str, is_one: bool = False) -> int:
    """Return every how many rows of a frame are enough for its level.

    The mode of a million pixels scatters less than photon noise moves anything; that of one of
    several flats, whose levels are refined, need not be so good; the other methods are defined on
    all pixels.

    Examples
    --------
    >>> sampling_step(2048 * 2048, "mode"), sampling_step(2048 * 2048, "median")
    (4, 1)
    """
    if method != "mode":
        return 1
    enough = _ENOUGH_PIXELS
    if is_one:
        enough = min(max(n_pixels // 2, _LEAST_OF_ONE), _MOST_OF_ONE)
    return max(1, round(n_pixels / enough))


METHODS: Mapping[str, Callable[[NDArray[Any]], float]] = {
    "mode": histogram_mode,
    "exact-mode": exact_mode,
    "median": lambda values: float(np.median(values)),
    "mean": lambda values: float(np.mean(values, dtype="f8")),
}


def level(values: NDArray[Any], method: str) -> float:
    """Return the level of a frame.

    Parameters
    ----------
    values
        Pixels, any shape; NaN and infinite ones are passed over.
    method
        ``mode``, ``exact-mode``, ``median`` or ``mean``.

    Returns
    -------
    float
        NaN where no pixel is finite.

    Raises
    ------
    ValueError
        For a method that does not exist.

    Examples
    --------
    >>> level(np.array([[1.0, 2.0], [2.0, np.nan]]), "exact-mode")
    2.0
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; there are {', '.join(METHODS)}")
    flat = values.reshape(-1)
    finite = np.isfinite(flat, out=scratch("finite", flat.shape, "?"))
    if not finite.all():
        flat = flat[finite]
    return METHODS[method](flat) if flat.size else float("nan")


# Of the light of bright pixels: what has less is dim, and no lit pixel has less than the second.
_DIM = 0.1
LIT = 0.2
_MANY_DIM = 0.2
BRIGHT = 0.995


@dataclass(frozen=True, slots=True)
class Light:
    """How bright a flat is.

    Parameters
    ----------
    level
        That of its lit pixels.
    lit
        What part of its pixels is lit.
    noise
        Standard deviation, of the differences of pixels that are next but one.
    """

    level: float
    lit: float
    noise: float


def light_of(values: NDArray[Any], method: str, is_sky: bool = False) -> Light:
    """Measure a flat where it is lit: spectrographs, fibres and masks leave most pixels dark.

    Where a fifth of the pixels, or more, has less than a tenth of the light of the brightest, only
    pixels that have more than a fifth of it count. The most frequent value stays that of all.

    Parameters
    ----------
    values
        Rows of pixels, each less its dark, one behind the other.
    method
        As of `level`.
    is_sky
        Whether all pixels count: of frames of the sky, the bright ones are stars.

    Examples
    --------
    >>> slit = np.where(np.arange(4000) % 4, 40.0, 1e4)
    >>> found = light_of(slit + np.random.default_rng(1).normal(0, 5, 4000), "mode")
    >>> round(found.level, -2), found.lit
    (10000.0, 0.25)
    """
    flat = values.reshape(-1)
    finite = np.isfinite(flat, out=scratch("finite", flat.shape, "?"))
    if not finite.all():
        flat = flat[finite]
    if not flat.size:
        return Light(math.nan, 0.0, 0.0)
    sample = flat[:: flat.size // _FEW_PIXELS | 1]
    (bright,) = quantiles(sample, [BRIGHT])
    near = flat[:_FEW_PIXELS]
    steps = np.abs(near[2:] - near[:-2])  # of one colour, where a sensor has a pattern of colours
    # The median of a Gaussian's differences.
    noise = 1.0484 * quantiles(steps, [0.5])[0] if steps.size else 0.0
    dim = np.count_nonzero(sample < _DIM * bright) / sample.size
    if is_sky or bright <= 0 or dim < _MANY_DIM or method == "exact-mode":
        level = METHODS[method](flat)
        return Light(level, float(np.count_nonzero(sample > LIT * level)) / sample.size, noise)
    lit = flat[flat > LIT * bright]
    return Light(METHODS[method](lit), lit.size / flat.size, noise)


def frame_level(images: Sequence[NDArray[Any]], method: str) -> float:
    """Return the level of a frame, over all its images together.

    Parameters
    ----------
    images
        Shape ``(y, x)`` each.
    method
        As of `level`.

    Examples
    --------
    >>> frame_level([np.array([[1.0, 2.0]]), np.array([[2.0]])], "exact-mode")
    2.0
    """
    step = sampling_step(sum(image.size for image in images), method)
    return level(np.concatenate([image[::step].reshape(-1) for image in images]), method)
