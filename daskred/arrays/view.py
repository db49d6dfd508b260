"""What a notebook sees of the graph: frames as labelled, lazy arrays ``(frame, y, x)``.

These are the graphs of runs, whose last keys dask takes for the blocks of an array. A block of
frames has one key for its sources, from which pixels, calibrated frames and written files follow;
so what is calibrated and written in a notebook goes band by band through the cache too, unless
somebody has worked on the arrays in between. Both cuts stand in this file, which makes it a little
longer than others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.frames import frames_in, look_at_frames, needs_look
from daskred.arrays.masters import usable_looks
from daskred.arrays.sources import ArraySource, Source, check_unchanged, source_of
from daskred.arrays.tiles import Stack, rows_per_tile, tile_rows
from daskred.engine.task import Key
from daskred.model.errors import RequestError
from daskred.model.frame import Frame, number_in
from daskred.night.times import date_text, mjd_of
from daskred.options import Options

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

BLOCK_BYTES = 32 * 2**20
# Of all frames at once, in each thread: about what a run takes.
TILE_BYTES = 30 * 2**20
MAX_FRAMES_PER_BLOCK = 64
_OPENED = "frames"
_PARTS = 4
# What nanoseconds can tell: other dates are of clocks that were never set.
_FIRST_MJD, _LAST_MJD = -60000.0, 140000.0
Layer = dict[Key, tuple[Any, ...]]


class Opened(NamedTuple):
    """A frame that was opened: its pixels, and the frame where they are still its own."""

    source: Source
    frame: Frame | None


def lazy(
    name: str,
    layer: Layer,
    chunks: tuple[tuple[int, ...], ...],
    dtype: Any,
    needs: Sequence[da.Array] = (),
) -> da.Array:
    """Return a graph, some of whose keys begin with a name, as a dask array of that name."""
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    graph = HighLevelGraph.from_collections(name, layer, dependencies=list(needs))
    return da.Array(graph, name, chunks=chunks, dtype=dtype)


def token_of(*parts: Any) -> str:
    """Return a name for what is computed of some parts; frames count by their digests."""
    from dask.tokenize import tokenize

    return str(tokenize(*parts))


def identity_of(frames: Sequence[Frame]) -> list[tuple[str, ...]]:
    """Return by what frames are known: their files as they are, and what is known of them."""
    return [
        (frame.path, frame.digest, frame.state, repr(frame.readout), repr(frame.facts.exptime_s))
        for frame in frames
    ]


def check_alike(frames: Sequence[Frame]) -> None:
    """Raise RequestError where there are no frames, or they cannot be opened together."""
    if not frames:
        raise RequestError("no frames to open")
    for frame in frames:
        if frame.layout != frames[0].layout:
            raise RequestError(
                f"{frame.name} and {frames[0].name} differ in the shapes or names of their images;"
                " frames that are opened together must share them"
            )


def number_of(frames: Sequence[Frame], image: int | str) -> int:
    """Return the number of an image that is given by number or name.

    Raises
    ------
    RequestError
        When there is none.
    """
    names = frames[0].image_names
    number = number_in(names, image)
    if number is None:
        known = ", ".join(map(repr, names)) if isinstance(image, str) else len(names)
        raise RequestError(f"no image {image!r}; there are {known}")
    return number


def coordinates_of(frames: Sequence[Frame]) -> Mapping[str, tuple[str, list[Any]]]:
    """Return what is known of each frame, along the dimension ``frame``."""
    times = [np.nan if f.facts.exptime_s is None else f.facts.exptime_s for f in frames]
    # What criteria compare, as far as any header tells it.
    settings = dict.fromkeys(name for frame in frames for name, _ in frame.facts.settings)
    return {
        "file": ("frame", [frame.path for frame in frames]),
        "kind": ("frame", [frame.kind for frame in frames]),
        "exptime_s": ("frame", times),
        "filter": ("frame", [frame.facts.filter or "" for frame in frames]),
        "time": ("frame", [_moment(frame.facts.time_obs) for frame in frames]),
        **{n: ("frame", [str(f.facts.value(n) or "") for f in frames]) for n in settings},
    }


def _moment(text: str | None) -> np.datetime64:
    """Return a date as numpy has it; not a time where nobody can tell it."""
    mjd = mjd_of(text)
    known = mjd is not None and _FIRST_MJD < mjd < _LAST_MJD
    return np.datetime64(date_text(mjd) if mjd is not None and known else "NaT", "ns")


def places_of(shape: tuple[int, int]) -> Mapping[str, tuple[str, NDArray[Any]]]:
    """Return where pixels lie in the image, rows and columns from 0: what is cut out keeps it."""
    return {axis: (axis, np.arange(n)) for axis, n in zip("yx", shape, strict=True)}


def unit_of(frames: Sequence[Frame]) -> str:
    """Return the unit of the pixels of frames."""
    return frames[0].readout.unit if frames[0].is_prepared else "adu"


# Blocks of whole frames


def _open_block(frames: Sequence[Frame], options: Options) -> list[Opened]:
    return [Opened(source_of(frame, options), frame) for frame in frames]


def _opened_pixels(number: int, dtype: Any, opened: Sequence[Opened]) -> NDArray[Any]:
    """Return an image of opened frames as an array ``(frame, y, x)``."""
    block = np.empty((len(opened), *opened[0].source.shapes[number]), dtype)
    for pixels_of_frame, (source, frame) in zip(block, opened, strict=True):
        for start, pixels, _ in source.bands(number, saturated=False):
            pixels_of_frame[start : start + len(pixels)] = pixels
        if frame:
            check_unchanged(frame)
    return block


def _sources_of_arrays(number: int, block: NDArray[Any]) -> list[Opened]:
    """Return frames of an array as if they had been opened."""
    return [Opened(ArraySource({number: image}), None) for image in block]


def frame_blocks(frames: Sequence[Frame]) -> list[slice]:
    """Cut frames into blocks of some megabytes, at least so many that workers share them."""
    n_pixels = BLOCK_BYTES // 8
    n_per_block = min(frames_in(n_pixels, frames, _PARTS), MAX_FRAMES_PER_BLOCK)
    return [slice(at, at + n_per_block) for at in range(0, len(frames), n_per_block)]


def opened_layer(frames: Sequence[Frame], options: Options, token: str) -> tuple[Layer, list[Key]]:
    """Return the graph that opens frames, and its keys: one for each block."""
    layer: Layer = {}
    for number, block in enumerate(frame_blocks(frames)):
        layer[("opened", token, number)] = (partial(_open_block, frames[block], options),)
    return layer, list(layer)


class Sources(NamedTuple):
    """What opens the frames of an array.

    Parameters
    ----------
    name
        By what they are known.
    tasks
        One for each block of frames, to stand within another task: the graph has no key for it.
    lengths
        Of these blocks.
    needs
        The arrays whose graphs are needed.
    are_frames
        Whether the sources are the frames themselves.
    """

    name: str
    tasks: list[tuple[Any, ...]]
    lengths: tuple[int, ...]
    needs: list[da.Array]
    are_frames: bool


def sources_of(science: xr.DataArray, number: int) -> Sources:
    """Return what opens the sources of an array's frames.

    Of an array as `open_frames` has returned it, these are the frames themselves; of another, its
    pixels.
    """
    import dask.array as da

    data = science.data
    if not isinstance(data, da.Array):
        data = da.from_array(np.asarray(data), chunks=(1, -1, -1))
    lengths = data.chunks[0]
    if data.name.startswith(f"{_OPENED}-") and data.numblocks[1:] == (1, 1):
        token = data.name.split("-")[1]
        keys: list[Key] = [("opened", token, n) for n in range(len(lengths))]
        if all(key in data.dask for key in keys):
            return Sources(data.name, [task_of(data.dask, key) for key in keys], lengths, [], True)
    data = data.rechunk({1: -1, 2: -1})
    lengths = data.chunks[0]
    work = partial(_sources_of_arrays, number)
    tasks: list[tuple[Any, ...]] = [(work, (data.name, n, 0, 0)) for n in range(len(lengths))]
    return Sources(data.name, tasks, lengths, [data], False)


def opened_by(task: tuple[Any, ...]) -> Sequence[Frame]:
    """Return the frames that a task opens; none where it takes them from an array."""
    return task[0].args[0] if task[0].func is _open_block else ()


def task_of(graph: Any, key: Key) -> tuple[Any, ...]:
    """Return a task of a graph, without what it depends on, as it was written."""
    task = graph[key]
    return task if isinstance(task, tuple) else (task.func, *task.args)


def image_of(science: xr.DataArray) -> int:
    """Return which image of its frames an array of `open_frames` holds; 0 where nobody knows."""
    name = str(getattr(science.data, "name", ""))
    parts = name.split("-")
    return int(parts[2]) if parts[0] == _OPENED and len(parts) == 3 else 0


# Bands of rows


def looks_layer(frames: Sequence[Frame], token: str) -> tuple[Layer, Any]:
    """Return the graph that looks at frames that are prepared, and the key of all looks."""
    if not any(map(needs_look, frames)):
        return {}, [None] * len(frames)
    layer: Layer = {}
    for number, block in enumerate(frame_blocks(frames)):
        layer[("look", token, number)] = (partial(look_at_frames, frames[block]),)
    layer[("looks", token)] = (_all_looks, *layer)
    return layer, ("looks", token)


def _all_looks(*blocks: Sequence[Any]) -> list[Any]:
    return usable_looks([look for block in blocks for look in block])


def cut_into_rows(stack: Stack) -> list[slice]:
    """Cut an image into bands of rows through all frames."""
    n_frames, height, width = stack.shape
    row_bytes = n_frames * width * stack.dtype.itemsize
    return tile_rows(rows_per_tile(stack.shape, row_bytes, TILE_BYTES, _PARTS), height)


def _read_band(stack: Stack, rows: slice, looks: Any) -> NDArray[Any]:
    block = stack.band(rows, looks)[0].copy()
    stack.check_unchanged()
    return block


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
        coordinates ``file``, ``kind``, ``exptime_s`` (seconds), ``filter`` and ``time`` (when the
        exposure began) for each frame. Frames whose detector is prepared are so, in float32.

    Raises
    ------
    RequestError
        When there is no frame, or their images differ.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name, shape=(16, 16), n_darks=2, n_flats=2, n_science=1)
    >>> raw = open_frames(open_night(folder.name).select("dark"))
    >>> raw.dims, raw.shape, str(raw.dtype)
    (('frame', 'y', 'x'), (4, 16, 16), 'uint16')
    >>> folder.cleanup()
    """
    import xarray as xr

    frames = list(frames)
    check_alike(frames)
    number = number_of(frames, image)
    options = Options()
    stack = Stack(frames, number, options)
    token = token_of(identity_of(frames), tiled)
    shape = stack.shape
    if tiled:
        name = f"tiles-{token}-{number}"
        layer, looks = looks_layer(frames, token)
        bands = cut_into_rows(stack)
        for place, rows in enumerate(bands):
            layer[(name, 0, place, 0)] = (partial(_read_band, stack, rows), looks)
        heights = tuple(rows.stop - rows.start for rows in bands)
        chunks: Any = ((shape[0],), heights, (shape[2],))
    else:
        name = f"{_OPENED}-{token}-{number}"
        layer, keys = opened_layer(frames, options, token)
        work = partial(_opened_pixels, number, stack.dtype)
        for place, key in enumerate(keys):
            layer[(name, place, 0, 0)] = (work, layer[key])
        lengths = tuple(len(frames[block]) for block in frame_blocks(frames))
        chunks = (lengths, (shape[1],), (shape[2],))
    return xr.DataArray(
        lazy(name, layer, chunks, stack.dtype),
        dims=("frame", "y", "x"),
        coords={**coordinates_of(frames), **places_of(frames[0].layout[number][1])},
        name=frames[0].layout[number][0] or "pixels",
        attrs={"units": unit_of(frames)},
    )


def open_images(frames: Sequence[Frame], *, tiled: bool = False) -> dict[str, xr.DataArray]:
    """Open every image of mosaic frames: a lazy array for each, by name; see `open_frames`.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name, shape=(16, 16), n_darks=2, n_flats=1, n_science=1)
    >>> images = open_images(open_night(folder.name).select("dark"))
    >>> {name: array.shape for name, array in images.items()}
    {'': (4, 16, 16)}
    >>> folder.cleanup()
    """
    frames = list(frames)
    check_alike(frames)
    return {
        name: open_frames(frames, image=number, tiled=tiled)
        for number, (name, _) in enumerate(frames[0].layout)
    }
