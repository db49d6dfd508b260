"""Masters of other nights come into the folder of products: copied, or written as ours are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.fits.parts import Part, part_in, place
from daskred.fits.pixels import bands_of, pixel_sum, read_image
from daskred.fits.sums import wrong_raw_sum, wrong_sum
from daskred.fits.write import Bands
from daskred.kernels.level import level, sampling_step
from daskred.kernels.robust import any_floats
from daskred.model.errors import FrameError
from daskred.model.frame import Frame
from daskred.model.plan import Given, Master
from daskred.options import Options
from daskred.products.provenance import Origin, content_of
from daskred.products.write import shared_headers, write_master


def copy_master(given: Given, target: Path, options: Options) -> None:
    """Copy a master that daskred made, byte by byte.

    Raises
    ------
    FrameError
        When it cannot be read, or is damaged.
    """
    part = part_in(target.parent)
    try:
        content = Path(given.path).read_bytes()
    except OSError as error:
        raise FrameError(given.path, f"cannot be read: {error.strerror}") from error
    part.write_bytes(content)
    if reason := wrong_sum(str(part)):
        part.unlink()
        raise FrameError(given.path, reason)
    place([Part(part, target)], options.sync)


@any_floats
def convert_master(master: Master, given: Given, target: Path, options: Options) -> None:
    """Write a master of another program as ours are: its pixels, a flat's over their level.

    Raises
    ------
    FrameError
        When it cannot be read, is damaged, or its pixels cannot be what it is taken for.
    """
    frame = master.inputs[0].frame
    if wrong := wrong_raw_sum(given.path):
        raise FrameError(given.path, f"its {wrong} is wrong; was it changed, or damaged?")
    values = _sample(frame, options.normalize)
    middle = 1.0
    if master.kind == "flat":
        middle = level(values, options.normalize)
        if not middle > 0:
            raise FrameError(given.path, f"has no light: its level is {middle:g}")
    elif values.dtype.kind == "f" and values.size and 0 <= values.min() <= values.max() <= 1:
        raise FrameError(
            given.path,
            "its pixels lie between 0 and 1, and those of the frames do not: some programs write"
            " floats so; let them write whole numbers of 16 bits",
        )
    dtype = np.dtype(options.dtype)
    pixels = [
        Bands(image.shape, dtype, _over(bands_of(frame.path, image), middle, dtype))
        for image in frame.images
    ]
    content = content_of([pixel_sum(frame.path, frame.images)], [])
    origin = Origin(given.key, content, {})
    write_master(target, master, options, shared_headers([frame]), pixels, [], origin)


def _sample(frame: Frame, method: str) -> NDArray[Any]:
    """Return the pixels that tell a level."""
    step = sampling_step(sum(image.n_pixels for image in frame.images), method)
    samples = [read_image(frame.path, image, step).reshape(-1) for image in frame.images]
    values = np.concatenate(samples)
    return np.asarray(values[np.isfinite(values)])


def _over(
    bands: Iterator[NDArray[Any]], middle: float, dtype: np.dtype[Any]
) -> Iterator[NDArray[Any]]:
    for band in bands:
        yield (band / middle).astype(dtype)
