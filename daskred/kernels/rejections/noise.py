"""Like sigma, by the deviation that gain and read noise predict (IRAF calls it ccdclip)."""

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
