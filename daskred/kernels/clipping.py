"""What rejections have in common: an entry for each, and clipping until nothing changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.ordered import Ordered, Places

if TYPE_CHECKING:
    from daskred.kernels.reject import Rejection

Values = NDArray[Any]
# Variance without signal, by how much it grows with the signal, and the value that is no signal.
Noise = tuple[float, float, float]
Interval = Callable[[Ordered, "Rejection", "Noise | None"], tuple[Places, Places]]
# Given values, the ranks from and to which they stay by now, and the rejection: lower and upper
# bounds.
Bounds = Callable[[Ordered, Places, Places], tuple[Values, Values]]


@dataclass(frozen=True)
class RejectionEntry:
    """A rejection.

    Parameters
    ----------
    interval
        Returns for each pixel the ranks of the sorted values from and to which they stay.
    usual
        Its limits below and above, where nobody gives any.
    most
        The largest limit that makes sense.
    relative
        Whether limits are parts of the value.
    compiled
        Its number among the compiled kernels; None where it is none of them.
    """

    interval: Interval
    usual: tuple[float, float] = (3.0, 3.0)
    most: float = math.inf
    relative: bool = False
    compiled: int | None = None


def inside(
    values: Ordered, low: Places, high: Places, bounds: tuple[Values, Values]
) -> tuple[Places, Places]:
    """Draw an interval in to bounds; where nothing would stay, it is left as it is."""
    new_low = np.maximum(low, values.below(bounds[0]))
    new_high = np.minimum(high, values.below(bounds[1], or_equal=True))
    empty = new_high <= new_low
    return np.where(empty, low, new_low), np.where(empty, high, new_high)


def clipped(values: Ordered, n_rounds: int, bounds_of: Bounds) -> tuple[Places, Places]:
    """Return the ranks of the values that stay within bounds, which follow from those that stay."""
    low, high = np.zeros(values.n_pixels, np.intp), values.n_good.copy()
    active, changing = np.arange(values.n_pixels), values
    changed = active
    for _ in range(n_rounds):
        if changed is not active:  # only pixels that have lost values may lose more
            active, changing = active[changed], changing.only(changed)
        bounds = bounds_of(changing, low[active], high[active])
        low_now, high_now = inside(changing, low[active], high[active], bounds)
        changed = np.flatnonzero((low_now != low[active]) | (high_now != high[active]))
        if not changed.size:
            break
        low[active[changed]], high[active[changed]] = low_now[changed], high_now[changed]
    return low, high
