"""How uncertain pixels are: photons and read noise, carried through every step.

Variances are in the unit of the pixels, squared. A master is a median or mean of frames whose
noise is known, and so is its variance.

All that makes noise stands together, which makes the file a little longer than others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.reject import Method, Rejection
from daskred.kernels.robust import ROUNDING_VARIANCE
from daskred.kernels.scratch import scratch
from daskred.kernels.spread import (
    by_number,
    median_factor,
    overscan_rounding,
    rounding_variance,
)
from daskred.model.readout import Amplifier, Overscan, Readout, Section

Pixels = NDArray[np.floating[Any]]
# The mean of so many pixels scatters less than any number is rounded.
_MANY = 256


def knows_noise(readout: Readout) -> bool:
    """Whether gain and read noise of every amplifier are known."""
    return all(
        amplifier.gain_e_per_adu and amplifier.read_noise_e for amplifier in readout.amplifiers
    )


class OverscanLevel(NamedTuple):
    """Of what the level of an overscan is made.

    Parameters
    ----------
    statistic
        ``median`` or ``mean``.
    n_pixels
        Of how many pixels; of a curve, of how many that are as good.
    part
        The level's variance over that of so many pixels: a curve averages it.
    """

    statistic: Method
    n_pixels: int
    part: float = 1.0


def overscan_levels(amplifier: Amplifier, overscan: Overscan | None) -> list[OverscanLevel]:
    """Return of what the levels of an amplifier's overscan are made: of rows, then of columns.

    Examples
    --------
    >>> from daskred.model.readout import parse_section, whole
    >>> strips = parse_section("[11:30,1:8]"), parse_section("[1:10,9:12]")
    >>> amplifier = Amplifier("", 0, parse_section("[1:10,1:8]"), strips, 0, whole((8, 10)))
    >>> [level.n_pixels for level in overscan_levels(amplifier, Overscan("mean"))]
    [20, 4]
    """
    if overscan is None:
        return []
    method: Method = "median" if overscan.statistic == "median" else "mean"
    ways = (
        (sum(strip.shape[1] for strip in amplifier.beside), amplifier.data.shape[0]),
        (sum(strip.shape[0] for strip in amplifier.above), amplifier.data.shape[1]),
    )
    levels = []
    for n_across, n_along in ways:
        if not n_across:
            continue
        part = 1.0
        if overscan.fit != "none":
            free = {"constant": 1, "spline": max(8, overscan.order)}
            part = min(free.get(overscan.fit, overscan.order + 1) / n_along, 1.0)
        levels.append(OverscanLevel(method, n_across, part))
    return levels


def overscan_variance(levels: Sequence[OverscanLevel], variance: float, step: float) -> float:
    """Return the variance of an overscan's level in one frame.

    Parameters
    ----------
    levels
        Of what it is made.
    variance
        Of one pixel of it, before it is rounded.
    step
        Pixels are whole multiples of it; 0 where they are not rounded.

    Examples
    --------
    >>> overscan_variance([OverscanLevel("mean", 20)], 4.0, 0.0)
    0.2
    """
    total = 0.0
    for level in levels:
        factor = median_factor(level.n_pixels) if level.statistic == "median" else 1.0
        rounding = rounding_variance(level.statistic, level.n_pixels, np.array(variance), step)
        total += level.part * (factor * variance / level.n_pixels + float(rounding))
    return total


def overscan_error(readout: Readout) -> float:
    """Return by how much the level of an overscan is wrong, the same for a row; 0 without one.

    In the unit of the pixels; of several amplifiers, the largest.
    """
    errors = [0.0]
    for amplifier in readout.amplifiers:
        gain, noise = amplifier.gain_e_per_adu or 1.0, amplifier.read_noise_e or 0.0
        levels = overscan_levels(amplifier, readout.overscan)
        error = math.sqrt(overscan_variance(levels, (noise / gain) ** 2, readout.step_adu))
        errors.append(error * gain if readout.unit == "electron" else error)
    return max(errors)


def noise_terms(
    amplifier: Amplifier, readout: Readout, rounded: bool = True
) -> tuple[float, float]:
    """Return the variance of a pixel without signal, and its growth with the signal.

    Without signal there are read noise, what the level of the overscan is wrong by, and the
    rounding to whole numbers, unless it is to be left out.

    Raises
    ------
    ValueError
        When gain or read noise are not known.
    """
    gain, noise = amplifier.gain_e_per_adu, amplifier.read_noise_e
    if not gain or not noise:
        raise ValueError(f"gain and read noise of amplifier {amplifier.name!r} are not known")
    single, step = (noise / gain) ** 2, readout.step_adu if rounded else 0.0
    floor = single + step**2 * ROUNDING_VARIANCE
    floor += overscan_variance(overscan_levels(amplifier, readout.overscan), single, step)
    if readout.unit == "electron":
        return gain**2 * floor, 1.0
    return floor, 1 / gain


def signal_variance(
    signal: Pixels,
    readout: Readout,
    target: int,
    first_row: int = 0,
    out: Pixels | None = None,
    rounded: bool = True,
) -> Pixels:
    """Return the variance that read noise and photons give to single pixels.

    Parameters
    ----------
    signal
        Rows of a prepared image above the bias level, light and dark current.
    readout
        Tells gain and read noise of each amplifier.
    target, first_row
        Which image, and which of its rows comes first.
    out
        Where the result goes, in its precision; float64 where None.
    rounded
        Whether rounding to whole numbers counts.

    Raises
    ------
    ValueError
        When gain or read noise are not known.

    Examples
    --------
    >>> from daskred.model.readout import whole
    >>> amplifier = Amplifier("", 0, whole((1, 1)), (), 0, whole((1, 1)), 2.0, 8.0)
    >>> signal_variance(np.array([[100.0]]), Readout((amplifier,), ("",), ((1, 1),)), 0)
    array([[66.]])
    """
    variance = np.empty(signal.shape) if out is None else out
    amplifiers = [amplifier for amplifier in readout.amplifiers if amplifier.target == target]
    if len(amplifiers) > 1:
        variance[...] = np.nan  # between amplifiers, where nobody reads
    for amplifier in amplifiers:
        floor, slope = noise_terms(amplifier, readout, rounded)
        place = _place_within(amplifier, first_row, len(signal))
        part = variance[place]
        np.maximum(signal[place], 0.0, out=part, casting="same_kind")
        part *= slope
        part += floor
    return variance


def combined_rounding(
    variance: NDArray[np.float64],
    n_used: NDArray[Any],
    combining: tuple[Method, Rejection],
    readout: Readout,
    target: int,
    first_row: int = 0,
) -> NDArray[np.float64]:
    """Return what rounding to whole numbers adds to the variance of combined frames.

    Parameters
    ----------
    variance
        Of single pixels before they are rounded, as `signal_variance` has it.
    n_used
        How many are combined.
    combining
        By which method, and after which rejection.
    readout, target, first_row
        As of `signal_variance`.

    Examples
    --------
    >>> from daskred.model.readout import whole
    >>> amplifier = Amplifier("", 0, whole((1, 1)), (), 0, whole((1, 1)), 2.0, 8.0)
    >>> readout = Readout((amplifier,), ("",), ((1, 1),), step_adu=1.0)
    >>> plain = "median", Rejection()
    >>> combined_rounding(np.array([[16.0]]), np.array([[61]]), plain, readout, 0).round(3)
    array([[0.083]])
    """
    added = np.zeros(variance.shape)
    for amplifier in readout.amplifiers:
        if amplifier.target != target or not readout.step_adu:
            continue
        scale = (amplifier.gain_e_per_adu or 1.0) if readout.unit == "electron" else 1.0
        step = readout.step_adu * scale
        place = _place_within(amplifier, first_row, len(variance))
        pixels, numbers, part = variance[place], n_used[place], added[place]
        levels = overscan_levels(amplifier, readout.overscan)
        level = levels[0] if levels else None
        read_noise = (amplifier.read_noise_e or 0.0) / (amplifier.gain_e_per_adu or 1.0)
        common = overscan_variance(levels, (scale * read_noise) ** 2, 0.0)
        single = np.maximum(pixels - common, 0.0)
        for n, where in by_number(numbers):
            if not n:
                continue
            if level is None:
                part[where] = rounding_variance(combining[0], n, single[where], step)
            else:
                # A curve through the levels is as good as a mean of more pixels.
                statistic: Method = level.statistic if level.part == 1 else "mean"
                n_pixels = math.ceil(level.n_pixels / level.part)
                part[where] = overscan_rounding(
                    *combining, n, single[where], step, min(n_pixels, _MANY), statistic
                )
    return added


def add_above_levels(
    total: Pixels,
    pixels: Pixels,
    levels: Sequence[float],
    readout: Readout,
    target: int,
    first_row: int = 0,
) -> None:
    """Add rows of an image, less the level of each amplifier, in place.

    Where a level is not known, nothing is added. Each option of a band is a parameter.

    Parameters
    ----------
    total
        Changed in place.
    pixels
        What is added.
    levels
        Of all amplifiers of a readout, in their order; NaN where it is not known.
    readout, target, first_row
        As of `signal_variance`.

    Examples
    --------
    >>> from daskred.model.readout import whole
    >>> amplifier = Amplifier("", 0, whole((1, 1)), (), 0, whole((1, 1)), 2.0, 8.0)
    >>> readout, total = Readout((amplifier,), ("",), ((1, 1),)), np.array([[5.0]])
    >>> add_above_levels(total, np.array([[103.0]]), [100.0], readout, 0)
    >>> total.tolist()
    [[8.0]]
    """
    for amplifier, level in zip(readout.amplifiers, levels, strict=True):
        if amplifier.target == target and not math.isnan(level):
            part = total[place := _place_within(amplifier, first_row, len(pixels))]
            part += pixels[place]
            part -= level


def scale_levels(
    variance: Pixels, factors: Sequence[float], readout: Readout, target: int, first_row: int = 0
) -> None:
    """Multiply rows of an image by a factor for each amplifier, in place."""
    for amplifier, factor in zip(readout.amplifiers, factors, strict=True):
        if amplifier.target == target:
            variance[_place_within(amplifier, first_row, len(variance))] *= factor


def _place_within(amplifier: Amplifier, first_row: int, n_rows: int) -> tuple[slice, slice]:
    """Return where an amplifier's pixels lie in a band of rows."""
    return _rows_within(amplifier.place, first_row, n_rows), slice(*amplifier.place.columns)


