"""What disturbs bias frames: noise that rows share, interference, and structure that stays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.pairs import shared_variance
from daskred.kernels.robust import medians, robust_sigma, scaled_mad

Pixels = NDArray[np.float64]
_CLIP_SIGMA = 5.0
_CERTAIN = 7.0  # deviations: one in many thousand frequencies is no chance then
_NEIGHBOURS = 15  # frequencies on either side that tell how strong noise is
FEWEST_COLUMNS = 4 * _NEIGHBOURS + 4  # that have so many frequencies


class Disturbance(NamedTuple):
    """What a pair of bias frames differ by beside the noise of single pixels.

    Parameters
    ----------
    row_variance
        Of what all pixels of a row share, in the difference of two frames, ADU squared.
    power
        Of each frequency along rows, ADU squared; that of white noise is its variance.
    n_rows
        How many rows these are means over.
    """

    row_variance: float
    power: Pixels
    n_rows: int


def disturbance_of(difference: Pixels, variance: float) -> Disturbance:
    """Return how the difference of two equal frames is disturbed.

    Parameters
    ----------
    difference
        Shape ``(y, x)``; NaN where there is none.
    variance
        Of single pixels of it.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> rows = rng.normal(0, 2, (2000, 1)) + rng.normal(0, 3, (2000, 100))
    >>> round(disturbance_of(rows, 9.0).row_variance)
    4
    """
    centre = float(medians(difference[np.isfinite(difference)]))
    values = np.where(np.isfinite(difference), difference - centre, 0.0)
    limit = _CLIP_SIGMA * math.sqrt(variance)
    middles = np.median(values, axis=1, keepdims=True)
    near = np.abs(values - middles) < limit
    values = np.where(near, values, middles)
    means = values.mean(axis=1)
    n_columns = values.shape[1]
    values -= means[:, np.newaxis]
    # Frames of unlike slope are no wave.
    x = np.linspace(-1, 1, n_columns)
    values -= np.polyval(np.polyfit(x, values.mean(axis=0), min(2, n_columns - 1)), x)
    row_variance = scaled_mad(means) ** 2 - variance / n_columns
    spectrum = np.abs(np.fft.rfft(values, axis=1)) ** 2 / n_columns
    return Disturbance(row_variance, spectrum.mean(axis=0), len(values))


class RowNoise(NamedTuple):
    """Noise that the pixels of a row share, and one standard deviation of it, ADU."""

    adu: float
    error_adu: float


def row_noise(found: Sequence[Disturbance], variance: float, n_columns: int) -> RowNoise:
    """Return what rows of one frame share, of the differences of pairs.

    Parameters
    ----------
    found
        Of each pair, of frames that follow each other.
    variance
        Of single pixels of their differences.
    n_columns
        Of a row.
    """
    mean = float(np.mean([one.row_variance for one in found]))
    n_rows = sum(one.n_rows for one in found)
    # A variance by median deviations is as good as an ordinary one of 0.37 times as many values.
    shares = shared_variance(len(found))
    error = (mean + variance / n_columns) * math.sqrt(2 * shares / (0.37 * n_rows))
    shared = math.sqrt(max(mean, 0.0) / 2)
    # Where there is hardly any, its root is as uncertain as the root of the error.
    return RowNoise(shared, min(error / 4 / max(shared, 1e-30), math.sqrt(error / 2)))


class Interference(NamedTuple):
    """A wave along rows: its amplitude in one frame, ADU, and its period, pixels."""

    amplitude_adu: float
    period_pixels: float


def interference_in(found: Sequence[Disturbance], n_columns: int) -> Interference | None:
    """Return the strongest wave along rows that is no chance; None where there is none.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> phases = rng.uniform(0, 6.3, (300, 1))
    >>> rows = rng.normal(0, 3, (300, 128)) + np.sin(np.arange(128) * 2 * np.pi / 8 + phases)
    >>> wave = interference_in([disturbance_of(rows, 9.0)], 128)
    >>> round(wave.period_pixels), round(wave.amplitude_adu * 2**0.5, 1)
    (8, 1.0)
    """
    power = np.mean([one.power for one in found], axis=0)[1:]  # without the rows' means
    n_rows = sum(one.n_rows for one in found)
    if n_columns < FEWEST_COLUMNS:
        return None
    padded = np.pad(power, _NEIGHBOURS, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEIGHBOURS + 1)
    usual = np.median(windows, axis=1)
    # A mean over rows of powers that are distributed exponentially.
    chance = usual / math.sqrt(n_rows)
    excess = (power - usual) / np.maximum(chance, 1e-30)
    # A wave stands out on both sides; slow noise grows towards the longest periods.
    sides = np.pad(power, 1, constant_values=(np.inf, -np.inf))
    excess[(power < sides[:-2]) | (power < sides[2:])] = 0.0
    strongest = int(np.argmax(excess))
    if not excess[strongest] > _CERTAIN:
        return None
    # A wave that lies between two frequencies is in both.
    beside = slice(max(strongest - 1, 0), strongest + 2)
    total = float(np.sum((power - usual)[beside]))
    # All of a wave is in one frequency, or half, the other half being that of the negative one.
    is_last = 2 * (strongest + 1) == n_columns
    amplitude = math.sqrt((2 if is_last else 4) * total / n_columns / 2)
    return Interference(amplitude, n_columns / (strongest + 1))


class Fixed(NamedTuple):
    """A standard deviation of what stays from frame to frame, and its error, ADU."""

    adu: float
    error_adu: float


class Structure(NamedTuple):
    """What a bias differs by from place to place.

    Parameters
    ----------
    pixels, rows, columns
        From pixel to pixel within them, from row to row, and from column to column.
    """

    pixels: Fixed
    rows: Fixed
    columns: Fixed


def structure_of(first: Pixels, second: Pixels) -> Structure:
    """Return the structure of a bias, of two means over frames that are not the same.

    It is what both have; noise, also that of rows, each has for itself.

    Parameters
    ----------
    first, second
        Shape ``(y, x)``; NaN where there is none.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> columns = rng.normal(0, 3, 1000)
    >>> halves = [columns + rng.normal(0, 1, (300, 1000)) for _ in range(2)]
    >>> [round(found.adu) for found in structure_of(*halves)]
    [0, 0, 3]
    """
    parts = zip(*(_parts(half) for half in (first, second)), strict=True)
    return Structure(*(_common(one, other) for one, other in parts))


def _parts(bias: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    """Return what is left of a bias without its rows and columns, and these."""
    known = np.where(np.isfinite(bias), bias, np.nanmedian(bias))
    rows, columns = (np.median(known, axis=axis) for axis in (1, 0))
    return known - rows[:, np.newaxis] - columns + np.median(known), rows, columns


def _common(first: Pixels, second: Pixels) -> Fixed:
    """Return the deviation of what two sets of values have in common, without outliers."""
    away = [values.reshape(-1) - float(medians(values.reshape(-1))) for values in (first, second)]
    near = np.ones(away[0].shape, bool)
    for values in away:
        near &= np.abs(values) <= _CLIP_SIGMA * robust_sigma(values)[1]
    number = np.count_nonzero(near)
    if number < 2:
        return Fixed(0.0, 0.0)
    one, other = (values[near] - values[near].mean() for values in away)
    shared, both = float(np.mean(one * other)), float(np.mean(one**2) * np.mean(other**2))
    error = math.sqrt((both + shared**2) / number)  # as of any covariance
    found = math.sqrt(max(shared, 0.0))
    # Where there is hardly any, its root is as uncertain as the root of the error.
    return Fixed(found, min(error / 2 / max(found, 1e-30), math.sqrt(error)))
