"""The blocks of frames that tasks read, and the tasks of a run over them.

A stack of frames is one array-like object that reads a block when it is indexed. Two cuts are
used: by frames, for what is done to each frame; and by bands of rows through all frames, for what
is done over frames. A band is one contiguous range of bytes in every file, so that nothing is
ever rechunked or shuffled: the file system does the transpose.

A run maps a function over such blocks: one task for each block reads it, computes and, where that
is its work, writes. `daskred.stack` makes dask arrays of the same stacks for notebooks; a run does
without, since `dask.array` takes longer to import than a small night takes to reduce.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from daskred.checksum import sum_of_rows
from daskred.errors import FrameError, FramesError
from daskred.fitspixels import read_rows
from daskred.frames import Frame, Image
from daskred.kernels.scratch import scratch
from daskred.raster import Raster
from daskred.storage import side_by_side

# A task that works through so many pixels lasts some hundredths of a second, and makes up for what
# it costs to hand out.
TASK_PIXELS = 2**23


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work that a worker carries out, apart from all others; it may run twice.

    Parameters
    ----------
    function
        What is called.
    arguments, options
        With what.
    items
        Of a task over a block of items, these: the first argument, and the result is a list with
        an entry for each. Such a task can be taken apart.
    paths
        For each item the file that it reads.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    items: tuple[Any, ...] = ()
    paths: tuple[str, ...] = ()

    def __call__(self) -> Any:
        """Do the work."""
        own = (self.items, *self.arguments) if self.items else self.arguments
        return self.function(*own, **self.options)

    def parts(self) -> list[Task]:
        """Return a task for each item; none where there are not several."""
        if len(self.items) < 2:
            return []
        return [
            replace(self, items=(item,), paths=(path,))
            for item, path in zip(self.items, self.paths, strict=True)
        ]


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
        self._prepared = {n: frame for n, frame in enumerate(frames) if frame.preparation}
        self._number = image
        shown = [0 if frame.preparation else image for frame in frames]
        self._images = tuple(
            images.setdefault(frame.images[number], frame.images[number])
            for frame, number in zip(frames, shown, strict=True)
        )
        self._digests = tuple(frame.digest for frame in frames)
        self.shape = (len(frames), *frames[0].layout[image][1])
        self.dtype = np.result_type(
            *(one.dtype for one in images), *(["f4"] if self._prepared else [])
        )
        self._first_row = sum(shape[0] for _, shape in frames[0].layout[:image])

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return (type(self).__name__, self._paths, self._digests, self._number)

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

    def band(self, rows: slice) -> tuple[NDArray[Any], list[int]]:
        """Read a band of rows of all frames, into memory that the next band overwrites.

        Returns the band, and for each frame the sum of these rows; see
        `daskred.checksum.sum_of_rows`.
        """
        shape = (self.shape[0], rows.stop - rows.start, self.shape[2])
        block = scratch("tile", shape, self.dtype)
        sums = self._read(range(self.shape[0]), rows.start, rows.stop, block)
        return block, sums

    def _read(
        self, numbers: Iterable[int], start: int, stop: int, block: NDArray[Any]
    ) -> list[int]:
        """Read whole rows of some frames, and return their sums."""

        def read(pair: tuple[NDArray[Any], int]) -> FrameError | int:
            out, number = pair
            image = self._images[number]
            try:
                if frame := self._prepared.get(number):
                    # A run prepares frames once, before it reads bands of them.
                    from daskred.prepared import read_prepared

                    ready = read_prepared(frame, frame.readout, self.dtype)
                    out[...] = ready.images[self._number][start:stop]
                    return 0
                own = out if image.dtype == self.dtype else np.empty(out.shape, image.dtype)
                read_rows(self._paths[number], image, start, stop, own)
            except FrameError as error:
                return error
            if own is not out:
                out[...] = own
            return sum_of_rows(own, self._first_row + start)  # while the rows are in the cache

        found = list(side_by_side(read, zip(block, numbers, strict=True), self._paths))
        if errors := tuple(one for one in found if isinstance(one, FrameError)):
            raise FramesError(errors)
        return [one for one in found if isinstance(one, int)]


class Planes(Protocol):
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
    function: Callable[..., list[Any]],
    items: Sequence[Any],
    paths: Sequence[str],
    n_per_block: int,
    **options: Any,
) -> Iterator[Task]:
    """Map a function over blocks of items, as the frames of a night.

    Parameters
    ----------
    function
        Called with a block of items, and with the options; returns a list with an entry for each.
    items
        What the work is done on.
    paths
        For each item the file that it reads.
    n_per_block
        Number of items that one task takes.
    **options
        The same for all.
    """
    for start in range(0, len(items), n_per_block):
        block = slice(start, start + n_per_block)
        yield Task(function, (), options, tuple(items[block]), tuple(paths[block]))


def _on_tile(
    function: Callable[..., tuple[NDArray[Any], ...]],
    stack: FrameStack,
    planes: Sequence[Planes],
    rows: slice,
    rasters: Sequence[Raster],
    **options: Any,
) -> tuple[int, list[int]]:
    """Read a band, write what a function makes of it, return its height and the frames' sums."""
    band, sums = stack.band(rows)
    tiles = function(band, *(one.band(rows) for one in planes), **options)
    for raster, tile in zip(rasters, tiles, strict=True):
        raster.write(rows.start, tile)
    return rows.stop - rows.start, sums


def tile_tasks(
    function: Callable[..., tuple[NDArray[Any], ...]],
    stack: FrameStack,
    planes: Sequence[Planes],
    n_rows: int,
    rasters: Sequence[Raster],
    **options: Any,
) -> Iterator[Task]:
    """Map a function over bands of rows.

    Parameters
    ----------
    function
        Called with a block ``(n, rows, x)`` of the stack and of each of the planes, and with the
        options; returns an array ``(rows, x)`` for each raster.
    stack
        The frames.
    planes
        What else it needs, each with its own n.
    n_rows
        Height of a band.
    rasters
        Where its results are written; each task returns the height of its band, and the sums of
        the frames' rows in it.
    **options
        The same for all.
    """
    height = stack.shape[1]
    for start in range(0, height, n_rows):
        rows = slice(start, min(start + n_rows, height))
        yield Task(_on_tile, (function, stack, list(planes), rows, list(rasters)), options)


def rows_per_tile(row_bytes: int, n_rows: int, tile_bytes: int, n_parts: int) -> int:
    """Return the height of a band: of so many bytes over all frames, and at least so many bands.

    Examples
    --------
    >>> rows_per_tile(61 * 2048 * 2, 2048, 32_000_000, 8)
    128
    """
    return max(1, min(tile_bytes // row_bytes, -(-n_rows // n_parts)))


def frames_in(n_pixels: int, frames: Sequence[Frame], n_parts: int) -> int:
    """Return how many frames have so many pixels, at least one, and make so many parts."""
    of_frame = sum(image.n_pixels for image in frames[0].images)
    return max(1, min(n_pixels // of_frame, -(-len(frames) // n_parts)))


def frames_per_task(frames: Sequence[Frame], n_parts: int) -> int:
    """Return how many frames a task takes that holds one at a time; at least so many tasks."""
    return frames_in(TASK_PIXELS, frames, n_parts)
