"""Dask arrays over stacks of frames ``(frame, y, x)``, for notebooks.

On these arrays dask fuses whatever is mapped: `daskred.blocks` holds the stacks, and the two cuts
that are used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daskred.blocks import FrameStack, frames_in, rows_per_tile
from daskred.errors import RequestError
from daskred.frames import Frame

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

FRAME_BLOCK_BYTES = 32 * 2**20
TILE_BLOCK_BYTES = 32 * 2**20
MAX_FRAMES_PER_BLOCK = 64


def lazy_array(stack: Any, chunks: tuple[int, ...]) -> da.Array:
    """Return a lazy array over anything that has a shape and a dtype and reads when indexed."""
    import dask.array as da

    meta = np.empty((0,) * len(chunks), stack.dtype)
    return da.from_array(stack, chunks=chunks, asarray=False, lock=False, meta=meta)


def frames_per_block(frames: Sequence[Frame], n_parts: int) -> int:
    """Return how many frames a block in memory holds: some megabytes, at least so many blocks."""
    return min(frames_in(FRAME_BLOCK_BYTES // 8, frames, n_parts), MAX_FRAMES_PER_BLOCK)


def stack_frames(frames: Sequence[Frame], image: int, n_per_block: int) -> da.Array:
    """Return a lazy array ``(frame, y, x)`` cut by frames."""
    stack = FrameStack(frames, image)
    return lazy_array(stack, (n_per_block, *stack.shape[1:]))


def stack_tiles(frames: Sequence[Frame], image: int, n_rows: int) -> da.Array:
    """Return a lazy array ``(frame, y, x)`` cut into bands of rows through all frames."""
    stack = FrameStack(frames, image)
    return lazy_array(stack, (stack.shape[0], n_rows, stack.shape[2]))


def map_frames(
    function: Callable[..., NDArray[Any]],
    stacks: Sequence[da.Array],
    per_frame: Sequence[NDArray[Any]] = (),
    *,
    dtype: Any,
    **options: Any,
) -> da.Array:
    """Map a function over frames that returns one value for each.

    Parameters
    ----------
    function
        Called with a block ``(n, y, x)`` of each stack, then with the block ``(n,)`` of each
        further array; returns shape ``(n,)``.
    stacks
        Arrays ``(frame, y, x)`` cut by frames alike: one for each image.
    per_frame
        Arrays ``(frame,)``.
    dtype
        Of the result.
    **options
        Handed to the function by name.

    Returns
    -------
    dask.array.Array
        Shape ``(frame,)``; one task for each block of frames.
    """
    import dask.array as da

    arguments: list[Any] = []
    for number, stack in enumerate(stacks):
        arguments += [stack, ("frame", f"y{number}", f"x{number}")]
    for values in per_frame:
        arguments += [da.from_array(values, chunks=(stacks[0].chunks[0],)), ("frame",)]
    return da.blockwise(
        function,
        ("frame",),
        *arguments,
        dtype=dtype,
        meta=np.empty((0,), dtype),
        concatenate=True,
        **options,
    )


def map_tiles(
    function: Callable[..., NDArray[Any]], *stacks: da.Array, dtype: Any, **options: Any
) -> da.Array:
    """Map a function over bands of rows that makes one image of each stack of bands.

    Parameters
    ----------
    function
        Called with a block ``(n, rows, x)`` of each stack; returns ``(rows, x)``.
    *stacks
        Arrays ``(n, y, x)``, each with its own n, cut into the same bands.
    dtype
        Of the result.
    **options
        Handed to the function by name.

    Returns
    -------
    dask.array.Array
        Shape ``(y, x)``; one task for each band.
    """
    import dask.array as da

    arguments: list[Any] = []
    for number, stack in enumerate(stacks):
        arguments += [stack, (f"n{number}", "y", "x")]
    return da.blockwise(
        function,
        ("y", "x"),
        *arguments,
        dtype=dtype,
        meta=np.empty((0, 0), dtype),
        concatenate=True,
        **options,
    )


def map_pixels(
    function: Callable[..., NDArray[Any]], stack: Any, *planes: Any, dtype: Any, **options: Any
) -> da.Array:
    """Map a function over the blocks of a stack that keeps their shape.

    Parameters
    ----------
    function
        Called with a block ``(n, y, x)`` and the planes.
    stack
        Array ``(frame, y, x)``, lazy or not.
    *planes
        Arrays ``(y, x)``, lazy or not, that every block needs.
    dtype
        Of the result.
    **options
        Handed to the function by name.
    """
    import dask.array as da

    def whole(array: Any, n_axes: int) -> da.Array:
        lazy = array if isinstance(array, da.Array) else da.from_array(array)
        return lazy.rechunk(dict.fromkeys(range(lazy.ndim - n_axes, lazy.ndim), -1))

    arguments: list[Any] = [whole(stack, 2), ("frame", "y", "x")]
    for plane in planes:
        arguments += [whole(plane, 2), ("y", "x")]
    return da.blockwise(
        function,
        ("frame", "y", "x"),
        *arguments,
        dtype=dtype,
        meta=np.empty((0, 0, 0), dtype),
        **options,
    )


def _coordinates(frames: Sequence[Frame]) -> Mapping[str, tuple[str, list[Any]]]:
    return {
        "file": ("frame", [frame.path for frame in frames]),
        "kind": ("frame", [frame.kind for frame in frames]),
        "exptime_s": (
            "frame",
            [np.nan if f.facts.exptime_s is None else f.facts.exptime_s for f in frames],
        ),
        "filter": ("frame", [frame.facts.filter or "" for frame in frames]),
        "time": ("frame", [frame.facts.time_obs or "" for frame in frames]),
    }


def open_frames(
    frames: Sequence[Frame], *, image: int | str = 0, tiled: bool = False
) -> xr.DataArray:
    """Open one image of many frames as a lazy, labelled array; no pixel is read yet.

    Parameters
    ----------
    frames
        Frames of one layout: `Night.select` gives them.
    image
        Which image of each frame, by number or by name.
    tiled
        Cut into bands of rows through all frames, for what is computed over frames, as a median;
        by default into frames.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(frame, y, x)``, physical pixels in ADU of the type that the files hold, with
        coordinates ``file``, ``kind``, ``exptime_s`` (seconds), ``filter`` and ``time`` for each
        frame.

    Raises
    ------
    RequestError
        When there is no frame, or their images differ.

    Examples
    --------
    >>> import tempfile
    >>> from daskred.night import open_night
    >>> from daskred.simulation import simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name, shape=(16, 16), n_darks=2, n_flats=2, n_science=1)
    >>> raw = open_frames(open_night(folder.name).select("dark"))
    >>> raw.dims, raw.shape, str(raw.dtype)
    (('frame', 'y', 'x'), (4, 16, 16), 'uint16')
    >>> folder.cleanup()
    """
    import xarray as xr

    if not frames:
        raise RequestError("no frames to open")
    for frame in frames:
        if frame.layout != frames[0].layout:
            raise RequestError(
                f"{frame.name} and {frames[0].name} differ in the shapes or names of their images;"
                " frames that are opened together must share them"
            )
    names = [name for name, _ in frames[0].layout]
    if isinstance(image, str):
        if image not in names:
            raise RequestError(f"no image {image!r}; there are {', '.join(map(repr, names))}")
        image = names.index(image)
    if not 0 <= image < len(names):
        raise RequestError(f"no image {image}; there are {len(names)}")
    if tiled:
        shape = frames[0].layout[image][1]
        row_bytes = len(frames) * shape[1] * FrameStack(frames, image).dtype.itemsize
        n_rows = rows_per_tile(row_bytes, shape[0], TILE_BLOCK_BYTES, n_parts=4)
        data = stack_tiles(frames, image, n_rows)
    else:
        data = stack_frames(frames, image, frames_per_block(frames, 4))
    return xr.DataArray(
        data,
        dims=("frame", "y", "x"),
        coords=_coordinates(frames),
        name=names[image] or "pixels",
        attrs={"units": frames[0].preparation.unit if frames[0].preparation else "adu"},
    )


def open_images(frames: Sequence[Frame], *, tiled: bool = False) -> dict[str, xr.DataArray]:
    """Open every image of mosaic frames: a lazy array for each, by name; see `open_frames`."""
    if not frames:
        raise RequestError("no frames to open")
    return {
        name: open_frames(frames, image=number, tiled=tiled)
        for number, (name, _) in enumerate(frames[0].layout)
    }
