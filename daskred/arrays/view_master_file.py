"""Masters of a notebook as files, of the same form as those of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from daskred.arrays.sources import check_unchanged
from daskred.arrays.view import task_of
from daskred.arrays.view_graph import MADE_OF, MadeOf
from daskred.arrays.view_guard import MASTER
from daskred.arrays.view_nodes import Labelled
from daskred.arrays.view_write import planes_of
from daskred.fits.hdus import read_first_header
from daskred.fits.write import as_bands
from daskred.model.errors import FrameError, RequestError
from daskred.model.plan import Correction, Input, Master
from daskred.night.groups import common_facts
from daskred.products import write
from daskred.products.extensions import Extension, ExtensionName
from daskred.products.names import folder_of_products, master_path
from daskred.products.provenance import KEY_CARD, Origin, check_own, content_of_pixels, key_of

if TYPE_CHECKING:
    import xarray as xr

_EXTENSIONS: Mapping[str, ExtensionName] = {
    "mask": "MASK",
    "uncertainty": "UNCERT",
    "n_used": "NUSED",
    "n_rejected": "REJECTED",
}


def write_master(master: Labelled | Mapping[str, Labelled], out: str | Path) -> Path:
    """Compute and write a master, with the header that its frames share, as a run writes it.

    It becomes ``OUT/masters/NAME.fits``, where NAME is that of the array, as ``MasterDark_10s``:
    frames that it calibrates name it in their headers. `open_master` opens it again.

    Parameters
    ----------
    master
        As `master_bias`, `master_dark`, `master_flat` or `master_sky` have returned it, of frames:
        an array, or a dataset with what stands beside its pixels; of a mosaic one for each image,
        by its name.
    out
        The folder of products.

    Returns
    -------
    pathlib.Path
        The file; where the very same master stood there already, nothing is written.

    Raises
    ------
    RequestError
        When the master was worked on, cut out or computed since, so that a header would be untrue,
        or another file has its name; nothing is written then.
    FrameError
        When one of its frames can no longer be read, or has changed.
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
    images = [planes_of(image, _EXTENSIONS) for image in _images_of(master)]
    made = _made_of_all(images)
    frames, options = made.frames, made.options
    key = key_of("notebook", [frame.digest for frame in frames], made.dark, options.given)
    inputs = tuple(Input(frame, Correction(dark=made.dark)) for frame in frames)
    name = str(images[0]["pixels"].attrs[MASTER])
    plan = Master(name, made.kind, inputs, common_facts(frames))
    target = master_path(folder_of_products(out), name)
    if _stands_there(target, key, [frame.path for frame in frames]):
        return target
    computed = [{name: np.asarray(p.values) for name, p in image.items()} for image in images]
    for frame in frames:
        check_unchanged(frame)
    pixels = [known["pixels"] for known in computed]
    beside = [
        Extension(kind, number, as_bands(known[plane], is_data=False))
        for number, known in enumerate(computed)
        for plane, kind in _EXTENSIONS.items()
        if plane in known
    ]
    template = write.shared_headers(frames)
    bands = [as_bands(image) for image in pixels]
    origin = Origin(key, content_of_pixels(pixels), {})
    target.parent.mkdir(exist_ok=True)
    write.write_master(target, plan, options, template, bands, beside, origin)
    return target


def _images_of(master: Labelled | Mapping[str, Labelled]) -> list[Labelled]:
    import xarray as xr

    if isinstance(master, Mapping) and not isinstance(master, xr.Dataset):
        return list(master.values())
    return [master]


def _made_of_all(images: list[dict[str, xr.DataArray]]) -> MadeOf:
    """Return what the images of a master are made of; see that they are all, and of one master.

    They are put into the order of the file.
    """
    found = [_made_of(image) for image in images]
    if not found or any(made is None for made in found):
        raise RequestError(
            "the master is not as master_dark and its kin have returned it, of frames: what was"
            " worked on, cut out or computed has no header that is true of it"
        )
    known = [made for made in found if made]
    names = known[0].frames[0].image_names
    if sorted(made.number for made in known) != list(range(len(names))):
        text = ", ".join(map(repr, names))
        raise RequestError(f"these frames have the images {text}: give a master of each, as a dict")
    if len({replace(made, number=0) for made in known}) > 1:
        raise RequestError("the images are of unlike masters: other frames, options or darks")
    order = sorted(range(len(known)), key=lambda place: known[place].number)
    images[:] = [images[place] for place in order]
    return known[0]


def _made_of(planes: Mapping[str, xr.DataArray]) -> MadeOf | None:
    """Return what the planes of an image are made of; None where they have been changed since."""
    tokens = set()
    for name, plane in planes.items():
        parts = str(getattr(plane.data, "name", "")).split("-", 2)
        if len(parts) != 3 or parts[:2] != ["master", name]:
            return None
        tokens.add(parts[2])
    graph = planes["pixels"].data.dask
    key = (MADE_OF, tokens.pop())
    if tokens or key not in graph:
        return None
    made: MadeOf = task_of(graph, key)[0]
    return made


def _stands_there(target: Path, key: str, raw: list[str]) -> bool:
    """Return whether the very same master is there already.

    Raises
    ------
    RequestError
        When another file is.
    """
    try:
        check_own(target, raw)
        if not target.exists() or not target.stat().st_size:
            return False
        if read_first_header(str(target)).get(KEY_CARD) == key:
            return True
    except FrameError as error:
        raise RequestError(str(error)) from error
    text = "stands there already, made of other frames or in another way"
    raise RequestError(f"{target}: {text}; write to another folder, or move it away")
