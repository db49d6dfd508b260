"""Calibrated frames: ``(raw - dark) / flat`` mapped over a stack of frames.

In a notebook masters are arrays. In a run they are files, named in a small `MasterFiles` that
travels with the tasks; each process reads them once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daskred.errors import RequestError
from daskred.fitsfile import images_of, read_hdus
from daskred.fitspixels import bands_of, read_rows
from daskred.frames import Image
from daskred.kernels.correct import calibrate as calibrate_pixels
from daskred.kernels.correct import divisor, effective_dark, effective_sigma, sum_of_terms
from daskred.planes import is_plane
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
    terms
        Instead of dark and bias: paths and factors whose sum is subtracted.
    written_ns
        When the files were written: files made anew are read anew.
    zero
        The file of the master above which a pixel's signal makes noise; None where that is zero,
        or told by the next.
    zero_terms
        Paths and factors whose sum is that level.
    contents
        For each of the masters used the digest of what it was made from.
    """

    dark: str | None = None
    bias: str | None = None
    flat: str | None = None
    scale: float = 1.0
    terms: tuple[tuple[str, float], ...] = ()
    written_ns: tuple[int, ...] = ()
    zero: str | None = None
    zero_terms: tuple[tuple[str, float], ...] = ()
    contents: tuple[str, ...] = ()

    def load(self, n_images: int, sigmas: bool = False) -> tuple[LoadedMasters, ...]:
        """Read the masters, once in each process; one entry for each image.

        Their uncertainties come along on request.
        """
        with _loading:
            return _load(self, n_images, sigmas)

    def subtract_from(self, images: Sequence[NDArray[Any]]) -> None:
        """Subtract the dark from the images of one frame, in place."""
        for image, masters in zip(images, self.load(len(images)), strict=True):
            if masters.dark is not None:
                image -= masters.dark

    def subtracted(
        self, read: Callable[[str], NDArray[Any] | None], variance: bool = False
    ) -> NDArray[Any] | None:
        """Return what is subtracted from frames, or its variance; None for nothing.

        Parameters
        ----------
        read
            Returns pixels, or uncertainties, of a master's file; None where it has none.
        variance
            Whether uncertainties are read.
        """
        if self.terms:
            found = [(read(path), factor) for path, factor in self.terms]
            planes = [(plane, factor) for plane, factor in found if plane is not None]
            if not planes:
                return None
            if variance:
                planes = [(np.square(plane, dtype="f8"), factor**2) for plane, factor in planes]
            return sum_of_terms(*zip(*planes, strict=True))
        dark, bias = (read(path) if path else None for path in (self.dark, self.bias))
        if not variance:
            return effective_dark(dark, bias, self.scale)
        sigma = effective_sigma(dark, bias, self.scale)
        return None if sigma is None else np.square(sigma)


@dataclass(frozen=True, eq=False)
class LoadedMasters:
    """The masters of one image, ready for use: what to subtract, and what to divide by.

    Where uncertainties are wanted, also their variances, and the level above which a pixel's signal
    makes noise; None where that is zero.
    """

    dark: NDArray[Any] | None
    divisor: NDArray[Any] | None
    dark_variance: NDArray[Any] | None = None
    flat_variance: NDArray[Any] | None = None
    zero: NDArray[Any] | None = None

    def rows(self, rows: slice) -> LoadedMasters:
        """Return a band of them."""
        planes = (self.dark, self.divisor, self.dark_variance, self.flat_variance, self.zero)
        return LoadedMasters(*(None if plane is None else plane[rows] for plane in planes))


def data_images(path: str, plane: str = "") -> list[Image]:
    """Return the images of a file; of a product those that are data, or planes of a name."""
    return [
        one
        for one in images_of(path, read_hdus(path))
        if (one.name.partition(",")[0] == plane if plane else not is_plane(one.name))
    ]


def read_images(path: str, plane: str = "") -> list[NDArray[Any]]:
    """Read the images of a file whole; which, as of `data_images`."""
    pixels = []
    for image in data_images(path, plane):
        out = np.empty(image.shape, image.dtype)
        start = 0
        for band in bands_of(path, image):
            out[start : start + len(band)] = band
            start += len(band)
        pixels.append(out)
    return pixels


@lru_cache(maxsize=1)
def _load(files: MasterFiles, n_images: int, sigmas: bool) -> tuple[LoadedMasters, ...]:
    @cache
    def images(path: str, plane: str = "") -> list[NDArray[Any]]:
        return read_images(path, plane)

    def one(path: str | None, number: int, plane: str = "") -> NDArray[Any] | None:
        found = images(path, plane) if path else []
        return found[number] if found else None

    loaded = []
    for number in range(n_images):
        flat = one(files.flat, number)
        dark = files.subtracted(partial(one, number=number))
        dark_variance = flat_sigma = zero = None
        if sigmas:
            uncertainty = partial(one, number=number, plane="UNCERT")
            dark_variance = files.subtracted(uncertainty, variance=True)
            flat_sigma = one(files.flat, number, "UNCERT")
            zero = one(files.zero, number)
            if files.zero_terms:
                at_zero = MasterFiles(terms=files.zero_terms)
                zero = at_zero.subtracted(partial(one, number=number))
        loaded.append(
            LoadedMasters(
                dark=dark,
                divisor=None if flat is None else divisor(flat, in_place=True),
                dark_variance=dark_variance,
                flat_variance=None if flat_sigma is None else np.square(flat_sigma),
                zero=zero,
            )
        )
    return tuple(loaded)


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
    plane
        ``UNCERT`` for its variance instead.
    """

    dtype = np.dtype("f8")

    def __init__(
        self,
        files: Sequence[MasterFiles],
        image: int,
        shape: tuple[int, int],
        plane: str = "",
    ) -> None:
        self._files = tuple(files)
        self._image = image
        self._plane = plane
        self.shape = (len(files), *shape)

    def band(self, rows: slice) -> NDArray[np.float64]:
        """Read a band of rows of all planes."""
        start, stop = rows.start, rows.stop
        planes = np.zeros((self.shape[0], stop - start, self.shape[2]))
        for plane, files in zip(planes, self._files, strict=True):
            read = partial(self._rows, start=start, stop=stop)
            own = files.subtracted(read, variance=bool(self._plane))
            if own is not None:
                plane[...] = own
        return planes

    def _rows(self, path: str, start: int, stop: int) -> NDArray[Any] | None:
        images = data_images(path, self._plane)
        if not images:
            return None
        image = images[self._image]
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
    result.attrs.setdefault("units", "adu")
    for name, master in masters.items():
        result.attrs[name] = str(master.name or f"master_{name}")
    return result
