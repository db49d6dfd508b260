"""Calibrated frames: ``(raw - dark) / flat`` mapped over a stack of frames.

In a notebook masters are arrays. In a run they are files, named in a small `MasterFiles` that
travels with the tasks; each process reads them once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daskred.errors import RequestError
from daskred.fitsfile import images_of, read_hdus
from daskred.fitspixels import bands_of, read_rows
from daskred.kernels.correct import calibrate as calibrate_pixels
from daskred.kernels.correct import divisor, effective_dark
from daskred.stack import map_pixels

if TYPE_CHECKING:
    import xarray as xr

_loading = threading.Lock()


@dataclass(frozen=True)
class MasterFiles:
    """The files of the masters that calibrate some frames.

    Parameters
    ----------
    dark, bias, flat
        Paths, or None.
    scale
        The factor for the dark current.
    written_ns
        When the files were written: files made anew are read anew.
    contents
        For each of the files that there are (bias, dark, flat) the digest of what it was made from.
    """

    dark: str | None = None
    bias: str | None = None
    flat: str | None = None
    scale: float = 1.0
    written_ns: tuple[int, ...] = ()
    contents: tuple[str, ...] = ()

    def load(self, n_images: int) -> tuple[LoadedMasters, ...]:
        """Read the masters, once in each process; one entry for each image."""
        with _loading:
            return _load(self, n_images)


@dataclass(frozen=True, eq=False)
class LoadedMasters:
    """The masters of one image, ready for use: what to subtract, and what to divide by."""

    dark: NDArray[Any] | None
    divisor: NDArray[Any] | None


def read_images(path: str) -> list[NDArray[Any]]:
    """Read all images of a file whole."""
    pixels = []
    for image in images_of(path, read_hdus(path)):
        out = np.empty(image.shape, image.dtype)
        start = 0
        for band in bands_of(path, image):
            out[start : start + len(band)] = band
            start += len(band)
        pixels.append(out)
    return pixels


@lru_cache(maxsize=1)
def _load(files: MasterFiles, n_images: int) -> tuple[LoadedMasters, ...]:
    def images(path: str | None) -> list[NDArray[Any]] | None:
        return read_images(path) if path else None

    darks, biases, flats = images(files.dark), images(files.bias), images(files.flat)
    return tuple(
        LoadedMasters(
            dark=effective_dark(
                darks[number] if darks else None, biases[number] if biases else None, files.scale
            ),
            divisor=divisor(flats[number], in_place=True) if flats else None,
        )
        for number in range(n_images)
    )


class DarkBands:
    """What is subtracted from frames, one plane for each way, read band by band.

    Parameters
    ----------
    files
        The masters of each way; their flats are not used.
    image
        Which image.
    shape
        Its rows and columns.
    """

    dtype = np.dtype("f8")

    def __init__(self, files: Sequence[MasterFiles], image: int, shape: tuple[int, int]) -> None:
        self._files = tuple(files)
        self._image = image
        self.shape = (len(files), *shape)

    def band(self, rows: slice) -> NDArray[np.float64]:
        """Read a band of rows of all planes."""
        start, stop = rows.start, rows.stop
        planes = np.zeros((self.shape[0], stop - start, self.shape[2]))
        for plane, files in zip(planes, self._files, strict=True):
            dark, bias = (self._rows(path, start, stop) for path in (files.dark, files.bias))
            own = effective_dark(dark, bias, files.scale)
            if own is not None:
                plane[...] = own
        return planes

    def _rows(self, path: str | None, start: int, stop: int) -> NDArray[Any] | None:
        if path is None:
            return None
        image = images_of(path, read_hdus(path))[self._image]
        rows = np.empty((stop - start, image.shape[1]), image.dtype)
        read_rows(path, image, start, stop, rows)
        return rows


def _calibrate_arrays(
    block: NDArray[Any], *planes: NDArray[Any], names: tuple[str, ...], out_dtype: str
) -> NDArray[Any]:
    masters = dict(zip(names, planes, strict=True))
    own_divisor = divisor(masters["flat"]) if "flat" in masters else None
    return calibrate_pixels(
        block, masters.get("dark"), own_divisor, np.empty(block.shape, out_dtype)
    )


def calibrate(
    science: xr.DataArray,
    dark: xr.DataArray | None = None,
    flat: xr.DataArray | None = None,
    *,
    dtype: str = "float32",
) -> xr.DataArray:
    """Return calibrated frames, ``(raw - dark) / flat``, lazily.

    Parameters
    ----------
    science
        Raw frames ``(frame, y, x)``, ADU, as `open_frames` gives them.
    dark
        The master dark of the same exposure time, ``(y, x)``, ADU.
    flat
        The master flat, ``(y, x)``. Where it is not positive, the result is NaN.
    dtype
        Of the pixels.

    Returns
    -------
    xarray.DataArray
        As ``science``, ADU, with its coordinates; ``attrs`` name the masters.

    Raises
    ------
    RequestError
        When a master has another shape than the frames.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> raw = xr.DataArray(np.full((1, 1, 2), 200, "u2"), dims=("frame", "y", "x"))
    >>> flat = xr.DataArray(np.array([[1.0, 0.5]]), dims=("y", "x"))
    >>> calibrate(raw, flat=flat).values
    array([[[200., 400.]]], dtype=float32)
    """
    masters = {name: one for name, one in (("dark", dark), ("flat", flat)) if one is not None}
    for name, master in masters.items():
        if master.shape != science.shape[1:]:
            raise RequestError(
                f"the master {name} has shape {master.shape}, the frames {science.shape[1:]}"
            )
    planes = [master.data for master in masters.values()]
    options: dict[str, Any] = {"names": tuple(masters), "out_dtype": dtype}
    if science.chunks is None and not any(master.chunks for master in masters.values()):
        pixels = _calibrate_arrays(science.values, *planes, **options)
    else:
        pixels = map_pixels(_calibrate_arrays, science.data, *planes, dtype=dtype, **options)
    result = science.copy(data=pixels)
    result.attrs["units"] = "adu"
    for name, master in masters.items():
        result.attrs[name] = str(master.name or f"master_{name}")
    return result