def _rows_within(place: Section, first_row: int, n_rows: int) -> slice:
    start = min(max(place.rows[0] - first_row, 0), n_rows)
    return slice(start, min(max(place.rows[1] - first_row, 0), n_rows))


def add_flat_variance(variance: Pixels, value: Pixels, flat_variance: Pixels) -> None:
    """Add what a flat's uncertainty gives to the variance of pixels before they are divided by it.

    Parameters
    ----------
    variance
        Changed in place.
    value
        The pixels over the flat.
    flat_variance
        Of the flat.

    Examples
    --------
    >>> variance = np.array([4.0])
    >>> add_flat_variance(variance, np.array([10.0]), np.array([0.01]))
    >>> variance.tolist()
    [5.0]
    """
    part = scratch("variance of a flat", value.shape, value.dtype)
    np.multiply(value, value, out=part)
    part *= flat_variance
    variance += part


def sigma_of(variance: Pixels, divisor: Pixels | None, out: Pixels) -> None:
    """Write one standard deviation of pixels that are divided by a flat, or are not.

    Examples
    --------
    >>> out = np.empty(1)
    >>> sigma_of(np.array([5.0]), np.array([2.0]), out)
    >>> out.tolist()
    [1.118033988749895]
    """
    np.sqrt(variance, out=out, casting="same_kind")
    if divisor is not None:
        with np.errstate(invalid="ignore"):
            out /= divisor
