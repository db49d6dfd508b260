"""From a notebook to files and back: masters are opened, calibrated arrays written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.calibrated import Calibrated
from daskred.arrays.frames import WriteJob, write_jobs
from daskred.arrays.masterfiles import MasterArrays, data_images, read_images
from daskred.arrays.sources import ArraySource
from daskred.arrays.view import (
    lazy,
    task_of,
    token_of,
)
from daskred.arrays.view_nodes import Labelled
from daskred.arrays.view_science import CALIBRATED
from daskred.cameras.read import read_camera
from daskred.cameras.rules import Camera
from daskred.engine.task import Key
from daskred.model.errors import FrameError, FramesError, RequestError
from daskred.model.frame import Frame
from daskred.model.plan import Correction
from daskred.model.receipt import Receipt
from daskred.night.describe import describe
from daskred.night.plan import product_name
from daskred.options import Options
from daskred.products.names import packed_name
from daskred.products.provenance import check_own, key_of
from daskred.steps.step import Recipe

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr


def open_master(path: str | Path, *, image: int | str = 0) -> xr.DataArray:
    """Open a master that a run has written.

    Parameters
    ----------
    path
        Its file.
    image
        Which image of a mosaic, by number or by name.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(y, x)``, read into memory; its name is that of the file.

    Raises
    ------
    FrameError
        When the file cannot be read.
    """
    import xarray as xr

    names = [one.name for one in data_images(str(path))]
    number = names.index(image) if isinstance(image, str) else image
    pixels = read_images(str(path))[number]
    return xr.DataArray(pixels, dims=("y", "x"), name=Path(path).stem)


def write_frames(
    calibrated: Labelled | Mapping[str, xr.DataArray],
    out: str | Path,
    *,
    camera: Camera | None = None,
) -> list[Receipt]:
    """Compute and write calibrated frames, each with its own header, atomically and concurrently.

    Frames that nobody has worked on since they were calibrated are written band by band as a run
    writes them, with mask and uncertainty where they have them.

    Parameters
    ----------
    calibrated
        Frames ``(frame, y, x)``, or for a mosaic one such array for each image, by its name. The
        coordinate ``file`` tells where each frame came from.
    out
        The folder of products. A frame's product is named after it, with a ``c`` before the
        extension, in the folder that it has below the folder that all share.
    camera
        The rules under which the frames were opened; the default ones where None.

    Returns
    -------
    list of Receipt
        One for each frame.

    Raises
    ------
    RequestError
        When an array cannot be written, or a product would stand over another file.
    FramesError
        Naming frames that cannot be used; the others are written.
    OSError
        When the disk is full or the folder cannot be written.

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name, shape=(16, 16), n_darks=3, n_flats=3, n_science=2)
    >>> science = daskred.open_frames(daskred.open_night(folder.name).select("science"))
    >>> [receipt.product for receipt in write_frames(science - 1000.0, folder.name + "/out")]
    ['ktwo220274129-0001c.fits', 'ktwo220274129-0002c.fits']
    >>> folder.cleanup()
    """
    import dask
    import xarray as xr

    if isinstance(calibrated, xr.Dataset):
        arrays, names = [calibrated["pixels"]], None
    elif isinstance(calibrated, Mapping):
        arrays, names = list(calibrated.values()), list(map(str, calibrated))
    else:
        arrays, names = [calibrated], None
    if not arrays or arrays[0].sizes.get("frame") == 0:
        raise RequestError("no frames to write")
    stacks = [_by_frame(array) for array in arrays]
    stacks = [stack.rechunk({0: stacks[0].chunks[0]}) for stack in stacks]
    first = arrays[0]
    paths = [str(path) for path in first["file"].values]
    if any([str(path) for path in array["file"].values] != paths for array in arrays):
        raise RequestError("the arrays of a mosaic must hold the same frames in the same order")
    correction = Correction(dark=first.attrs.get("dark"), flat=first.attrs.get("flat"))
    camera = camera or read_camera()
    keys, options = _calibrated_keys(stacks)
    jobs = _jobs(paths, Path(out).absolute(), correction, camera, options)
    order = _order_of(jobs, names)
    if names:
        stacks = [stacks[names.index(name)] for name in order]
    layer: dict[Any, Any] = {}
    start = 0
    for place, n_frames in enumerate(stacks[0].chunks[0]):
        own = tuple(jobs[start : start + n_frames])
        if keys:
            layer[("written", place)] = (partial(write_jobs, own), keys[place])
        else:
            blocks = [(stack.name, place, 0, 0) for stack in stacks]
            layer[("written", place)] = (partial(_write_arrays, own), *blocks)
        start += n_frames
    name = f"written-{token_of(str(out), paths, [stack.name for stack in stacks])}"
    layer = {(name, place): task for (_, place), task in layer.items()}
    written = lazy(name, layer, (stacks[0].chunks[0],), object, stacks)
    found = [one for block in dask.compute(*written.to_delayed().tolist()) for one in block]
    if errors := tuple(result for result in found if isinstance(result, FrameError)):
        raise FramesError(errors)
    return found


def _calibrated_keys(stacks: Sequence[da.Array]) -> tuple[list[Key], Options]:
    """Return the keys of calibrated frames, where an array is what `calibrate` has returned."""
    parts = stacks[0].name.split("-")
    if len(stacks) > 1 or parts[0] != CALIBRATED or len(parts) != 4:
        return [], Options()
    graph = stacks[0].dask
    keys: list[Key] = [(CALIBRATED, parts[1], n) for n in range(stacks[0].numblocks[0])]
    if not all(key in graph for key in keys):
        return [], Options()
    options: Options = task_of(graph, keys[0])[0].args[1]
    return keys, options


def _by_frame(array: xr.DataArray) -> da.Array:
    """Return an array's pixels as a lazy stack cut by frames, of a type that products have."""
    import dask.array as da

    if array.dims != ("frame", "y", "x") or "file" not in array.coords:
        raise RequestError("only arrays (frame, y, x) with the coordinate 'file' can be written")
    data = (
        array.data if array.chunks is not None else da.from_array(array.values, chunks=(1, -1, -1))
    )
    data = data.rechunk({1: -1, 2: -1})
    return data if data.dtype in (np.float32, np.float64) else data.astype("f4")


