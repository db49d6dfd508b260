"""From raw pixels to those that are calibrated: overscan, crosstalk, trim, linearity, gain.

Saturation is told from raw pixels, before anything is done to them; crosstalk is a part of the
signals above the overscan's level, so that it is taken back with that level known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from daskred.detector import Amplifier, Preparation
from daskred.kernels.overscan import overscan_levels

Pixels = NDArray[Any]


def prepare(
    raw: Sequence[Pixels], how: Preparation, dtype: DTypeLike = "f4"
) -> tuple[list[Pixels], list[NDArray[np.bool_]]]:
    """Return the images of a frame ready to be calibrated, and where they are saturated.

    Parameters
    ----------
    raw
        The images of the file, shape ``(y, x)`` each, ADU.
    how
        What is done.
    dtype
        float32 or float64; the arithmetic is float64.

    Returns
    -------
    images
        Shapes ``how.shapes``, in ``how.unit`` above the bias level where there is an overscan;
        NaN where no amplifier reads.
    saturated
        The same shapes.

    Raises
    ------
    ValueError
        When pixels that are not saturated lie above an amplifier's linearity table.

    Examples
    --------
    >>> from daskred.detector import parse_section, whole
    >>> amplifier = Amplifier(
    ...     "A", 0, parse_section("[1:2,1:1]"), (parse_section("[3:4,1:1]"),), 0, whole((1, 2))
    ... )
    >>> how = Preparation((amplifier,), ("",), ((1, 2),))
    >>> prepare([np.array([[110, 120, 99, 101]], "u2")], how)[0]
    [array([[10., 20.]], dtype=float32)]
    """
    images = [np.full(shape, np.nan, dtype) for shape in how.shapes]
    saturated = [np.zeros(shape, bool) for shape in how.shapes]
    signals = [_signal(raw[one.image], one, how) for one in how.amplifiers]
    if how.crosstalk:
        # Pixels that are read at the same time: a section written backwards is read backwards.
        turns = [one.data.flips for one in how.amplifiers]
        as_read = [_turned(s, flips) for s, flips in zip(signals, turns, strict=True)]
        cleaned = _without_crosstalk(as_read, how.crosstalk)
        signals = [_turned(s, flips) for s, flips in zip(cleaned, turns, strict=True)]
    for amplifier, signal in zip(how.amplifiers, signals, strict=True):
        own = raw[amplifier.image][amplifier.data.slices]
        limit = amplifier.saturation_adu
        full = np.zeros(own.shape, bool) if limit is None else np.asarray(own >= limit)
        signal = _linear(signal, amplifier, full)
        if how.unit == "electron":
            if amplifier.gain_e_per_adu is None:
                raise ValueError(f"no gain of amplifier {amplifier.name!r} is known")
            signal = signal * amplifier.gain_e_per_adu
        if how.bleed_rows and full.any():
            full = _grown(full, how.bleed_rows)
        place = amplifier.place
        images[amplifier.target][place.slices] = _turned(signal, place.flips)
        saturated[amplifier.target][place.slices] = _turned(full, place.flips)
    return images, saturated


def _signal(raw: Pixels, amplifier: Amplifier, how: Preparation) -> NDArray[np.float64]:
    """Return the pixels of an amplifier less the level of its overscan."""
    data = amplifier.data
    signal = raw[data.slices].astype("f8")
    if how.overscan is None or not amplifier.overscan:
        return signal
    beside = [s for s in amplifier.overscan if s.lies_beside(data)]
    above = [s for s in amplifier.overscan if s not in beside]
    if beside:
        strip = np.concatenate([raw[slice(*data.rows), slice(*s.columns)] for s in beside], axis=1)
        signal -= overscan_levels(strip, how.overscan)[:, np.newaxis]
    elif above:
        strip = np.concatenate([raw[slice(*s.rows), slice(*data.columns)] for s in above])
        signal -= overscan_levels(strip.T, how.overscan)[np.newaxis, :]
    return signal


def _without_crosstalk(
    signals: Sequence[NDArray[np.float64]], crosstalk: Sequence[Sequence[float]]
) -> list[NDArray[np.float64]]:
    """Subtract from each amplifier what it shows of the others, pixel by pixel as they are read."""
    if len({signal.shape for signal in signals}) > 1 or len(crosstalk) != len(signals):
        raise ValueError("crosstalk is told for amplifiers of other numbers or sizes")
    cleaned = []
    for victim, parts in zip(signals, crosstalk, strict=True):
        own = victim.copy()
        for source, part in zip(signals, parts, strict=True):
            if part:
                own -= part * source
        cleaned.append(own)
    return cleaned


def _turned(pixels: Pixels, flips: tuple[bool, bool]) -> Pixels:
    return pixels[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]


def _linear(
    signal: NDArray[np.float64], amplifier: Amplifier, saturated: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return a signal that is proportional to the light."""
    if amplifier.linearity_table:
        measured, linear = np.array(amplifier.linearity_table).T
        highest = np.max(signal, where=~saturated & np.isfinite(signal), initial=-np.inf)
        if highest > measured[-1]:
            raise ValueError(
                f"the linearity table of amplifier {amplifier.name!r} reaches {measured[-1]:g} ADU,"
                f" its pixels {highest:g}"
            )
        # Below the table, as noise around zero is, one ADU stays one ADU.
        below = signal + (linear[0] - measured[0])
        inside = np.interp(signal, measured, linear)
        return np.asarray(np.where(signal < measured[0], below, inside))
    if amplifier.linearity:
        total = np.zeros_like(signal)
        for coefficient in reversed(amplifier.linearity):
            total += coefficient
            total *= signal
        return total
    return signal


def _grown(saturated: NDArray[np.bool_], n_rows: int) -> NDArray[np.bool_]:
    """Return saturated pixels with so many neighbours up and down their column."""
    grown = saturated.copy()
    for step in range(1, n_rows + 1):
        grown[step:] |= saturated[:-step]
        grown[:-step] |= saturated[step:]
    return grown
