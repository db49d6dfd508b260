"""Values further from the centre than so many deviations, again until nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from daskred.kernels.clipping import Noise, RejectionEntry, Values, clipped
from daskred.kernels.ordered import Ordered, Places

if TYPE_CHECKING:
    from daskred.kernels.reject import Rejection


def interval(values: Ordered, rejection: Rejection, noise: Noise | None) -> tuple[Places, Places]:
    """Return the ranks of the values that stay."""

    def bounds(part: Ordered, low: Places, high: Places) -> tuple[Values, Values]:
        mean = scale = np.empty(0)
        if rejection.centre == "mean" or rejection.scale == "std":
            mean, scale = part.moments(low, high)
        centre = mean if rejection.centre == "mean" else part.median(low, high)
        if rejection.scale == "mad":
            scale = part.mad(low, high, centre)
        return centre - rejection.low * scale, centre + rejection.high * scale

    return clipped(values, rejection.iterations, bounds)


REJECTION = RejectionEntry(interval)
