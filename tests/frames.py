"""Frames made of arrays, for tests of what is done to their pixels."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from daskred import Frame, Options, read_camera
from daskred.arrays.prepared import read_frame
from daskred.model.readout import Readout
from daskred.night.describe import Rules, describe


def write_raw(path: Path, raw: Sequence[NDArray[Any]]) -> None:
    """Write raw images, one in the primary unit, several as extensions."""
    if len(raw) == 1:
        fits.PrimaryHDU(raw[0]).writeto(path)
        return
    images = [fits.ImageHDU(one, name=f"AMP{n}") for n, one in enumerate(raw)]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)


def frame_of(path: Path, raw: Sequence[NDArray[Any]], readout: Readout) -> Frame:
    """Write raw images, and return the frame as it is read out."""
    write_raw(path, raw)
    frame = describe(str(path), path.name, Rules(read_camera())).frame
    assert frame
    shapes = tuple(image.shape for image in frame.images)
    return replace(frame, readout=replace(readout, raw_shapes=shapes), is_prepared=True)


def prepare(
    raw: Sequence[NDArray[Any]], readout: Readout, dtype: str = "f4"
) -> tuple[list[NDArray[Any]], list[NDArray[np.bool_]]]:
    """Return raw images as they are prepared, and where they are saturated."""
    with tempfile.TemporaryDirectory() as folder:
        frame = frame_of(Path(folder) / "raw.fits", raw, readout)
        name: Any = np.dtype(dtype).name
        images, saturated, _ = read_frame(frame, Options(dtype=name))
    return images, saturated
