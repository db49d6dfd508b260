"""Frames of a notebook as one zarr store, which xarray and a cluster read."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Container, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from daskred.arrays.view import BLOCK_BYTES, token_of
from daskred.arrays.view_nodes import Labelled
from daskred.arrays.view_write import scheduler
from daskred.engine.forking import n_processors
from daskred.model.errors import RequestError, RunError
from daskred.model.paths import absolute

if TYPE_CHECKING:
    import xarray as xr

_MADE_FROM = "daskred_made_from"
# In the store while it is unfinished: the first frames of the blocks that are there.
_BEGUN = ".daskred-unfinished"
_BLOCKS_AT_ONCE = 4  # for each processor


def write_zarr(frames: Labelled, store: str | Path) -> Path:
    """Compute frames, and write them as a zarr store: a chunk for each block of frames.

    Written again after it was interrupted, it is finished: blocks that are there stay as they are,
    and the store is the same, byte by byte.

    Parameters
    ----------
    frames
        An array ``(frame, y, x)`` as `calibrate` or `open_frames` returns it, or a dataset of such.
    store
        The folder that the store becomes; zarr's format 2, with consolidated metadata.

    Returns
    -------
    pathlib.Path
        The store.

    Raises
    ------
    RequestError
        When zarr is not installed, or the folder holds something else.
    FrameError
        When a frame cannot be read, or has changed.
    RunError
        When the disk is full or cannot be written; the same call goes on from there.

    Examples
    --------
    >>> import tempfile, daskred, xarray as xr
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name + "/night", shape=(16, 16), n_darks=3, n_flats=2)
    >>> night = daskred.open_night(folder.name + "/night")
    >>> dark = daskred.master_dark(night.select("dark", exptime_s=10))
    >>> flat = daskred.master_flat(
    ...     night.select("flat"), daskred.master_dark(night.select("dark", exptime_s=3))
    ... )
    >>> calibrated = daskred.calibrate(night.select("science"), dark, flat)
    >>> store = write_zarr(calibrated, folder.name + "/night.zarr")
    >>> with xr.open_zarr(store) as again:
    ...     again.pixels.sizes["frame"], again.pixels.units
    (60, 'adu')
    >>> folder.cleanup()
    """
    import xarray as xr

    target = absolute(store)
    dataset = frames.to_dataset(name="pixels") if isinstance(frames, xr.DataArray) else frames
    if not isinstance(dataset, xr.Dataset) or "frame" not in dataset.dims:
        raise RequestError("only arrays (frame, y, x), and datasets of such, can be written")
    dataset = _in_blocks(dataset)
    identity = _identity(dataset)
    try:
        if _begun(target, dataset.assign_attrs({_MADE_FROM: identity}), identity):
            _finish(target, dataset)
    except OSError as error:
        raise RunError(
            f"stopped: {error.filename or target}: {error.strerror or error};"
            " what is done stays, the same call goes on from there"
        ) from error
    return target


def _in_blocks(dataset: xr.Dataset) -> xr.Dataset:
    """Return a dataset that is lazy, in blocks of equal numbers of frames, as stores have them."""
    import dask.array as da

    found = dataset.assign_coords({name: c.compute() for name, c in dataset.coords.items()})
    for name, plane in dataset.items():
        data = plane.data  # what xarray has opened hides its blocks
        frames = BLOCK_BYTES // max(1, data[:1].nbytes)
        if not isinstance(data, da.Array):
            data = da.from_array(data, chunks=(max(1, frames), *data.shape[1:]))
        rest = dict.fromkeys(range(1, data.ndim), -1)
        found[name] = plane.copy(data=data.rechunk({0: max(data.chunks[0]), **rest}))
    return found.unify_chunks()


def _identity(dataset: xr.Dataset) -> str:
    """Return what a store of a dataset is known by: its pixels, and all that is told of them."""
    lazy = [(str(name), plane.data.name, plane.attrs) for name, plane in dataset.items()]
    coords = [(str(name), c.values.tolist(), c.attrs) for name, c in dataset.coords.items()]
    return token_of(lazy, coords, dataset.attrs)


def _begun(target: Path, dataset: xr.Dataset, identity: str) -> bool:
    """Begin a store, unless it was begun before; return whether something is left to do."""
    is_empty = target.is_dir() and not any(target.iterdir())
    if target.exists() and not is_empty:
        if _identity_of(target) != identity:
            raise RequestError(f"{target}: holds something else; name another store")
        return (target / _BEGUN).exists()
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):  # by who was killed
        if not _lives(left.suffixes[-2][1:]):
            shutil.rmtree(left, ignore_errors=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        _write(dataset, part, mode="w", compute=False, consolidated=True)
        # Its entries come in whatever order the folder is listed.
        entries = part / ".zmetadata"
        entries.write_text(json.dumps(json.loads(entries.read_text()), indent=4, sort_keys=True))
        (part / _BEGUN).touch()
        part.rename(target)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError) and _identity_of(target) == identity:
            return True  # somebody else has begun the same at the same time
        raise
    return True


def _lives(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, OSError):
        return False
    return True


def _write(dataset: xr.Dataset, target: Path, **how: Any) -> None:
    """Call zarr, which is an extra."""
    try:
        dataset.to_zarr(target, zarr_format=2, **how)
    except ImportError as error:
        text = "write_zarr needs zarr: pip install 'daskred[zarr]'"
        raise RequestError(text) from error


def _identity_of(target: Path) -> str | None:
    """Return what a store was made from; None of what is no store of ours."""
    try:
        known = json.loads((target / ".zattrs").read_text())
    except (OSError, ValueError):
        return None
    found: str | None = known.get(_MADE_FROM) if isinstance(known, dict) else None
    return found


def _finish(target: Path, dataset: xr.Dataset) -> None:
    """Write the blocks that are missing, some at once, and remember those that are there."""
    import dask

    note = target / _BEGUN
    # A line that a crash has cut has no end.
    done = {int(line) for line in note.read_text().splitlines(keepends=True) if line[-1] == "\n"}
    dataset = dataset.drop_vars([n for n, v in dataset.variables.items() if v.chunks is None])
    with note.open("w") as file, dask.config.set(scheduler=scheduler()):
        _remember(sorted(done), file)
        for blocks in _missing(dataset.chunks["frame"], done):
            region = slice(blocks[0].start, blocks[-1].stop)
            _write(dataset.isel(frame=region), target, region={"frame": region})
            _remember([block.start for block in blocks], file)
    for left in target.rglob("*.partial"):  # what zarr had begun when somebody was killed
        left.unlink(missing_ok=True)
    note.unlink()


def _remember(starts: Sequence[int], file: TextIO) -> None:
    file.write("".join(f"{start}\n" for start in starts))
    file.flush()


def _missing(lengths: Sequence[int], done: Container[int]) -> Iterator[list[slice]]:
    """Yield blocks that are missing and follow each other, some at a time."""
    most = _BLOCKS_AT_ONCE * n_processors()
    waiting: list[slice] = []
    for start, length in zip(accumulate(lengths, initial=0), lengths, strict=False):
        if waiting and (start in done or len(waiting) == most):
            yield waiting
            waiting = []
        if start not in done:
            waiting.append(slice(start, start + length))
    if waiting:
        yield waiting
