"""The masters of one image in memory: what is subtracted, and what divides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.figures import flat_pieces
from daskred.kernels.sampling import HotPixels, picked_sample, places_of

_STEPS = 2  # of the numbers of a dark


@dataclass(frozen=True, eq=False)
class LoadedMasters:
    """The masters of one image, ready for use: what to subtract, and what to divide by.

    Where uncertainties are wanted, also their variances, and the level above which a pixel's signal
    makes noise; None where that is zero. And of how many frames what is subtracted is known to be
    the median.
    """

    dark: NDArray[Any] | None
    divisor: NDArray[Any] | None
    dark_variance: NDArray[Any] | None = None
    flat_variance: NDArray[Any] | None = None
    zero: NDArray[Any] | None = None
    n_frames: int = 1

    @cached_property
    def pattern(self) -> tuple[NDArray[np.float32], int] | None:
        """The fine pattern of a sample of the dark, and of how many frames that is the median."""
        if self.dark is None:
            return None
        shape = (self.dark.shape[0], self.dark.shape[1])
        pieces = picked_sample(shape).of(self.dark, 0).reshape(-1, places_of(shape).length)
        local = flat_pieces(pieces)[0]
        steps = np.diff(np.unique(pieces[np.isfinite(pieces)]))
        # What is as coarse as the numbers is no pattern, but how they were rounded.
        if not steps.size or np.nanstd(local) < _STEPS * steps.min():
            local = np.full_like(local, np.nan)
        return local, self.n_frames

    @cached_property
    def hot_pixels(self) -> HotPixels | None:
        """The hot pixels of the dark."""
        return None if self.dark is None else HotPixels(self.dark)

    def rows(self, rows: slice) -> LoadedMasters:
        """Return a band of them."""
        planes = (self.dark, self.divisor, self.dark_variance, self.flat_variance, self.zero)
        dark, divisor, *others = (None if plane is None else plane[rows] for plane in planes)
        return LoadedMasters(dark, divisor, others[0], others[1], others[2])
