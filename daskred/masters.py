"""Master bias, dark and flat: from frames to lazy images, on top of stacks cut into bands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daskred.errors import RequestError
from daskred.frames import Frame
from daskred.kernels.level import METHODS, frame_level
from daskred.kernels.median import median_over_frames
from daskred.stack import map_frames, map_pixels, map_tiles, open_frames

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr


def _levels(block: NDArray[Any], *, method: str) -> NDArray[np.float64]:
    """Return the level of each frame of a block."""
    return np.array([frame_level([one], method) for one in block])


def combined(stack: da.Array) -> da.Array:
    """Return the lazy per-pixel median, float64, of a stack ``(frame, y, x)``."""
    if stack.numblocks[0] > 1 or stack.numblocks[2] > 1:
        stack = stack.rechunk({0: -1, 1: "auto", 2: -1})
    return map_tiles(median_over_frames, stack, dtype="f8")


def _labelled(image: da.Array, like: xr.DataArray, kind: str, dtype: str) -> xr.DataArray:
    import xarray as xr

    unit = "" if kind == "flat" else "adu"
    attributes = {"units": unit, "combine": "median", "n_frames": like.sizes["frame"]}
    return xr.DataArray(
        image.astype(dtype), dims=("y", "x"), name=f"master_{kind}", attrs=attributes
    )


def _opened(frames: Iterable[Frame] | xr.DataArray, tiled: bool = True) -> xr.DataArray:
    """Open frames; a stack that is already open is taken as it is."""
    import xarray as xr

    return frames if isinstance(frames, xr.DataArray) else open_frames(list(frames), tiled=tiled)


def master_dark(frames: Iterable[Frame] | xr.DataArray, *, dtype: str = "float32") -> xr.DataArray:
    """Return a master dark: the per-pixel median over frames, lazily.

    Parameters
    ----------
    frames
        Darks of one exposure time: frames, or an opened stack ``(frame, y, x)``; best opened with
        ``tiled=True``, since a stack cut by frames has to be cut anew.
    dtype
        Of the pixels.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(y, x)``, ADU. Where some frames are NaN, the median of the others.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name, shape=(16, 16), n_darks=3, n_flats=2, n_science=1)
    >>> dark = master_dark(open_night(folder.name).select("dark", exptime_s=10))
    >>> dark.dims, dark.shape, dark.attrs["n_frames"]
    (('y', 'x'), (16, 16), 3)
    >>> folder.cleanup()
    """
    stack = _opened(frames)
    return _labelled(combined(stack.data), stack, "dark", dtype)


def master_bias(frames: Iterable[Frame] | xr.DataArray, *, dtype: str = "float32") -> xr.DataArray:
    """Return a master bias: the per-pixel median over frames, lazily; see `master_dark`."""
    stack = _opened(frames)
    return _labelled(combined(stack.data), stack, "bias", dtype)


def _divided_by_own_level(image: NDArray[Any], *, method: str) -> NDArray[Any]:
    return image / frame_level(list(image), method)


def master_flat(
    frames: Iterable[Frame] | xr.DataArray,
    dark: xr.DataArray | None = None,
    *,
    normalize: str = "mode",
    dtype: str = "float32",
) -> xr.DataArray:
    """Return a master flat, lazily: the median of frames less their dark, each over its level.

    The median is divided by its own level, so that the result is the efficiency relative to the
    most typical pixel.

    Parameters
    ----------
    frames
        Flats of one filter and one exposure time: frames, or an opened stack ``(frame, y, x)``.
    dark
        The master dark of that exposure time, ``(y, x)``, ADU.
    normalize
        How levels are measured: ``mode`` (the peak of a smoothed histogram), ``exact-mode`` (the
        most frequent value), ``median`` or ``mean``.
    dtype
        Of the pixels.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(y, x)``, dimensionless.

    Raises
    ------
    RequestError
        For a normalisation that does not exist.
    """
    import dask.array as da
    import xarray as xr

    if normalize not in METHODS:
        raise RequestError(f"normalize={normalize!r}: there are {', '.join(METHODS)}")
    frames = frames if isinstance(frames, xr.DataArray) else list(frames)
    by_frame, by_tile = _opened(frames, tiled=False), _opened(frames)
    if dark is not None:
        by_frame, by_tile = by_frame - dark.data, by_tile - dark.data
    levels = map_frames(_levels, [by_frame.data], dtype="f8", method=normalize)
    median = combined(by_tile.data / levels[:, None, None]).rechunk(-1)
    divided = map_pixels(_divided_by_own_level, median[None], dtype="f8", method=normalize)
    return _labelled(da.squeeze(divided, axis=0), by_tile, "flat", dtype)
