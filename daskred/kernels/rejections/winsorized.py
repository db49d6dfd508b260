"""Like sigma, by the deviation of values that are drawn in to 1.5 deviations.

The centre is the median of the values that are left. Their standard deviation is made robust as
Siril and PixInsight do it (Huber and Ronchetti 2009, Robust Statistics; Siril's documentation,
Winsorized Sigma Clipping): values further from the median than 1.5 deviations are set to that, the
deviation is 1.134 times that of what comes out, and so on until it changes by less than 0.0005 of
itself. All are those of a sample, over n - 1.

Of Siril 1.0.6 (``stack ... rej winsorized``) 99.9 % of the pixels of 25 float frames are equal, and
98.4 % of 16-bit ones, whose bounds it rounds to whole numbers. What else differs: it rejects until
nothing changes, where rounds are limited here; no more than about half of the values of a pixel may
go; and values that are zero are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from daskred.kernels.clipping import Noise, RejectionEntry, Values, clipped
from daskred.kernels.ordered import Ordered, Places

if TYPE_CHECKING:
    from daskred.kernels.reject import Rejection


# How far values are drawn in, and by how much that narrows a Gaussian.
_WINSOR_SIGMA = 1.5
_WINSOR_NARROWS = 1.134
_WINSOR_ROUNDS = 10


def winsorized_deviation(values: Ordered, low: Places, high: Places, centre: Values) -> Values:
    """Return the deviation of values that are drawn in to 1.5 of it, until it stays."""
    _, scale = values.moments(low, high)
    n_values = np.maximum(high - low, 1)
    wider = np.sqrt(n_values / np.maximum(n_values - 1, 1))
    scale *= wider
    active, unsettled_values = np.arange(values.n_pixels), values
    for _ in range(_WINSOR_ROUNDS):
        before, middle = scale[active], centre[active]
        reach = _WINSOR_SIGMA * before
        total, squares = unsettled_values.sums(
            low[active], high[active], (middle - reach, middle + reach)
        )
        n = n_values[active]
        spread = np.sqrt(np.maximum(squares / n - (total / n) ** 2, 0.0))
        now = _WINSOR_NARROWS * wider[active] * spread
        scale[active] = now
        unsettled = np.flatnonzero(np.abs(now - before) > 5e-4 * before)
        if not unsettled.size:
            break
        # Those that have settled stay as they are, whatever pixels lie beside them.
        active, unsettled_values = active[unsettled], unsettled_values.only(unsettled)
    return scale


def interval(values: Ordered, rejection: Rejection, noise: Noise | None) -> tuple[Places, Places]:
    """Return the ranks of the values that stay."""

    def bounds(part: Ordered, low: Places, high: Places) -> tuple[Values, Values]:
        centre = part.median(low, high)
        scale = winsorized_deviation(part, low, high, centre)
        return centre - rejection.low * scale, centre + rejection.high * scale

    return clipped(values, rejection.iterations, bounds)


REJECTION = RejectionEntry(interval, compiled=5)
