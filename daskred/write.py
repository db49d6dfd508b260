"""From a notebook to files and back: write calibrated arrays, open masters."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daskred.cameras import Camera, read_camera
from daskred.correction import data_images, read_images
from daskred.errors import FrameError, RequestError
from daskred.frames import Frame
from daskred.night import describe
from daskred.plan import Correction
from daskred.planning import product_name
from daskred.provenance import check_own, key_of
from daskred.stack import map_frames
from daskred.tasks import Receipt, WriteJob, write_block

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


def write_frames(
    calibrated: xr.DataArray | Mapping[str, xr.DataArray],
    out: str | Path,
    *,
    camera: Camera | None = None,
) -> list[Receipt]:
    """Compute and write calibrated frames, each with its own header, atomically and concurrently.

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
    if isinstance(calibrated, Mapping):
        arrays, names = list(calibrated.values()), list(calibrated)
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
    jobs = [_job(path, paths, Path(out).absolute(), correction, camera) for path in paths]
    if len({job.product for job in jobs}) < len(jobs):
        raise RequestError("two frames would become one product; write them to different folders")
    layouts = {tuple(name for name, _ in job.frame.layout) for job in jobs}
    order = list(layouts.pop())
    if layouts or (sorted(order) != sorted(names) if names else len(order) != 1):
        given = ", ".join(map(repr, names or ["one array"]))
        raise RequestError(f"frames have the images {', '.join(map(repr, order))}, not {given}")
    if names:
        stacks = [stacks[names.index(name)] for name in order]
    own = np.empty(len(jobs), object)
    own[:] = jobs
    return list(map_frames(_written, stacks, [own], dtype=object).compute())


def _written(*blocks: Any) -> NDArray[Any]:
    """Write a block of frames; the jobs come last."""
    receipts = np.empty(len(blocks[-1]), object)
    receipts[:] = write_block(*blocks[:-1], jobs=blocks[-1])
    return receipts


def _job(
    path: str, paths: list[str], out: Path, correction: Correction, camera: Camera
) -> WriteJob:
    root = os.path.commonpath([str(Path(one).parent) for one in paths])
    name = os.path.relpath(path, root).replace(os.sep, "/")
    product = product_name(name)
    description = describe(path, name, camera)
    frame: Frame | None = description.frame
    if frame is None:
        raise RequestError(f"{path}: is no frame any more")
    key = key_of("array", frame.digest, correction.dark, correction.flat)
    try:
        check_own(out / product, paths)
    except FrameError as error:
        raise RequestError(str(error)) from error
    (out / product).parent.mkdir(parents=True, exist_ok=True)
    return WriteJob(frame, out / product, product, correction, key)
