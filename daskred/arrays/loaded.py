"""The masters of one image in memory: what is subtracted, and what divides."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.figures import flat_pieces, without_parity
from daskred.kernels.sampling import Picked, hot_pixels_of, pixels_of_sample, places_of

_STEPS = 2  # of the numbers of a dark
_TYPICAL = 2**16  # pixels that tell what most are like


class SampledDark:
    """A sample of a dark: its fine pattern, and its hot pixels.

    Parameters
    ----------
    dark
        Shape ``(y, x)``.
    n_frames
        Of how many frames it is the median.

    Attributes
    ----------
    picked
        Takes from a frame: the sample, the hot pixels, and one beside each.
    pattern, n_frames
        The fine pattern of the sample, NaN where it has none; and as above.
    hot
        By how much hot pixels are above those beside them.
    """

    def __init__(self, dark: NDArray[Any], n_frames: int) -> None:
        shape = (dark.shape[0], dark.shape[1])
        self.picked = Picked([pixels_of_sample(shape), *hot_pixels_of(dark)], shape)
        sample, hot, beside = self.picked.apart([self.picked.of(dark, 0)])
        self.hot = above(hot, beside)
        self.n_frames = n_frames
        pieces = sample.reshape(places_of(shape).length, -1)
        steps = np.diff(np.sort(pieces[np.isfinite(pieces)]))
        steps = steps[steps > 0]
        local = flat_pieces(pieces)[0]
        # What is as coarse as the numbers is no pattern, but how they were rounded.
        if not steps.size or np.nanstd(local) < _STEPS * steps.min():
            local = np.full_like(local, np.nan)
        self.pattern = without_parity(local)


def above(hot: NDArray[Any], beside: NDArray[Any]) -> NDArray[np.float32]:
    """Return by how much hot pixels are above those beside them."""
    return np.asarray(np.subtract(hot, beside, dtype="f4"))


@dataclass(frozen=True, eq=False)
class LoadedMasters:
    """The masters of one image, ready for use: what to subtract, and what to divide by.

    Where uncertainties are wanted, also their variances, and the level above which a pixel's signal
    makes noise; None where that is zero. Where a dark alone is subtracted, and tells it, that level
    for each amplifier. And of how many frames what is subtracted is known to be the median.

    The divisor holds the smooth part of a master of the sky too, where one is used; its fringes
    stand apart, since each frame shows them as bright as it has them. It also holds by what factor
    each pixel has been exposed longer than a frame's header tells.
    """

    dark: NDArray[Any] | None
    divisor: NDArray[Any] | None
    dark_variance: NDArray[Any] | None = None
    flat_variance: NDArray[Any] | None = None
    zero: NDArray[Any] | None = None
    n_frames: int = 1
    levels: tuple[float, ...] = ()
    fringe: NDArray[Any] | None = None

    @cached_property
    def sampled(self) -> SampledDark | None:
        """What a sample of the dark says, and where the same is to be taken from a frame."""
        return None if self.dark is None else SampledDark(self.dark, self.n_frames)

    @cached_property
    def shared_errors(self) -> dict[str, float]:
        """What all frames that they calibrate have in common: typical errors of dark and flat."""
        variances = {"dark": self.dark_variance, "flat": self.flat_variance}
        found = {}
        for name, variance in variances.items():
            if variance is not None:
                some = variance.reshape(-1)[:: variance.size // _TYPICAL | 1]
                if (known := some[np.isfinite(some)]).size:
                    found[name] = math.sqrt(float(np.median(known)))
        return found

    def rows(self, rows: slice) -> LoadedMasters:
        """Return a band of them."""
        planes = (self.dark, self.divisor, self.dark_variance, self.flat_variance, self.zero)
        dark, divisor, *others = (None if plane is None else plane[rows] for plane in planes)
        dark_variance, flat_variance, zero = others
        return LoadedMasters(
            dark, divisor, dark_variance, flat_variance, zero, self.n_frames, self.levels
        )


def divided_by(masters: LoadedMasters, factors: NDArray[Any]) -> LoadedMasters:
    """Return masters whose divisor is so many times as large."""
    divisor, variance = masters.divisor, masters.flat_variance
    return replace(
        masters,
        divisor=factors if divisor is None else divisor * factors,
        flat_variance=None if variance is None else variance * np.square(factors),
    )


def with_sky(
    masters: LoadedMasters, sky: NDArray[Any], illumination: bool, fringe: bool
) -> LoadedMasters:
    """Return masters of an image with what a master of the sky tells.

    Parameters
    ----------
    masters
        Its dark and flat.
    sky
        The master of the sky.
    illumination, fringe
        Whether its smooth part, and its fringes, are used.
    """
    from daskred.kernels import fringes  # few runs need them

    smooth = fringes.smooth_light(sky)
    if illumination:
        over = fringes.illumination(smooth)
        sky, smooth = sky / over, smooth / over
        masters = divided_by(masters, over)
    if fringe:
        masters = replace(masters, fringe=fringes.fringe_pattern(sky, smooth))
    return masters
