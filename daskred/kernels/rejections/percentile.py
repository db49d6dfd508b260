"""Values further from the median than such parts of it.

Siril calls it percentile clipping (every pixel of Siril 1.0.6 is equal). It is no ``pclip`` of
IRAF, which goes by the distance of a value of a given rank from the median. It is done once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from daskred.kernels.clipping import Noise, RejectionEntry, inside
from daskred.kernels.ordered import Ordered, Places

if TYPE_CHECKING:
    from daskred.kernels.reject import Rejection


def interval(values: Ordered, rejection: Rejection, noise: Noise | None) -> tuple[Places, Places]:
    """Return the ranks of the values that stay."""
    low, high = np.zeros(values.n_pixels, np.intp), values.n_good.copy()
    centre = values.median(low, high)
    width = np.abs(centre)
    bounds = centre - rejection.low * width, centre + rejection.high * width
    return inside(values, low, high, bounds)


REJECTION = RejectionEntry(interval, usual=(0.1, 0.1), most=1.0, relative=True, compiled=2)
