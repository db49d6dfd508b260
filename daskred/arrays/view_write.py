"""From a notebook to files and back: masters are opened, calibrated arrays written.

The two ways to a file, from frames and from arrays, stand together: the file is a little longer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.masterfiles import data_images, read_images
from daskred.arrays.sources import check_unchanged
from daskred.arrays.view import (
    lazy,
    opened_by,
    places_of,
    task_of,
    token_of,
)
from daskred.arrays.view_guard import attributes_of_file
from daskred.arrays.view_nodes import Labelled
from daskred.arrays.view_science import CALIBRATED
from daskred.arrays.written import WriteJob, place_frames, write_jobs
from daskred.cameras.read import read_camera
from daskred.cameras.rules import Camera
from daskred.engine.task import Key
from daskred.fits.hdus import read_first_header
from daskred.fits.write import Bands, as_bands
from daskred.model.errors import FrameError, FramesError, RequestError
from daskred.model.frame import Frame, number_in
from daskred.model.paths import absolute
from daskred.model.plan import Correction
from daskred.model.receipt import Receipt
from daskred.night.describe import Rules, describe
from daskred.night.plan import product_name
from daskred.options import Options
from daskred.products.coordinates import WHOLE, Grid, grid_of
from daskred.products.extensions import Extension, ExtensionName
from daskred.products.names import folder_of_products, packed_name
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

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name + "/night", shape=(16, 16), n_darks=3, n_flats=2)
    >>> _ = daskred.reduce_night(folder.name + "/night", folder.name + "/out")
    >>> dark = open_master(folder.name + "/out/masters/MasterDark_10s.fits")
    >>> dark.name, dark.attrs["exptime_s"]
    ('MasterDark_10s', 10.0)
    >>> folder.cleanup()
    """
    import xarray as xr

    path = absolute(path)
    names = [image.name for image in data_images(str(path))]
    number = number_in(names, image)
    if number is None:
        known = ", ".join(map(repr, names))
        raise RequestError(f"{path}: has no image {image!r}; there are {known}")
    pixels = read_images(str(path))[number]
    if "CCDPROC" in read_first_header(str(path)):
        raise RequestError(f"{path}: is a calibrated frame, and no master")
    about = attributes_of_file(str(path))
    coords = places_of((pixels.shape[0], pixels.shape[1]))
    return xr.DataArray(pixels, dims=("y", "x"), coords=coords, name=Path(path).stem, attrs=about)


