"""Like sigma, by the deviation that gain and read noise predict (IRAF calls it ccdclip).

The centre is the median of the values that are left, and the deviation that of its photons and of
read noise, ``sqrt(read_noise**2 + signal / gain)`` in ADU, as IRAF's ``imcombine`` has it with
``mclip`` (its help, section CCDCLIP); what rounding and the overscan's level add is counted too,
which IRAF leaves out (a twelfth of an ADU squared, and the variance of the overscan's statistic).
IRAF's ``snoise``, a part of the signal, is taken for zero, and it goes on until nothing changes;
here the rounds are limited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from daskred.kernels.clipping import Noise, RejectionEntry, Values, clipped
from daskred.kernels.ordered import Ordered, Places

if TYPE_CHECKING:
    from daskred.kernels.reject import Rejection


def interval(values: Ordered, rejection: Rejection, noise: Noise | None) -> tuple[Places, Places]:
    """Return the ranks of the values that stay."""
    if noise is None:
        raise ValueError("rejection by noise needs gain and read noise")
    floor, slope, zero = noise

    def bounds(part: Ordered, low: Places, high: Places) -> tuple[Values, Values]:
        centre = part.median(low, high)
        scale = np.sqrt(floor + slope * np.maximum(centre - zero, 0.0))
        return centre - rejection.low * scale, centre + rejection.high * scale

    return clipped(values, rejection.iterations, bounds)


REJECTION = RejectionEntry(interval, compiled=4)
