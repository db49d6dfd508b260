"""So many of the lowest values and of the highest, fewer where values are missing.

IRAF's ``imcombine`` has it as ``minmax`` with ``nlow`` and ``nhigh``: both are multiplied by the
part of the values that are good, and rounded down; where nothing would be left, nothing is left
out. Every pixel of IRAF 2.17 is equal; where none has a value, it writes ``blank`` and this NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from daskred.kernels.clipping import Noise, RejectionEntry
from daskred.kernels.ordered import Ordered, Places

if TYPE_CHECKING:
    from daskred.kernels.reject import Rejection


def interval(values: Ordered, rejection: Rejection, noise: Noise | None) -> tuple[Places, Places]:
    """Return the ranks of the values that stay."""
    # As IRAF has it, numbers shrink with the number of good values.
    part = values.n_good / values.n_frames
    lowest = np.floor(rejection.low * part + 1e-3).astype(np.intp)
    highest = np.floor(rejection.high * part + 1e-3).astype(np.intp)
    enough = lowest + highest < values.n_good
    last = values.n_good.copy()
    return np.where(enough, lowest, 0), np.where(enough, last - highest, last)


REJECTION = RejectionEntry(interval, usual=(1.0, 1.0), compiled=1)
