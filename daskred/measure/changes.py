"""How a master differs from an earlier one of its kind: level, noise, hot pixels, dust."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.masterfiles import data_images
from daskred.fits.pixels import read_image
from daskred.kernels.robust import any_floats, robust_limits
from daskred.model.errors import FrameError

_HOT, _COLD = 8.0, 4.0  # deviations: what was no more than the second, and is more than the first
_JUMP_OF_RATIO, _JUMP_SIGMA = 0.02, 3.0
_DUST_SIDE = 8  # pixels: dust shades blocks of so many
_DUST_SIGMA, _DUST_PART = 6.0, 0.005


@dataclass(frozen=True)
class Changes:
    """How a master differs from an earlier one.

    Parameters
    ----------
    is_ratio
        Whether they were divided, as flats are; else subtracted.
    middle, scatter
        The median of the ratio, or difference, and half of what lies between its 16th and 84th
        percentiles.
    n_hot
        Pixels that are hot now, and were not; of flats 0.
    n_dust
        Blocks of 8 x 8 pixels that are shaded, or lit, otherwise; of others 0.
    """

    is_ratio: bool
    middle: float
    scatter: float
    n_hot: int = 0
    n_dust: int = 0

    @property
    def is_jump(self) -> bool:
        """Whether it is more than what changes from night to night."""
        if self.is_ratio:
            return abs(self.middle - 1) > _JUMP_OF_RATIO or self.scatter > _JUMP_OF_RATIO
        return abs(self.middle) > _JUMP_SIGMA * max(self.scatter, 1e-30)

    @property
    def text(self) -> str:
        """The changes in words."""
        if not self.is_ratio:
            what = f"differs by {self.middle:+.3g} (from pixel to pixel {self.scatter:.3g})"
            return f"{what}, {self.n_hot} new hot pixels"
        blocks = f"{self.n_dust} blocks of {_DUST_SIDE} x {_DUST_SIDE} pixels with other dust"
        return f"ratio {self.middle:.4f} (from pixel to pixel {self.scatter:.2%}), {blocks}"


@any_floats
def changes_between(earlier: str, later: str, is_flat: bool) -> Changes:
    """Read two masters, and return how the later one differs.

    Raises
    ------
    FrameError
        When one cannot be read, or their images are not of one shape.
    """
    images = [data_images(path) for path in (earlier, later)]
    if [image.shape for image in images[0]] != [image.shape for image in images[1]]:
        raise FrameError(later, "has other shapes than the earlier master")
    differences: list[NDArray[Any]] = []
    n_hot = n_dust = 0
    for first, second in zip(*images, strict=True):
        before, now = read_image(earlier, first), read_image(later, second)
        difference = (now / before if is_flat else now - before).astype("f8")
        if is_flat:
            n_dust += _dusty(difference)
        else:
            n_hot += int(np.count_nonzero(_above(now, _HOT) & ~_above(before, _COLD)))
        differences.append(difference[np.isfinite(difference)])
    values = np.concatenate(differences)
    if not values.size:
        raise FrameError(later, "has no pixel with a value in common with the earlier master")
    low, middle, high = np.percentile(values, [16, 50, 84])
    return Changes(is_flat, float(middle), float(high - low) / 2, n_hot, n_dust)


def _above(pixels: NDArray[Any], n_sigma: float) -> NDArray[np.bool_]:
    return np.asarray(pixels > robust_limits(pixels, n_sigma)[1])


def _dusty(ratio: NDArray[np.float64]) -> int:
    """Return in how many blocks a ratio differs from those around by what chance does not."""
    height, width = (side // _DUST_SIDE for side in ratio.shape)
    if min(height, width) < 3:
        return 0
    cut = ratio[: height * _DUST_SIDE, : width * _DUST_SIDE]
    blocks = np.nanmedian(
        cut.reshape(height, _DUST_SIDE, width, _DUST_SIDE)
        .swapaxes(1, 2)
        .reshape(height, width, -1),
        axis=2,
    )
    padded = np.pad(blocks, 1, mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(height, width, -1)
    away = blocks / np.nanmedian(around, axis=2) - 1
    limit = max(robust_limits(away, _DUST_SIGMA)[1], _DUST_PART)
    return 0 if math.isnan(limit) else int(np.count_nonzero(np.abs(away) > limit))
