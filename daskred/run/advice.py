"""What a run says where its masters could be better by another option."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from daskred.kernels.robust import ROUNDING_VARIANCE
from daskred.kernels.shutter import common_delay
from daskred.model.plan import Master
from daskred.options import Options

if TYPE_CHECKING:
    from daskred.arrays.noise import MasterNoise
    from daskred.run.combined import Combined

# What is wrong by so much of its error counts where many pixels are added.
_OF_ERROR = 0.2
# Rounding that makes a master worse by so much is told.
_WORSE = 1.1


def advice_on_rounding(master: Master, options: Options) -> str:
    """Say by how much a mean would be better than a median of whole numbers; or nothing.

    However many frames there are, their median is a whole number, or half of one: a twelfth of
    their step squared is added to its variance, where a mean has as much divided by their number.
    What few pixels with dark current have in noise beyond that is left out.

    Parameters
    ----------
    master
        Of bias frames or darks; flats are divided by levels, and are no whole numbers then.
    options
        How it is made.
    """
    readout, n = master.inputs[0].frame.readout, len(master.inputs)
    known = [
        a.read_noise_e / a.gain_e_per_adu
        for a in readout.amplifiers
        if a.read_noise_e and a.gain_e_per_adu
    ]
    plain = options.combine in ("median", "lower-median") and not readout.is_above_bias
    if master.is_lit or not plain or not known or not readout.step_adu or n < 3:
        return ""
    noise = min(known)
    rounding = readout.step_adu**2 * ROUNDING_VARIANCE
    median = math.pi / 2 * noise**2 / n
    if median + rounding < _WORSE**2 * median:
        return ""
    mean = math.sqrt((noise**2 + rounding) / n)
    return (
        f"{master.name}: the median of whole numbers is a whole number: with a read noise of"
        f" {noise:.2g} ADU its pixels are wrong by {math.sqrt(median + rounding):.2g} ADU, those of"
        f" --combine clipped-mean by {mean:.2g} ADU"
    )


def advice_on_shutter(master: Master, levels: Sequence[float]) -> str:
    """Say by how much longer all pixels of flats are exposed; or that nobody can know.

    Parameters
    ----------
    master
        Of the shutter.
    levels
        How bright its flats are.
    """
    times_s = [member.frame.facts.exptime_s or 0.0 for member in master.inputs]
    delay, error = common_delay(times_s, levels)
    if math.isnan(delay):
        return (
            f"{master.name}: by how much longer all pixels are exposed together is not known: that"
            " takes flats of three exposure times, of a lamp that does not change"
        )
    if not delay:
        return f"{master.name}: typical pixels are exposed as long as told, within {error:.2g} s"
    return f"{master.name}: typical pixels are exposed {delay:.4f} s longer (error {error:.2g} s)"


def advice_on_skew(master: Master, options: Options, combined: Combined, noise: MasterNoise) -> str:
    """Say by how much the median of few electrons is too low, where that counts; or nothing.

    Electrons come one by one, so that many pixels have few and few have many, and the median is
    below the mean: by a sixth of an electron times the part of the variance that is theirs (the
    first term of Cornish and Fisher's expansion).

    Parameters
    ----------
    master
        Of darks; bias frames have no electrons, and those of flats are many.
    options
        How it is made.
    combined
        What its frames combine to.
    noise
        Tells their variance.
    """
    from daskred.arrays.noise import CombinedBand
    from daskred.kernels.noise import noise_terms

    readout, n = noise.readout, len(master.inputs)
    if master.kind != "dark" or options.combine not in ("median", "lower-median"):
        return ""
    for amplifier in readout.amplifiers:
        gain = amplifier.gain_e_per_adu
        if not gain or readout.unit == "electron":
            continue
        row = sum(amplifier.place.rows) // 2
        value = combined.row(amplifier.target, row)
        band = CombinedBand.of_all(value, n, amplifier.target, row)
        single = noise.single(band)[0, slice(*amplifier.place.columns)]
        typical = float(np.nanmedian(single))
        part = max(1 - noise_terms(amplifier, readout)[0] / typical, 0.0)
        error = gain * math.sqrt(math.pi / 2 * typical / n)
        if part / 6 > _OF_ERROR * error:
            return (
                f"{master.name}: the median of few electrons is too low, by {part / 6:.2g}"
                f" electrons where its error is {error:.2g}; --combine clipped-mean is not"
            )
    return ""
