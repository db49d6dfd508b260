"""How a master is made of its frames: what each tile needs to know.

Runs and notebooks make masters with these same functions: `daskred.run.masters` writes the tiles,
`daskred.arrays.view` labels them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from daskred.arrays.looks import Look
from daskred.arrays.masterfiles import Masters
from daskred.arrays.tiles import Reduce
from daskred.kernels.clipping import Noise
from daskred.kernels.combine import (
    combined_flat_tile,
    combined_tile,
    median_flat_tile,
    median_tile,
)
from daskred.kernels.level import Light
from daskred.kernels.shutter import common_delay, delay_tile
from daskred.model.errors import FrameError, FramesError
from daskred.model.frame import Frame
from daskred.model.plan import MasterKind, is_lit
from daskred.model.readout import Section

if TYPE_CHECKING:
    from daskred.arrays.frames import Measured
    from daskred.options import Options

# Of the level of the others: with less a flat has not had its light. Twilight fades less.
_FAINT = 0.01
# A flat with more saturated pixels than this part is none.
MAX_SATURATED = 0.05
# Standard deviations of one pixel: a flat with less light would only add noise.
_ABOVE_NOISE = 3.0


def reduction_of(kind: MasterKind, options: Options) -> Reduce:
    """Return what makes a master of tiles: the fastest that does what is asked for."""
    if kind == "shutter":
        return delay_tile
    if options.plain_median:
        return median_flat_tile if is_lit(kind) else median_tile
    return combined_flat_tile if is_lit(kind) else combined_tile


def saturation_of(frame: Frame, number: int | None = None) -> float:
    """Return the level at which an image of a frame, or any, is saturated, ADU.

    A frame that is prepared has NaN where it is saturated.
    """
    limits = [
        amplifier.saturation_adu
        for amplifier in frame.readout.amplifiers
        if amplifier.saturation_adu is not None and number in (None, amplifier.target)
    ]
    return np.inf if frame.is_prepared else min(limits, default=np.inf)


def precision_of(n_pixels: int, options: Options) -> str:
    """Return what the quotients of flats of so many pixels are rounded to before their median.

    Where the product is rounded to float32 anyway, sooner is as good, since rounding keeps the
    order; but the level of the master must not move by it. On few pixels it could, and the most
    frequent value does.
    """
    sound = options.normalize != "exact-mode" and n_pixels >= 2**16
    return str(options.dtype) if sound else "float64"


def wants_levels(kind: MasterKind, options: Options) -> bool:
    """Whether the level of each frame has to be measured before they are combined."""
    return is_lit(kind) or "level" in (options.scale, options.zero_level, options.weight)


def usable_lights(
    frames: Sequence[Frame],
    measured: Sequence[Measured | FrameError],
    lit: bool,
    limits: Mapping[str, float],
) -> list[Light]:
    """Return how bright each frame is; of flats, which are lit, refuse dark and saturated ones.

    Parameters
    ----------
    frames, measured
        The frames, and how bright each is.
    lit
        Whether they are flats.
    limits
        Of the checks, by name.

    Raises
    ------
    FramesError
        Naming the frames that cannot be used.
    """
    errors = []
    known = [found.light.level for found in measured if not isinstance(found, FrameError)]
    bright = sorted(level for level in known if level > 0)
    usual = bright[3 * len(bright) // 4] if bright else 0.0
    for frame, found in zip(frames, measured, strict=True):
        if isinstance(found, FrameError):
            errors.append(FrameError(frame.path, found.reason))
        elif lit and (text := _unusable(found, limits, usual)):
            errors.append(FrameError(frame.path, text))
    if errors:
        raise FramesError(tuple(errors))
    return [found.light for found in measured if not isinstance(found, FrameError)]


def _unusable(found: Measured, limits: Mapping[str, float], usual: float) -> str:
    """Say why a frame is no flat, where others have the usual level; nothing where it is one."""
    light = found.light
    if math.isnan(light.level):
        return "has no pixel with a value"
    if not light.level > 0:
        return f"has no light: its level less the dark is {light.level:g} ADU"
    if found.saturated > MAX_SATURATED:
        limit = "" if found.limit_adu is None else f" ({found.limit_adu:g} ADU, the largest value)"
        return f"is saturated: {found.saturated:.0%} of its pixels are{limit}"
    if "lit" not in limits:
        return ""
    if light.level < _ABOVE_NOISE * light.noise:
        text = f"its level less the dark is {light.level:.4g} ADU, its noise {light.noise:.4g}"
        return f"has no light: {text}; --unchecked lit uses it"
    if light.lit < limits["lit"]:
        return f"is hardly lit: {light.lit:.2%} of its pixels are; --unchecked lit uses it"
    if light.level < _FAINT * usual:
        text = f"its level less the dark is {light.level:.4g} ADU, others have {usual:.4g}"
        return f"has hardly any light, as with its lamp off: {text}; --unchecked lit uses it"
    return ""


def usable_looks(looks: Sequence[Look | FrameError | None]) -> list[Look | None]:
    """Return looks at frames.

    Raises
    ------
    FramesError
        Naming the frames that cannot be read.
    """
    if errors := tuple(look for look in looks if isinstance(look, FrameError)):
        raise FramesError(errors)
    return [look for look in looks if not isinstance(look, FrameError)]


def _by(way: str, frames: Sequence[Frame], levels: Sequence[float]) -> list[float]:
    """Return the level, or the exposure time, of each frame; all must be positive."""
    found: list[float] = []
    errors = []
    for number, frame in enumerate(frames):
        size = levels[number] if way == "level" else frame.facts.exptime_s or 0.0
        found.append(size)
        if not size > 0:
            text = f"its {way} is {size:g}, by which frames cannot be scaled or weighted"
            errors.append(FrameError(frame.path, text))
    if errors:
        raise FramesError(tuple(errors))
    return found


def weights_of(frames: Sequence[Frame], levels: Sequence[float], options: Options) -> list[float]:
    """Return the weight of each frame; none where all count alike."""
    return [] if options.weight == "none" else _by(options.weight, frames, levels)


def tile_options(
    kind: MasterKind,
    number: int,
    frames: Sequence[Frame],
    options: Options,
    levels: Sequence[float] = (),
    which: Sequence[int] = (),
    noises: Sequence[AmplifierNoise] = (),
) -> dict[str, Any]:
    """Return what the reduction of a tile has to know.

    Parameters
    ----------
    kind, number
        Of the master; of its image.
    frames, options
        What is combined, and how.
    levels
        Of each frame, where they are wanted.
    which
        Of flats, which of the darks is subtracted from each.
    noises
        What gain and read noise predict, where a rejection goes by it.

    Raises
    ------
    FramesError
        Naming frames that cannot be scaled or weighted.
    """
    flat = is_lit(kind)
    n_pixels = sum(shape[0] * shape[1] for _, shape in frames[0].layout)
    lit = {
        "which": list(which),
        "levels": list(levels),
        "precision": precision_of(n_pixels, options),
    }
    if kind == "shutter":
        times_s = [frame.facts.exptime_s or 0.0 for frame in frames]
        delay_s, _ = common_delay(times_s, levels)
        return {**lit, "times_s": times_s, "delay_s": 0.0 if math.isnan(delay_s) else delay_s}
    if options.plain_median:
        return lit if flat else {}
    common: dict[str, Any] = {
        "method": options.combine,
        "rejection": options.rejection,
        "noise": [(noise.place, noise.terms) for noise in noises if noise.image == number] or None,
        "precision": options.dtype,
        "limits": [saturation_of(frame, number) for frame in frames],
        "weights": weights_of(frames, levels, options),
    }
    if flat:
        return {**common, **lit}
    if options.zero_level == "level":
        common["zeros"] = [level - levels[0] for level in levels]
    if options.scale != "none":
        sizes = _by(options.scale, frames, levels)
        common["scales"] = [size / sizes[0] for size in sizes]
    return common


class AmplifierNoise(NamedTuple):
    """What gain and read noise of an amplifier predict.

    Parameters
    ----------
    image, place
        Where its pixels lie.
    terms
        Of the variance of its pixels.
    """

    image: int
    place: Section
    terms: Noise


def noises_of(
    kind: MasterKind, frames: Sequence[Frame], zero: Masters | None
) -> list[AmplifierNoise]:
    """Return what gain and read noise of each amplifier predict.

    Parameters
    ----------
    kind, frames
        Of the master.
    zero
        The bias, above which the signal of darks makes noise; None where there is none.

    Raises
    ------
    FramesError
        Where nobody knows the signal.
    """
    from daskred.kernels.noise import noise_terms  # few runs need it

    readout = frames[0].readout
    planes = [image.dark for image in zero.load(len(readout.shapes))] if zero else []
    noises = []
    for amplifier in readout.amplifiers:
        floor, slope = noise_terms(amplifier, readout)
        plane = planes[amplifier.target] if planes else None
        level = 0.0
        if kind == "bias":
            slope = 0.0
        elif kind == "dark" and plane is not None:
            level = float(np.nanmedian(plane[amplifier.place.slices]))
        elif kind == "dark" and not readout.is_above_bias:
            text = "has neither overscan nor bias, without which nobody knows its signal: --reject"
            raise FramesError(
                tuple(FrameError(frame.path, f"{text} noise cannot be") for frame in frames)
            )
        noises.append(AmplifierNoise(amplifier.target, amplifier.place, (floor, slope, level)))
    return noises
