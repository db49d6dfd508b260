"""From frames to stacks ``(frame, y, x)``: tasks for a run, dask arrays for a notebook.

A stack of frames is one array-like object that reads a block when it is indexed. Two cuts are
used: by frames, for what is done to each frame; and by bands of rows through all frames, for what
is done over frames. A band is one contiguous range of bytes in every file, so that nothing is
ever rechunked or shuffled: the file system does the transpose.

There are two doors. A run maps a function over the blocks of stacks: one task for each block reads
it, computes and, where that is its work, writes. A notebook gets dask arrays over the same stacks,
on which dask fuses whatever is mapped. The first door needs no `dask.array`, which takes longer to
import than a small night takes to reduce.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from daskred.errors import FrameError, FramesError, RequestError
from daskred.fitsfile import read_rows
from daskred.frames import Frame, Image
from daskred.kernels.scratch import scratch
from daskred.raster import Raster

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

Task = tuple[Any, ...]
FRAME_BLOCK_BYTES = 32 * 2**20
# A task that works through so many pixels lasts some hundredths of a second, and makes up for what
# it costs to hand out.
TASK_PIXELS = 2**23
TILE_BLOCK_BYTES = 32 * 2**20
MAX_FRAMES_PER_BLOCK = 64


class FrameStack:
    """One image of many frames as an array that reads when it is indexed.

    Parameters
    ----------
    frames
        Frames of one layout, at least one.
    image
        Which of their images.

    Attributes
    ----------
    shape, ndim, dtype
        ``(frame, y, x)``, 3, and the type that holds every frame's pixels.
    """

    ndim = 3

    def __init__(self, frames: Sequence[Frame], image: int = 0) -> None:
        # Frames of one camera have equal images: kept once, they keep the graph small.
        images: dict[Image, Image] = {}
        self._paths = tuple(frame.path for frame in frames)
        self._images = tuple(
            images.setdefault(frame.images[image], frame.images[image]) for frame in frames
        )
        self._digests = tuple(frame.digest for frame in frames)
        self.shape = (len(frames), *self._images[0].shape)
        self.dtype = np.result_type(*(one.dtype for one in images))

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return (type(self).__name__, self._paths, self._digests, self._images[0].hdu)

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        """Read a block; all frames of it that fail are named in one error.

        Each axis takes what numpy takes, apart from the others: a slice, a number or a list.
        """
        which, rows, columns = (*index, slice(None), slice(None))[:3]
        numbers = np.arange(self.shape[0])[which]
        row_numbers = np.arange(self.shape[1])[rows]
        if row_numbers.size == 0:
            return np.empty((*numbers.shape, 0, self.shape[2]), self.dtype)[..., columns]
        start, stop = int(row_numbers.min()), int(row_numbers.max()) + 1
        which_frames = np.atleast_1d(numbers)
        block = np.empty((len(which_frames), stop - start, self.shape[2]), self.dtype)
        self._read(which_frames, start, stop, block)
        if row_numbers.size != stop - start or row_numbers.flat[0] != start:
            block = block[:, row_numbers - start]
        elif row_numbers.ndim == 0:
            block = block[:, 0]
        block = block[..., columns]
        return block[0] if numbers.ndim == 0 else block

    def band(self, rows: slice) -> NDArray[Any]:
        """Read a band of rows of all frames, into memory that the next band overwrites."""
        shape = (self.shape[0], rows.stop - rows.start, self.shape[2])
        block = scratch("tile", shape, self.dtype)
        self._read(range(self.shape[0]), rows.start, rows.stop, block)
        return block

    def _read(self, numbers: Iterable[int], start: int, stop: int, block: NDArray[Any]) -> None:
        """Read whole rows of some frames."""
        errors = []
        for out, number in zip(block, numbers, strict=True):
            image = self._images[number]
            own = out if image.dtype == self.dtype else np.empty(out.shape, image.dtype)
            try:
                read_rows(self._paths[number], image, start, stop, own)
            except FrameError as error:
                errors.append(error)
            if own is not out:
                out[...] = own
        if errors:
            raise FramesError(tuple(errors))


class Stack(Protocol):
    """What has a shape ``(n, y, x)`` and can be read in bands of rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of planes, rows and columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""

    def band(self, rows: slice) -> NDArray[Any]:
        """Read a band of rows of all planes, into memory that the next band overwrites."""


