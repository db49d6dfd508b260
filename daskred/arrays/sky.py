"""What is asked of a master of the sky, in runs and in notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from daskred.kernels.objects import pixels_of_stars
from daskred.kernels.robust import any_floats

SAME_STARS = "shows the same stars as the others, from which the telescope has not moved away"
# More than a few pixels are no hot ones that the dark has left, nor are more than such a part.
_FEW_PIXELS, _PART = 20, 2e-5


@any_floats
def shows_stars(bands: Iterable[NDArray[Any]]) -> bool:
    """Whether stars stand in the same place in all frames of a master; all of it is looked at.

    Parameters
    ----------
    bands
        Its rows, some at a time.
    """
    n_found = n_pixels = 0
    for band in bands:
        n_found += pixels_of_stars(band.astype("f4", copy=False))
        n_pixels += band.size
    return n_found > max(_FEW_PIXELS, _PART * n_pixels)
