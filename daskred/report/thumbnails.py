"""Frames as small pictures, which a page holds in itself."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.fits.pixels import read_image
from daskred.kernels.robust import any_floats, quantiles
from daskred.model.frame import Image

# Of all pictures of a page together; text of base 64 is a third longer.
_ALL_BYTES = 5_500_000
_LARGEST_SIDE, _LEAST_SIDE = 512, 96
_BYTES_PER_PIXEL = 0.35  # of noise, as JPEG keeps it
_QUALITIES = (72, 55, 40, 25)
_STRETCH = 10.0  # how much more faint light is shown than bright light
_STEPS = 2**12  # of light, finer than those of grey
_STRETCHED = np.arcsinh(_STRETCH * np.arange(_STEPS + 1, dtype="f4") / _STEPS) / math.asinh(
    _STRETCH
)
_LIMITS = 0.01, 0.997  # what part of the pixels is darker
_FOR_LIMITS = 20_000  # pixels tell them


def side_for(n_pictures: int) -> int:
    """Return how large pictures may be, pixels, so that a page of so many stays small.

    Examples
    --------
    >>> side_for(10), side_for(1000)
    (512, 125)
    """
    side = math.isqrt(int(_ALL_BYTES / max(n_pictures, 1) / _BYTES_PER_PIXEL))
    return max(_LEAST_SIDE, min(_LARGEST_SIDE, side))


def small_pixels(path: str, images: Sequence[Image], side: int) -> NDArray[np.float32]:
    """Return a frame with few pixels: some of its rows, in which neighbours are averaged.

    Images of a mosaic stand side by side, where they are of one height.

    Raises
    ------
    FrameError
        When it cannot be read.
    """
    alike = [image for image in images if image.shape[0] == images[0].shape[0]]
    width = sum(image.shape[1] for image in alike)
    step = max(1, -(-max(alike[0].shape[0], width) // side))
    return np.concatenate([_small(path, image, step) for image in alike], axis=1)


def _small(path: str, image: Image, step: int) -> NDArray[np.float32]:
    rows = read_image(path, image, step).astype("f4", copy=False)
    n_columns = rows.shape[1] // step
    if step == 1 or not n_columns:
        return rows
    # Column beside column, which is several times as fast as along short rows.
    total = rows[:, : n_columns * step : step].copy()
    for column in range(1, step):
        total += rows[:, column : n_columns * step : step]
    return np.asarray(total / np.float32(step))


@any_floats
def grey(pixels: NDArray[Any], stretched: bool = True) -> NDArray[np.uint8]:
    """Return pixels as grey values, the first row at the bottom; those without a value are black.

    Parameters
    ----------
    pixels
        Shape ``(y, x)``.
    stretched
        Whether faint light is shown brighter than it is beside bright light.

    Examples
    --------
    >>> grey(np.arange(4.0).reshape(2, 2), stretched=False).tolist()
    [[170, 255], [0, 84]]
    """
    known = pixels.reshape(-1)[:: max(1, pixels.size // _FOR_LIMITS)]
    known = known[np.isfinite(known)]
    low, high = quantiles(known, _LIMITS) if known.size else (0.0, 1.0)
    shown = parts_between(pixels, low, high)
    if stretched:
        shown = _STRETCHED[(shown * _STEPS).astype("u2")]
    return as_picture(shown)


@any_floats
def parts_between(pixels: NDArray[Any], low: float, high: float) -> NDArray[np.floating]:
    """Return where between black (0) and white (1) pixels lie; 0 for those without a value."""
    shown = (pixels.astype("f4") - low) / (high - low if high > low else 1.0)
    return np.where(np.isnan(shown), np.float32(0), np.clip(shown, 0, 1))


def as_picture(shown: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return parts from 0 to 1 as grey values, the first row at the bottom."""
    return np.asarray(np.round(255 * shown)[::-1], "u1")


def address_of(shown: NDArray[np.uint8], side: int) -> str:
    """Return grey values as a picture that a page holds in itself: a ``data:`` address."""
    from PIL import Image as Picture

    most = side * side * _BYTES_PER_PIXEL * 1.3
    content = b""
    for quality in _QUALITIES:
        file = io.BytesIO()
        Picture.fromarray(shown).save(file, "JPEG", quality=quality)
        content = file.getvalue()
        if len(content) <= most:
            break
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()
