"""Nights as xarray opens them: ``xarray.open_dataset("NIGHT", engine="daskred")``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from xarray.backends import BackendEntrypoint

from daskred.arrays.view import open_images
from daskred.cameras.read import read_camera
from daskred.cameras.rules import Camera
from daskred.model.errors import RequestError
from daskred.model.frame import KINDS, Frame, Kind
from daskred.model.plan import shape_text
from daskred.night.open import Night, open_night

if TYPE_CHECKING:
    import xarray as xr


class NightEngine(BackendEntrypoint):
    """Opens the raw frames of a night as a lazy dataset; no pixel is read yet.

    ``open_dataset`` gives ``pixels (frame, y, x)`` (of a mosaic a variable for each image), with
    the coordinates ``kind``, ``exptime_s``, ``filter``, ``time`` and ``file`` of each frame, in the
    order of their names; ``open_datatree`` the same with a group for each kind.

    Examples
    --------
    >>> import tempfile, daskred, xarray as xr
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name, shape=(16, 16), n_darks=3, n_flats=2, n_science=4)
    >>> night = xr.open_dataset(folder.name, engine="daskred")
    >>> dict(night.sizes), str(night.pixels.dtype)
    ({'frame': 12, 'y': 16, 'x': 16}, 'uint16')
    >>> xr.open_dataset(folder.name, engine="daskred", kind="dark", exptime_s=10).sizes["frame"]
    3
    >>> folder.cleanup()
    """

    description = "Raw CCD frames of a night (FITS), by daskred"
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        *("filename_or_obj", "drop_variables", "kind", "exptime_s", "filter", "camera", "tiled"),
    )
    supports_groups = True

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        kind: Kind | None = None,
        exptime_s: float | None = None,
        filter: str | None = None,  # noqa: A002 - as the header calls it
        camera: str | Camera | None = None,
        tiled: bool = False,
    ) -> xr.Dataset:
        """Open the frames of a night; of one kind, exposure time or filter where given.

        Parameters
        ----------
        filename_or_obj
            A folder, file or pattern.
        drop_variables
            What is not opened.
        kind, exptime_s, filter
            Of the frames that are opened; all where None.
        camera
            The rules of a camera, its name, or its file; that which headers tell where None.
        tiled
            Cut into bands of rows through all frames, for what is computed over frames.

        Raises
        ------
        daskred.RequestError
            When there are no such frames, or not all are of one shape.
        """
        night = _opened(filename_or_obj, camera)
        kinds: Sequence[Kind] = [kind] if kind else KINDS
        chosen = [night.select(k, exptime_s=exptime_s, filter=filter) for k in kinds]
        frames = sorted((f for of_kind in chosen for f in of_kind), key=lambda f: f.name)
        if not frames:
            raise RequestError(f"{filename_or_obj}: has no such raw frames; daskred plan has all")
        return _dataset(frames, tiled, drop_variables)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        camera: str | Camera | None = None,
        tiled: bool = False,
    ) -> dict[str, xr.Dataset]:
        """Open the frames of a night, with a group for each kind; see `open_dataset`."""
        import xarray as xr

        night = _opened(filename_or_obj, camera)
        found = {kind: night.select(kind) for kind in KINDS}
        groups = {
            f"/{kind}": _dataset(frames, tiled, drop_variables)
            for kind, frames in found.items()
            if frames
        }
        return {"/": xr.Dataset(), **groups}

    def open_datatree(self, filename_or_obj: Any, **how: Any) -> xr.DataTree:
        """Open the frames of a night as a tree, with a group for each kind."""
        import xarray as xr

        return xr.DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, **how))

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Take nothing that is not meant for this engine: folders are opened by others too."""
        return False


def _opened(source: Any, camera: str | Camera | None) -> Night:
    if not isinstance(source, str | Path):
        raise RequestError(f"a night is a folder, a file or a pattern, and no {type(source)}")
    rules = camera if camera is None or isinstance(camera, Camera) else read_camera(camera)
    night = open_night(source, camera=rules)
    if failed := [entry for entry in night.left_out if entry.failed]:
        text = f"{failed[0].name}: {failed[0].reason}"
        warnings.warn(f"{len(failed)} frames cannot be used, as {text}", stacklevel=5)
    if not night.raw:
        raise RequestError(f"{source}: has no raw frames; daskred plan tells why")
    return night


def _dataset(
    frames: Sequence[Frame], tiled: bool, unwanted: str | Iterable[str] | None
) -> xr.Dataset:
    import xarray as xr

    shapes = {frame.layout: shape_text(frame.layout) for frame in frames}
    if len(shapes) > 1:
        raise RequestError(
            f"frames are of unlike shapes ({', '.join(sorted(shapes.values()))}):"
            " kind=, exptime_s= or filter= opens some of them"
        )
    images = open_images(frames, tiled=tiled)
    opened = xr.Dataset({name or "pixels": array for name, array in images.items()})
    for array in opened.values():  # for whoever asks for chunks={}
        array.encoding["preferred_chunks"] = dict(zip(array.dims, array.chunks or (), strict=False))
    names = [unwanted] if isinstance(unwanted, str) else unwanted or ()
    return opened.drop_vars(names, errors="ignore")
