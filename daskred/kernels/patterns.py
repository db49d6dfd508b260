"""What disturbs bias frames: noise that rows share, interference, and structure that stays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import medians, robust_sigma, scaled_mad

Pixels = NDArray[np.float64]
_CLIP_SIGMA = 5.0
_CERTAIN = 7.0  # deviations: one in many thousand frequencies is no chance then
_NEIGHBOURS = 15  # frequencies on either side that tell how strong noise is


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
    row_variance = scaled_mad(means) ** 2 - variance / n_columns
    spectrum = np.abs(np.fft.rfft(values - means[:, np.newaxis], axis=1)) ** 2 / n_columns
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
        Of each pair.
    variance
        Of single pixels of their differences.
    n_columns
        Of a row.
    """
    mean = float(np.mean([one.row_variance for one in found]))
    n_rows = sum(one.n_rows for one in found)
    # A variance by median deviations is as good as an ordinary one of 0.37 times as many values.
    error = (mean + variance / n_columns) * math.sqrt(2 / (0.37 * n_rows))
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
    if power.size <= 2 * _NEIGHBOURS:
        return None
    padded = np.pad(power, _NEIGHBOURS, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEIGHBOURS + 1)
    usual = np.median(windows, axis=1)
    # A mean over rows of powers that are distributed exponentially.
    chance = usual / math.sqrt(n_rows)
    excess = (power - usual) / np.maximum(chance, 1e-30)
    strongest = int(np.argmax(excess))
    if not excess[strongest] > _CERTAIN:
        return None
    # A wave that lies between two frequencies is in both.
    beside = slice(max(strongest - 1, 0), strongest + 2)
    total = float(np.sum((power - usual)[beside]))
    amplitude = math.sqrt(4 * total / n_columns / 2)
    return Interference(amplitude, n_columns / (strongest + 1))


class Structure(NamedTuple):
    """What a master bias differs by from place to place, ADU: standard deviations.

    Parameters
    ----------
    pixels, rows, columns
        From pixel to pixel within them, from row to row, and from column to column.
    """

    pixels: float
    rows: float
    columns: float


def structure_of(bias: Pixels, variance: float) -> Structure:
    """Return the structure of a bias, without its noise.

    Parameters
    ----------
    bias
        Shape ``(y, x)``.
    variance
        Of the noise of its pixels.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> bias = rng.normal(0, 3, 1000) + rng.normal(0, 1, (300, 1000))
    >>> [round(value) for value in structure_of(bias, 1.0)]
    [0, 0, 3]
    """
    known = np.where(np.isfinite(bias), bias, np.nanmedian(bias))
    rows, columns = (np.median(known, axis=axis) for axis in (1, 0))
    left = known - rows[:, np.newaxis] - columns + np.median(known)
    found = [
        _beyond(left, variance),
        _beyond(rows, math.pi / 2 * variance / bias.shape[1]),
        _beyond(columns, math.pi / 2 * variance / bias.shape[0]),
    ]
    return Structure(*found)


def _beyond(values: NDArray[Any], variance: float) -> float:
    """Return the deviation of values beyond what noise explains."""
    away = values.reshape(-1) - float(medians(values.reshape(-1)))
    # Medians of whole numbers have a coarse median deviation, which only says what is far.
    near = away[np.abs(away) <= _CLIP_SIGMA * robust_sigma(away)[1]]
    return math.sqrt(max(float(np.var(near)) - variance, 0.0)) if near.size else 0.0
