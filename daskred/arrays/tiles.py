"""The graph of masters: bands of rows through all frames.

A band of rows is one contiguous range of bytes in every file. One task reads the same band of all
frames into one block ``(frame, rows, x)``, and reduces it; so nothing is rechunked or shuffled,
since the file system does the transpose. The height of bands follows from memory.

What reads, reduces and cuts tiles stands together, which makes the file a little longer than
others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.looks import Look
from daskred.arrays.masterfiles import Masters
from daskred.arrays.prepared import PreparedSource
from daskred.arrays.sources import check_state
from daskred.engine.task import Graph, Key, Task
from daskred.fits.checksum import sum_of_rows
from daskred.fits.pixels import read_rows
from daskred.fits.raster import Raster
from daskred.fits.storage import map_concurrently
from daskred.kernels.flat import write_lit
from daskred.kernels.objects import MARGIN, objects_in
from daskred.kernels.robust import any_floats
from daskred.kernels.sampling import excess, hot_rows, hottest, places_of, sample_of
from daskred.kernels.scratch import scratch
from daskred.model.errors import FrameError, FramesError
from daskred.model.frame import Frame, Image

if TYPE_CHECKING:
    from daskred.options import Options


# Bytes of a file that take as long to read as the file to open.
_WORTH_OPENING = 2**17
_MOST_JOINED = 4
# What a value of a frame with objects takes: raw, over its level, flagged, and without them.
OBJECT_BYTES = 20
_SHORT = 2  # bytes of integers that float32 holds


class Tile(NamedTuple):
    """What is made of a band of all frames.

    Parameters
    ----------
    arrays
        Of shape ``(rows, x)``: the master, and what is counted beside it.
    sums
        For each frame the sum of its raw rows.
    sample
        Of the frames as they are combined, shape ``(frame, row, piece, pixel)``; see
        `daskred.kernels.sampling`. None where nobody asks whether they belong together.
    hot_pixels
        Of frames without light, shape ``(frame, pixel)``: by how much those that are hot in what
        they combine to are above one beside them.
    """

    arrays: tuple[NDArray[Any], ...]
    sums: list[int]
    sample: NDArray[Any] | None = None
    hot_pixels: NDArray[Any] | None = None


Reduce = Callable[..., tuple[NDArray[Any], ...]]


class Stack:
    """One image of many frames, read band by band.

    Parameters
    ----------
    frames
        Frames of one layout, at least one.
    number
        Which of their images.
    options
        How they are reduced: the precision of prepared pixels.
    sampled
        Whether a sample of them is wanted too.
    has_objects
        Whether there are stars in them that are left out.

    Attributes
    ----------
    shape, dtype
        ``(frame, y, x)``, and the type that holds every frame's pixels.
    margin, without_objects, value_bytes
        How many rows above and below a band tell where objects are; the type of pixels without
        these; and what memory a value takes meanwhile.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        number: int,
        options: Options,
        sampled: bool = False,
        has_objects: bool = False,
    ) -> None:
        # Frames of one camera have equal images: kept once, they keep the graph small.
        images: dict[Image, Image] = {}
        self._paths = tuple(frame.path for frame in frames)
        self._states = tuple(frame.state for frame in frames)
        self._prepared = tuple(frame if frame.is_prepared else None for frame in frames)
        self._number, self._options = number, options
        self._images = tuple(
            images.setdefault(image, image)
            for frame in frames
            for image in (frame.images[0 if frame.is_prepared else number],)
        )
        self.shape = (len(frames), *frames[0].layout[number][1])
        plain = [
            image.dtype
            for image, frame in zip(self._images, frames, strict=True)
            if not frame.is_prepared
        ]
        prepared = [np.dtype(options.dtype)] if len(plain) < len(frames) else []
        self.dtype = np.result_type(*set(plain), *prepared)
        self.has_objects = has_objects
        self.margin = MARGIN if has_objects else 0
        # What is no short integer may need all that float64 holds.
        self.without_objects = np.dtype("f4" if self.dtype.itemsize <= _SHORT else "f8")
        self.value_bytes = OBJECT_BYTES if has_objects else self.dtype.itemsize
        self.places = places_of(frames[0].layout[number][1], len(frames)) if sampled else None
        self._first_row = sum(shape[0] for _, shape in frames[0].layout[:number])

    def check_unchanged(self) -> None:
        """Raise FrameError where a frame is no longer the file whose header was read."""
        for path, state in zip(self._paths, self._states, strict=True):
            check_state(path, state)

    def band(self, rows: slice, looks: Sequence[Look | None]) -> tuple[NDArray[Any], list[int]]:
        """Read rows of all frames, into memory that the next band overwrites.

        Saturated pixels of frames that are prepared are NaN.

        Returns
        -------
        block
            Shape ``(frame, rows, x)``.
        sums
            For each frame the sum of its raw rows, see `daskred.fits.checksum.sum_of_rows`; 0 for
            those whose look tells it.

        Raises
        ------
        FramesError
            Naming all frames that cannot be read.
        """
        shape = (self.shape[0], rows.stop - rows.start, self.shape[2])
        block = scratch("tile", shape, self.dtype)

        def read(numbered: tuple[int, NDArray[Any]]) -> FrameError | int:
            number, out = numbered
            try:
                if frame := self._prepared[number]:
                    full = scratch("saturated tile", out.shape, "?")
                    source = PreparedSource(frame, self._options, looks[number])
                    source.read(self._number, rows.start, out, full)
                    if full.any():
                        out[full] = np.nan
                    return 0 if looks[number] else source.raw_sum
                image = self._images[number]
                raw = out if image.dtype == self.dtype else np.empty(out.shape, image.dtype)
                read_rows(self._paths[number], image, rows.start, rows.stop, raw)
            except FrameError as error:
                return error
            if raw is not out:
                out[...] = raw
            return sum_of_rows(raw, self._first_row + rows.start)  # while they are in the cache

        found = list(map_concurrently(read, enumerate(block), self._paths))
        if errors := tuple(result for result in found if isinstance(result, FrameError)):
            raise FramesError(errors)
        return block, [result for result in found if isinstance(result, int)]


