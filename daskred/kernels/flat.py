"""The arithmetic of flats: each less its dark, over its level; the median of those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.level import level
from daskred.kernels.median import median_over_frames


def flat_level(
    images: Sequence[NDArray[Any]], darks: Sequence[NDArray[Any] | None], method: str
) -> float:
    """Return the level of a flat less its dark, over all its images together.

    Parameters
    ----------
    images
        The images of one frame, ``(y, x)``, ADU.
    darks
        What is subtracted from each, of the same shape, ADU, or None.
    method
        As of `daskred.kernels.level.level`.

    Examples
    --------
    >>> flat_level([np.array([[105, 106, 106]], "u2")], [np.array([[100.0, 100.0, 100.0]])], "mean")
    5.666666666666667
    """
    lit = [
        image if dark is None else np.subtract(image, dark, dtype="f8")
        for image, dark in zip(images, darks, strict=True)
    ]
    return level(np.concatenate([one.reshape(-1) for one in lit]), method)


def flat_tile(
    tile: NDArray[Any],
    darks: NDArray[np.float64],
    *,
    which: Sequence[int],
    levels: Sequence[float],
) -> NDArray[np.float64]:
    """Return the median over the frames of a band, each less its dark and divided by its level.

    Parameters
    ----------
    tile
        Shape ``(frame, rows, x)``, ADU.
    darks
        The different darks, shape ``(n, rows, x)``, ADU.
    which
        For each frame, which dark.
    levels
        For each frame its level after the subtraction, ADU.

    Examples
    --------
    >>> tile = np.array([[[110, 120]], [[120, 140]]], "u2")
    >>> flat_tile(tile, np.array([[[100.0, 100.0]]]), which=[0, 0], levels=[10.0, 20.0])
    array([[1., 2.]])
    """
    normalised = np.empty(tile.shape)
    for number, one in enumerate(tile):
        np.subtract(one, darks[which[number]], out=normalised[number])
        normalised[number] /= levels[number]
    return median_over_frames(normalised)