def block_tasks(
    function: Callable[..., Any], items: Sequence[Any], n_per_block: int, **options: Any
) -> list[Task]:
    """Map a function over blocks of items, as the frames of a night.

    Parameters
    ----------
    function
        Called with a block of items, and with the options.
    items
        What the work is done on.
    n_per_block
        Number of items that one task takes.
    **options
        The same for all.
    """
    return [
        (_on_block, function, items[start : start + n_per_block], options)
        for start in range(0, len(items), n_per_block)
    ]


def _on_block(function: Callable[..., Any], items: Sequence[Any], options: dict[str, Any]) -> Any:
    return function(items, **options)


def _on_tile(
    function: Callable[..., NDArray[Any]],
    stacks: Sequence[Stack],
    rows: slice,
    raster: Raster,
    options: dict[str, Any],
) -> int:
    """Read a band of each stack, write what a function makes of them, return the band's height."""
    tile = function(*(stack.band(rows) for stack in stacks), **options)
    raster.write(rows.start, tile)
    return len(tile)


def tile_tasks(
    function: Callable[..., NDArray[Any]],
    stacks: Sequence[Stack],
    n_rows: int,
    raster: Raster,
    **options: Any,
) -> list[Task]:
    """Map a function over bands of rows.

    Parameters
    ----------
    function
        Called with a block ``(n, rows, x)`` of each stack, and with the options; returns
        ``(rows, x)``.
    stacks
        Each with its own n.
    n_rows
        Height of a band.
    raster
        Where its results are written; each task returns the height of its band.
    **options
        The same for all.
    """
    height = stacks[0].shape[1]
    return [
        (_on_tile, function, list(stacks), slice(s, min(s + n_rows, height)), raster, options)
        for s in range(0, height, n_rows)
    ]


def lazy_array(stack: Any, chunks: tuple[int, ...]) -> da.Array:
    """Return a lazy array over anything that has a shape and a dtype and reads when indexed."""
    import dask.array as da

    meta = np.empty((0,) * len(chunks), stack.dtype)
    return da.from_array(stack, chunks=chunks, asarray=False, lock=False, meta=meta)


def _frames_in(n_pixels: int, frames: Sequence[Frame], n_parts: int) -> int:
    """Return how many frames have so many pixels, at least one, and make so many parts."""
    of_frame = sum(image.n_pixels for image in frames[0].images)
    return max(1, min(n_pixels // of_frame, -(-len(frames) // n_parts)))


def frames_per_block(frames: Sequence[Frame], n_parts: int) -> int:
    """Return how many frames a block in memory holds: some megabytes, at least so many blocks."""
    return min(_frames_in(FRAME_BLOCK_BYTES // 8, frames, n_parts), MAX_FRAMES_PER_BLOCK)


def frames_per_task(frames: Sequence[Frame], n_parts: int) -> int:
    """Return how many frames a task takes that holds one at a time; at least so many tasks."""
    return _frames_in(TASK_PIXELS, frames, n_parts)


def rows_per_tile(row_bytes: int, n_rows: int, tile_bytes: int, n_parts: int) -> int:
    """Return the height of a band: of so many bytes over all frames, and at least so many bands.

    Examples
    --------
    >>> rows_per_tile(61 * 2048 * 2, 2048, 32_000_000, 8)
    128
    """
    return max(1, min(tile_bytes // row_bytes, -(-n_rows // n_parts)))


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
    names = [one.name for one in frames[0].images]
    if isinstance(image, str):
        if image not in names:
            raise RequestError(f"no image {image!r}; there are {', '.join(map(repr, names))}")
        image = names.index(image)
    if not 0 <= image < len(names):
        raise RequestError(f"no image {image}; there are {len(names)}")
    if tiled:
        one = frames[0].images[image]
        row_bytes = len(frames) * one.shape[1] * one.dtype.itemsize
        n_rows = rows_per_tile(row_bytes, one.shape[0], TILE_BLOCK_BYTES, n_parts=4)
        data = stack_tiles(frames, image, n_rows)
    else:
        data = stack_frames(frames, image, frames_per_block(frames, 4))
    return xr.DataArray(
        data,
        dims=("frame", "y", "x"),
        coords=_coordinates(frames),
        name=names[image] or "pixels",
        attrs={"units": "adu"},
    )


def open_images(frames: Sequence[Frame], *, tiled: bool = False) -> dict[str, xr.DataArray]:
    """Open every image of mosaic frames: a lazy array for each, by name; see `open_frames`."""
    if not frames:
        raise RequestError("no frames to open")
    return {
        image.name: open_frames(frames, image=number, tiled=tiled)
        for number, image in enumerate(frames[0].images)
    }