def _reduced(
    reduce: Reduce, blocks: Sequence[NDArray[Any]], rows: slice, options: dict[str, Any]
) -> tuple[NDArray[Any], ...]:
    """Return what is made of a band: of each amplifier by itself, where its noise matters."""
    noises = options.get("noise")
    if not noises:
        return reduce(*blocks, **options)
    arrays: tuple[NDArray[Any], ...] = ()
    for place, terms in noises:
        start, stop = (min(max(row - rows.start, 0), blocks[0].shape[1]) for row in place.rows)
        if start == stop:
            continue
        where = slice(start, stop), slice(*place.columns)
        parts = reduce(*(block[:, *where] for block in blocks), **{**options, "noise": terms})
        # Where no amplifier lies, nothing was combined.
        arrays = arrays or tuple(
            np.full(blocks[0].shape[1:], np.nan if part.dtype.kind == "f" else 0, part.dtype)
            for part in parts
        )
        for array, part in zip(arrays, parts, strict=True):
            array[where] = part
    if not arrays:  # these rows belong to no amplifier
        arrays = reduce(*blocks, **{**options, "noise": noises[0][1]})
        for array in arrays:
            array[...] = np.nan if array.dtype.kind == "f" else 0
    return arrays


def _rows_of_darks(
    stack: Stack, rows: slice, number: int, darks: Sequence[Masters]
) -> NDArray[np.float64]:
    """Return rows of what is subtracted, shape ``(dark, rows, x)``."""
    shape = (stack.shape[1], stack.shape[2])
    return np.stack([dark.rows(number, shape, rows) for dark in darks])


def _without_objects(
    stack: Stack,
    rows: slice,
    number: int,
    looks: Sequence[Look | None],
    darks: Sequence[Masters],
    options: dict[str, Any],
) -> tuple[NDArray[Any], list[int], NDArray[np.float64]]:
    """Read a band of all frames, NaN where objects are; return the sums and the darks with it.

    Each is brought to the light that all have in common by its plane, above its dark.
    """
    _, height, width = stack.shape
    first, last = max(rows.start - stack.margin, 0), min(rows.stop + stack.margin, height)
    wide = np.empty((stack.shape[0], last - first, width), "f4")
    frames = list(zip(options["which"], options["levels"], options["planes"], strict=True))

    def read(part: slice) -> tuple[NDArray[Any], list[int], NDArray[np.float64]]:
        block, sums = stack.band(part, looks)
        dark = _rows_of_darks(stack, part, number, darks)
        lit = wide[:, part.start - first : part.stop - first]
        for out, raw, (which, level, plane) in zip(lit, block, frames, strict=True):
            write_lit(raw.reshape(-1), dark[which].reshape(-1), level, out.reshape(-1))
            out /= plane.factors(part.start, len(out), (height, width))
        return block, sums, dark

    # The rows themselves come last: the memory of a band is that of the one before.
    read(slice(first, rows.start))
    read(slice(rows.stop, last))
    block, sums, dark = read(rows)
    found = objects_in(wide, options["levels"])[:, rows.start - first : rows.stop - first]
    own = np.empty(block.shape, stack.without_objects)
    for out, raw, objects, (which, _, plane) in zip(own, block, found, frames, strict=True):
        light = (raw - dark[which]) / plane.factors(rows.start, len(out), (height, width))
        out[...] = light + dark[which]
        out[objects] = np.nan
    return own, sums, dark


def _evenly_exposed(
    block: NDArray[Any],
    dark: NDArray[np.float64],
    number: int,
    rows: slice,
    darks: Sequence[Masters],
    which: Sequence[int],
) -> NDArray[Any]:
    """Return a band of flats as if the shutter opened for all pixels alike, above their darks."""
    factors = [masters.exposure_rows(number, rows) for masters in darks]
    if all(factor is None for factor in factors):
        return block
    even = np.empty(block.shape, "f4" if block.dtype.itemsize <= _SHORT else "f8")
    for out, raw, way in zip(even, block, which, strict=True):
        factor = factors[way]
        out[...] = raw if factor is None else (raw - dark[way]) / factor + dark[way]
    return even