def write_frames(
    calibrated: Labelled | Mapping[str, Labelled],
    out: str | Path,
    *,
    camera: Camera | None = None,
    options: Options | None = None,
) -> list[Receipt]:
    """Compute and write calibrated frames, each with its own header, atomically and concurrently.

    Frames that nobody has worked on since they were calibrated are written band by band as a run
    writes them.

    Parameters
    ----------
    calibrated
        Frames ``(frame, y, x)``: an array, or a dataset whose ``mask`` and ``uncertainty`` are
        written too; for a mosaic one for each image, by its name. The coordinate ``file`` tells
        where each frame came from, ``y`` and ``x`` which pixels of it are there: what was cut out,
        binned or turned gets headers whose coordinates are true of it.
    out
        The folder of products. A frame's product is named after it, with a ``c`` before the
        extension, in the folder that it has below the folder that all share.
    camera
        The rules under which the frames were opened; the default ones where None. Frames that
        nobody has worked on know theirs.
    options
        How products are packed, whose name they bear, and whether they are made safe from power
        cuts; as `calibrate` was told where None and nobody has worked on the frames.

    Returns
    -------
    list of Receipt
        One for each frame.

    Raises
    ------
    RequestError
        When an array cannot be written, or a product would stand over another file; nothing is
        written then.
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

    is_mosaic = isinstance(calibrated, Mapping) and not isinstance(calibrated, xr.Dataset)
    names = list(map(str, calibrated)) if is_mosaic else None
    images = [planes_of(array) for array in (calibrated.values() if is_mosaic else [calibrated])]
    if not images or images[0]["pixels"].sizes.get("frame") == 0:
        raise RequestError("no frames to write")
    first = images[0]["pixels"]
    stacks = [{name: _by_frame(plane) for name, plane in image.items()} for image in images]
    paths = [str(path) for path in first["file"].values]
    for plane in (plane for image in images for plane in image.values()):
        if [str(path) for path in plane["file"].values] != paths:
            raise RequestError("the arrays of a mosaic must hold the same frames in the same order")
    untouched = _untouched(stacks)
    asked = options or (untouched.options if untouched else Options())
    recipe_options = (untouched.options if untouched else Options()).but(
        compress=asked.compress, processed_by=asked.processed_by, sync=asked.sync
    )
    frames = untouched.frames if untouched else []
    if [frame.path for frame in frames] != paths:
        frames = _described(paths, camera or read_camera())
    correction = Correction(
        dark=first.attrs.get("dark"),
        flat=first.attrs.get("flat"),
        illumination=first.attrs.get("illumination"),
        fringe=first.attrs.get("fringe"),
    )
    jobs = _jobs(frames, folder_of_products(out), correction, recipe_options)
    order = _order_of(jobs, names)
    if names:
        images = [images[names.index(name)] for name in order]
        stacks = [stacks[names.index(name)] for name in order]
    grids = [
        _grids_of(image["pixels"], *layout)
        for image, layout in zip(images, frames[0].layout, strict=True)
    ]
    layer: dict[Any, Any] = {}
    lengths = stacks[0]["pixels"].chunks[0]
    name = f"written-{token_of(str(out), paths, [str(stack) for stack in stacks])}"
    needs = [plane.rechunk({0: lengths}) for image in stacks for plane in image.values()]
    places = [(number, plane) for number, image in enumerate(stacks) for plane in image]
    start = 0
    for place, n_frames in enumerate(lengths):
        batch = tuple(jobs[start : start + n_frames])
        if untouched:
            layer[(name, place)] = (partial(_write_whole, batch), untouched.keys[place])
        else:
            blocks = [(stack.name, place, 0, 0) for stack in needs]
            layer[(name, place)] = (partial(_write_arrays, batch, places, grids), *blocks)
        start += n_frames
    written = lazy(name, layer, (lengths,), object, needs)
    receipts = dask.compute(*written.to_delayed().tolist(), scheduler=scheduler())
    found = [receipt for block in receipts for receipt in block]
    if errors := tuple(result for result in found if isinstance(result, FrameError)):
        raise FramesError(errors)
    return found


def scheduler() -> Any:
    """Return dask's scheduler of threads; None where dask knows of another.

    It would find the same, but import its cluster only to ask whether there is one.
    """
    from dask import config, threaded

    known = "distributed" in sys.modules or config.get("scheduler", None)
    return None if known else threaded.get


def planes_of(
    labelled: Labelled, others: Iterable[str] = ("mask", "uncertainty")
) -> dict[str, xr.DataArray]:
    """Return the pixels of frames, or of a master, and what of other planes stands beside them."""
    import xarray as xr

    if isinstance(labelled, xr.DataArray):
        return {"pixels": labelled}
    if not isinstance(labelled, xr.Dataset):
        raise RequestError("only arrays (frame, y, x), and datasets of such, can be written")
    beside = {name: labelled[name] for name in others if name in labelled}
    variables = [name for name in labelled if name not in beside]
    if "pixels" not in labelled and len(variables) != 1:
        raise RequestError(
            f"a dataset has no variable 'pixels', but {', '.join(map(str, variables))}"
        )
    return {"pixels": labelled["pixels" if "pixels" in labelled else variables[0]], **beside}


class _Untouched(NamedTuple):
    """Frames as `calibrate` has returned them: their keys, and how they are calibrated."""

    keys: list[Key]
    options: Options
    frames: list[Frame]


def _untouched(stacks: Sequence[Mapping[str, da.Array]]) -> _Untouched | None:
    """Return the keys of calibrated frames, where all arrays are what `calibrate` has returned."""
    pixels = stacks[0]["pixels"]
    parts = pixels.name.split("-")
    if len(stacks) > 1 or parts[0] != CALIBRATED or len(parts) != 4:
        return None
    stem = pixels.name.rpartition("-")[0]
    keys: list[Key] = [(CALIBRATED, parts[1], n) for n in range(pixels.numblocks[0])]
    same = all(plane.name == f"{stem}-{name}" for name, plane in stacks[0].items())
    if not same or not all(key in pixels.dask for key in keys):
        return None
    tasks = [task_of(pixels.dask, key) for key in keys]
    options: Options = tasks[0][0].args[1]
    if set(stacks[0]) != {"pixels"} | {n for n in ("mask", "uncertainty") if getattr(options, n)}:
        return None
    return _Untouched(keys, options, [frame for task in tasks for frame in opened_by(task[1])])


def _by_frame(array: xr.DataArray) -> da.Array:
    """Return an array's pixels as a lazy stack cut by frames, of a type that products have."""
    import dask.array as da

    if array.dims != ("frame", "y", "x") or "file" not in array.coords:
        raise RequestError("only arrays (frame, y, x) with the coordinate 'file' can be written")
    data = (
        array.data if array.chunks is not None else da.from_array(array.values, chunks=(1, -1, -1))
    )
    data = data.rechunk({1: -1, 2: -1})
    return data if data.dtype in (np.float32, np.float64, np.uint8) else data.astype("f4")


