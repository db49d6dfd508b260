"""What a run says where its masters could be better by another option."""

from __future__ import annotations

import math

from daskred.kernels.robust import ROUNDING_VARIANCE
from daskred.model.plan import Master
from daskred.options import Options

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
    if master.kind == "flat" or not plain or not known or not readout.step_adu or n < 3:
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
