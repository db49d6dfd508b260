"""Masters of a notebook as files, of the same form as those of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from daskred.arrays.view_guard import MASTER
from daskred.arrays.view_nodes import Labelled
from daskred.arrays.view_write import described, planes_of
from daskred.cameras.read import read_camera
from daskred.cameras.rules import Camera
from daskred.fits.write import as_bands
from daskred.model.errors import FrameError, RequestError
from daskred.model.plan import Correction, Input, Master, MasterKind
from daskred.night.groups import common_facts
from daskred.options import Options
from daskred.products.extensions import Extension, ExtensionName
from daskred.products.names import folder_of_products, master_path
from daskred.products.provenance import Origin, check_own, content_of_pixels, key_of
from daskred.products.write import shared_headers
from daskred.products.write import write_master as write_master_file

if TYPE_CHECKING:
    import xarray as xr

_EXTENSIONS: Mapping[str, ExtensionName] = {
    "mask": "MASK",
    "uncertainty": "UNCERT",
    "n_used": "NUSED",
    "n_rejected": "REJECTED",
}


def write_master(
    master: Labelled | Mapping[str, Labelled],
    out: str | Path,
    *,
    camera: Camera | None = None,
    options: Options | None = None,
) -> Path:
    """Compute and write a master, with the header that its frames share, as a run writes it.

    It becomes ``OUT/masters/NAME.fits``, where NAME is that of the array, as ``MasterDark_10s``:
    frames that it calibrates name it in their headers. `open_master` opens it again.

    Parameters
    ----------
    master
        As `master_bias`, `master_dark`, `master_flat` or `master_sky` return it: an array, or a
        dataset with what stands beside its pixels; of a mosaic one for each image, by its name.
    out
        The folder of products.
    camera
        The rules under which its frames were opened; the default ones where None.
    options
        How its frames were combined, for its header.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    RequestError
        When nobody knows what the master was made from, or a file that daskred did not make has
        its name; nothing is written then.
    FrameError
        When one of its frames can no longer be read.
    OSError
        When the disk is full or the folder cannot be written.

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name, shape=(16, 16), n_darks=3, n_flats=2, n_science=1)
    >>> darks = daskred.open_night(folder.name).select("dark", exptime_s=10)
    >>> path = write_master(daskred.master_dark(darks), folder.name + "/out")
    >>> path.name, daskred.open_master(path).name
    ('MasterDark_10s.fits', 'MasterDark_10s')
    >>> folder.cleanup()
    """
    import xarray as xr

    is_mosaic = isinstance(master, Mapping) and not isinstance(master, xr.Dataset)
    images = {str(name): m for name, m in master.items()} if is_mosaic else {"": master}
    planes = {name: _planes_of(image) for name, image in images.items()}
    first = next(iter(planes.values()))["pixels"]
    kind = _kind_of(first)
    frames = described(str(first.attrs["inputs"]).split("\n"), camera or read_camera())
    names = [name for name, _ in frames[0].layout]
    if sorted(names) != sorted(planes) if is_mosaic else len(names) != 1:
        raise RequestError(f"a master of these frames has the images {', '.join(names)}: give all")
    ordered = [planes[name] for name in names] if is_mosaic else list(planes.values())
    options = options or Options(combine=first.attrs.get("combine", "median"))
    correction = Correction(dark=first.attrs.get("dark"))
    inputs = tuple(Input(frame, correction) for frame in frames)
    plan = Master(str(first.attrs[MASTER]), kind, inputs, common_facts(frames))
    target = master_path(folder_of_products(out), plan.name)
    try:
        check_own(target, [frame.path for frame in frames])
    except FrameError as error:
        raise RequestError(str(error)) from error
    computed = [{name: np.asarray(plane.values) for name, plane in p.items()} for p in ordered]
    pixels = [known["pixels"] for known in computed]
    beside = [
        Extension(kind_of_plane, number, as_bands(known[name], is_data=False))
        for number, known in enumerate(computed)
        for name, kind_of_plane in _EXTENSIONS.items()
        if name in known
    ]
    content = content_of_pixels(pixels)
    key = key_of("array", [frame.digest for frame in frames], content, options.given)
    target.parent.mkdir(exist_ok=True)
    template = shared_headers(frames)
    bands = [as_bands(image) for image in pixels]
    write_master_file(target, plan, options, template, bands, beside, Origin(key, content, {}))
    return target


def _planes_of(labelled: Labelled) -> dict[str, xr.DataArray]:
    """Return the pixels of a master, and what stands beside them."""
    is_set = hasattr(labelled, "data_vars")
    beside = {name: labelled[name] for name in _EXTENSIONS if is_set and name in labelled}
    return planes_of(labelled) | beside


def _kind_of(pixels: xr.DataArray) -> MasterKind:
    about: Mapping[Any, Any] = pixels.attrs
    for kind in get_args(MasterKind):
        if about.get("kind") == kind and about.get("inputs"):
            found: MasterKind = kind
            return found
    raise RequestError(
        "nobody knows what the master was made from: write what master_dark and its kin return"
    )