def _write_arrays(jobs: Sequence[WriteJob], *blocks: NDArray[Any]) -> list[Any]:
    """Write frames whose pixels are in memory: for each image a block ``(frame, y, x)``."""
    calibrated = []
    for place, job in enumerate(jobs):
        source = ArraySource({n: block[place] for n, block in enumerate(blocks)})
        options = Options(dtype=blocks[0].dtype.name)
        recipe = Recipe(job.recipe.readout, Correction(), options)
        calibrated.append(Calibrated(source, MasterArrays(), recipe))
    return write_jobs(jobs, calibrated)


def _order_of(jobs: Sequence[WriteJob], names: Sequence[str] | None) -> list[str]:
    """Return the order of the images in the files; see that the arrays are those."""
    layouts = {tuple(name for name, _ in job.frame.layout) for job in jobs}
    order = list(layouts.pop())
    if layouts or (sorted(order) != sorted(names) if names else len(order) != 1):
        given = ", ".join(map(repr, names or ["one array"]))
        raise RequestError(f"frames have the images {', '.join(map(repr, order))}, not {given}")
    return order


def _jobs(
    paths: list[str], out: Path, correction: Correction, camera: Camera, options: Options
) -> list[WriteJob]:
    """Return what is to be written where."""
    jobs = []
    root = os.path.commonpath([str(Path(one).parent) for one in paths])
    for path in paths:
        name = os.path.relpath(path, root).replace(os.sep, "/")
        product = packed_name(product_name(name), options.compress)
        frame: Frame | None = describe(path, name, camera).frame
        if frame is None:
            raise RequestError(f"{path}: is no frame any more")
        key = key_of("array", frame.digest, correction.dark, correction.flat, options.given)
        try:
            check_own(out / product, paths)
        except FrameError as error:
            raise RequestError(str(error)) from error
        (out / product).parent.mkdir(parents=True, exist_ok=True)
        recipe = Recipe(frame.readout, correction, options)
        jobs.append(WriteJob(frame, out / product, product, recipe, key))
    if len({job.product for job in jobs}) < len(jobs):
        raise RequestError("two frames would become one product; write them to different folders")
    return jobs