@any_floats
def reduce_band(
    stack: Stack,
    rows: slice,
    reduce: Reduce,
    number: int,
    looks: Sequence[Look | None],
    darks: Sequence[Masters],
    options: dict[str, Any],
) -> Tile:
    """Read a band of all frames, and return what a function makes of it, and the frames' sums.

    Parameters
    ----------
    stack, rows, number
        The frames, which rows of them, and of which image.
    reduce
        Called with the block ``(frame, rows, x)``; where there are darks, with their rows
        ``(dark, rows, x)`` too; and with the options. Returns arrays ``(rows, x)``.
    looks
        For each frame what is known of it where it is prepared.
    darks
        What is subtracted from frames, where something is.
    options
        As ``reduce`` has them.
    """
    over = dark = None
    if stack.has_objects:
        block, sums, dark = _without_objects(stack, rows, number, looks, darks, options)
        over = darks[0].divisor_rows(number, rows)
        options = {name: value for name, value in options.items() if name != "planes"}
    else:
        block, sums = stack.band(rows, looks)
        if darks:
            dark = _rows_of_darks(stack, rows, number, darks)
            block = _evenly_exposed(block, dark, number, rows, darks, options["which"])
    value, *beside = _reduced(reduce, [block] if dark is None else [block, dark], rows, options)
    arrays = (value if over is None else value / over, *beside)
    if not stack.places:
        return Tile(arrays, sums)
    sample = sample_of(block, rows.start, stack.places)
    if dark is None:
        asked = hot_rows((stack.shape[1], stack.shape[2]), rows, stack.shape[0])
        return Tile(arrays, sums, sample, excess(block[:, asked], hottest(arrays[0][asked])))
    below = sample_of(dark, rows.start, stack.places)[options["which"]]
    levels = np.array(options["levels"]).reshape(-1, 1, 1, 1)
    lit = (sample - below) / levels
    if over is not None:
        lit /= sample_of(over, rows.start, stack.places)
    return Tile(arrays, sums, lit.astype("f4"))


def tile_rows(n_rows: int, height: int) -> list[slice]:
    """Return the bands of rows that an image is cut into."""
    return [slice(start, min(start + n_rows, height)) for start in range(0, height, n_rows)]


def tile_graph(
    name: str,
    stack: Stack,
    number: int,
    rows: slice,
    reduce: Reduce,
    looks: Any = (),
    darks: Any = (),
    options: Any = None,
) -> tuple[Key, Graph]:
    """Return a key of what is made of one band of all frames, and its graph.

    ``looks``, ``darks`` and ``options`` are values, or keys of what computes them. A run has the
    values, a notebook the keys, which is why they are parameters of their own.
    """
    key = ("tile", name, number, rows.start)
    work = partial(reduce_band, stack, rows, reduce, number)
    return key, {key: (work, looks, darks, options or {})}


def _write_tile(rasters: Sequence[Raster], rows: slice, tile: Tile) -> tuple[slice, Tile]:
    """Write what was made of a band; return its rows, and what is small of it."""
    for raster, array in zip(rasters, tile.arrays, strict=True):
        raster.write(rows.start, array)
    return rows, tile._replace(arrays=())


def written_tiles(
    stack: Stack, number: int, n_rows: int, rasters: Sequence[Raster], *reduction: Any
) -> Iterator[Task]:
    """Put a writing task behind each tile; it returns the band's rows, and the tile without arrays.

    Parameters
    ----------
    stack, number
        The frames, and which image.
    n_rows
        Height of a band.
    rasters
        Where the arrays that are made of it go.
    *reduction
        The further arguments of `tile_graph`, from ``reduce`` on.
    """
    for rows in tile_rows(n_rows, stack.shape[1]):
        key, graph = tile_graph("master", stack, number, rows, *reduction)
        written = ("written", *key)
        yield Task(written, {**graph, written: (partial(_write_tile, rasters, rows), key)})


def rows_per_tile(
    shape: tuple[int, int, int], row_bytes: int, tile_bytes: int, n_parts: int
) -> int:
    """Return the height of a band of a stack.

    Parameters
    ----------
    shape
        Of the stack, ``(frame, y, x)``.
    row_bytes
        What one row of all frames takes in memory.
    tile_bytes
        What a band may take.
    n_parts
        Into how many bands an image is cut at least; into fewer, down to one of four, where it
        would take longer to open the files than to read them.

    Examples
    --------
    >>> rows_per_tile((61, 2048, 2048), 61 * 2048 * 2, 32_000_000, 8)
    128
    >>> rows_per_tile((61, 256, 256), 61 * 256 * 2, 32_000_000, 8)
    128
    """
    n_frames, height, _ = shape
    worth_opening = -(-_WORTH_OPENING * n_frames // row_bytes)
    n_rows = max(-(-height // n_parts), min(worth_opening, -(-height * _MOST_JOINED // n_parts)))
    return max(1, min(tile_bytes // row_bytes, n_rows))