def _grids_of(array: xr.DataArray, name: str, shape: tuple[int, int]) -> tuple[Grid, Grid]:
    """Return which columns and rows of an image an array has.

    Raises
    ------
    RequestError
        Where its coordinates do not tell, so that those in headers would be wrong.
    """
    grids = []
    for axis, length in zip("xy", shape[::-1], strict=True):
        grid = grid_of(array.coords[axis].values) if axis in array.coords else WHOLE
        n_places = array.sizes[axis]
        if axis not in array.coords and n_places != length:
            raise RequestError(
                f"the array has {n_places} pixels along {axis}, image {name!r} of its frames"
                f" {length}, and no coordinate {axis!r} tells which: those in headers would be"
                " wrong; keep the coordinates, or write whole frames"
            )
        if grid and n_places == 1 and length > 1 and not grid.first.is_integer():
            grid = None  # it was binned, and nobody knows over how many
        ends = (grid.first, grid.first + (n_places - 1) * grid.step) if grid else (-1.0, -1.0)
        if grid is None or min(ends) < 0 or max(ends) > length - 1:
            raise RequestError(
                f"the array has no regular part of its frames along {axis}: coordinates in headers"
                f" would be wrong; drop_vars({axis!r}) if you put them right yourself"
            )
        grids.append(grid)
    return grids[0], grids[1]


@dataclass(frozen=True)
class _Computed:
    """A frame whose pixels are in memory: for each image, and each plane beside it, an array."""

    arrays: Mapping[tuple[int, str], NDArray[Any]]
    grids: Sequence[tuple[Grid, Grid]]
    counts: Mapping[str, float] = field(default_factory=dict)
    shared_errors: Mapping[str, float] = field(default_factory=dict)
    has_figures: bool = False
    figures: Mapping[str, float] = field(default_factory=dict)
    light: bytes = b""
    content: str = ""
    knows_content: bool = False

    def images(self) -> tuple[list[Bands], list[Extension]]:
        """Return the images, and what stands beside them."""
        images: list[Bands] = []
        beside: list[Extension] = []
        for (number, plane), pixels in self.arrays.items():
            if plane == "pixels":
                images.append(as_bands(pixels))
            else:
                kind: ExtensionName = "MASK" if plane == "mask" else "UNCERT"
                pixels = pixels.astype("u1" if plane == "mask" else "f4", copy=False)
                beside.append(Extension(kind, number, as_bands(pixels, is_data=False)))
        return images, beside


def _write_whole(jobs: Sequence[WriteJob], calibrated: Any) -> list[Any]:
    """Write frames, and give them their names."""
    return place_frames(write_jobs(jobs, calibrated), sync=jobs[0].recipe.options.sync)


def _write_arrays(
    jobs: Sequence[WriteJob],
    places: Sequence[tuple[int, str]],
    grids: Sequence[tuple[Grid, Grid]],
    *blocks: NDArray[Any],
) -> list[Any]:
    """Write frames whose pixels are in memory: for each image, or plane beside it, a block."""
    found: list[Any] = []
    for number, job in enumerate(jobs):
        try:
            check_unchanged(job.frame)
        except FrameError as error:
            found.append(error)
            continue
        arrays = {place: block[number] for place, block in zip(places, blocks, strict=True)}
        found += _write_whole([job], [_Computed(arrays, grids)])
    return found


def _order_of(jobs: Sequence[WriteJob], names: Sequence[str] | None) -> list[str]:
    """Return the order of the images in the files; see that the arrays are those."""
    layouts = {job.frame.image_names for job in jobs}
    order = list(layouts.pop())
    if layouts or (sorted(order) != sorted(names) if names else len(order) != 1):
        given = ", ".join(map(repr, names or ["one array"]))
        raise RequestError(f"frames have the images {', '.join(map(repr, order))}, not {given}")
    return order


def _described(paths: Sequence[str], camera: Camera) -> list[Frame]:
    """Read the headers of frames again."""
    frames = []
    for path in paths:
        found = describe(path, Path(path).name, Rules(camera))
        if found.frame is None:
            reason = found.left_out.reason if found.left_out else "is no frame"
            raise RequestError(f"{path}: {reason}")
        frames.append(found.frame)
    return frames


def _jobs(
    frames: Sequence[Frame], out: Path, correction: Correction, options: Options
) -> list[WriteJob]:
    """Return what is to be written where."""
    jobs = []
    paths = [frame.path for frame in frames]
    root = os.path.commonpath([str(Path(path).parent) for path in paths])
    for frame in frames:
        name = os.path.relpath(frame.path, root).replace(os.sep, "/")
        product = packed_name(product_name(name), options.compress)
        key = key_of("array", frame.digest, correction.dark, correction.flat, options.given)
        try:
            check_own(out / product, paths)
        except FrameError as error:
            raise RequestError(str(error)) from error
        (out / product).parent.mkdir(parents=True, exist_ok=True)
        recipe = Recipe(frame.readout, correction, options)
        renamed = replace(frame, name=name)
        jobs.append(WriteJob(renamed, out / product, product, recipe, key))
    if len({job.product for job in jobs}) < len(jobs):
        raise RequestError("two frames would become one product; write them to different folders")
    return jobs
