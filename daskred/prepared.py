"""Read frames prepared: less their overscan, trimmed, linear, in the unit that is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from daskred.checksum import sum_of_rows
from daskred.detector import Preparation
from daskred.errors import FrameError
from daskred.fitspixels import read_rows
from daskred.frames import Frame
from daskred.kernels.prepare import prepare


@dataclass(frozen=True, eq=False)
class Prepared:
    """The images of a frame, ready to be calibrated.

    Parameters
    ----------
    images
        Shape ``(y, x)`` each.
    saturated
        Where they are.
    raw_sum
        The sum of the raw pixels; see `daskred.fitspixels.pixel_sum`.
    """

    images: list[NDArray[Any]]
    saturated: list[NDArray[np.bool_]]
    raw_sum: int


def read_prepared(frame: Frame, how: Preparation, dtype: DTypeLike = "f4") -> Prepared:
    """Read a frame whole, and prepare it.

    Raises
    ------
    FrameError
        When it cannot be read, or lies above a linearity table.
    """
    raw = []
    total = row = 0
    for image in frame.images:
        pixels = np.empty(image.shape, image.dtype)
        read_rows(frame.path, image, 0, image.shape[0], pixels)
        total += sum_of_rows(pixels, row)
        row += len(pixels)
        raw.append(pixels)
    try:
        images, saturated = prepare(raw, how, dtype)
    except ValueError as error:
        raise FrameError(frame.path, str(error)) from error
    return Prepared(images, saturated, total % 2**64)
