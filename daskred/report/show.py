"""Frames, masters and arrays as pictures side by side, for notebooks and for the command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from daskred.model.errors import RequestError
from daskred.model.frame import Frame
from daskred.night.files import find_files
from daskred.report.pictures import MOST_PANELS, Limits, Panel, panels_of, picture, whole

if TYPE_CHECKING:
    from daskred.report.drawn import Drawn


def files_named(sources: Iterable[str | Path]) -> list[str]:
    """Return the files below folders, files and patterns, in the order in which they are named.

    Raises
    ------
    RequestError
        When there are none.
    """
    named = list(sources)
    found = [path for source in named for path, _ in find_files([source])]
    if not found:
        raise RequestError(f"no frames found below {', '.join(map(str, named))}")
    return list(dict.fromkeys(found))


def show(*shown: Any, limits: Limits = "percentile", columns: int = 0) -> Drawn:
    """Draw frames, masters or arrays side by side, 24 at most; a notebook shows the figure.

    Parameters
    ----------
    *shown
        Files, folders and patterns; frames, also of cubes; or arrays ``(y, x)`` or
        ``(frame, y, x)``, datasets of such, and dictionaries of images of mosaics.
    limits
        What is black and white: ``percentile``, the 5th and the 95th, or ``zscale``, as IRAF has
        it.
    columns
        How many stand in a row; 0 for a number that fits.

    Returns
    -------
    matplotlib.figure.Figure
        To be saved with ``figure.savefig("frames.png")``.

    Raises
    ------
    RequestError
        When there is nothing to show.
    FrameError
        When a file cannot be read.

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name, shape=(16, 16), n_darks=3, n_flats=2, n_science=1)
    >>> night = daskred.open_night(folder.name)
    >>> dark = daskred.master_dark(night.select("dark", exptime_s=10))
    >>> figure = show(*night.select("science"), dark)
    >>> [axes.get_title() for axes in figure.axes if axes.get_title()]
    ['ktwo220274129-0001.fits', 'MasterDark_10s']
    >>> folder.cleanup()
    """
    if limits not in get_args(Limits) or columns < 0:
        raise RequestError(f"limits are {' or '.join(get_args(Limits))}; columns are none, or some")
    panels: list[Panel] = []
    for item in shown:
        panels += _panels(item, MOST_PANELS - len(panels))
    if not panels:
        raise RequestError("nothing to show: name files, frames or arrays")
    return picture(panels, limits, columns)


def _panels(item: Any, most: int) -> list[Panel]:
    if most <= 0:
        return []
    if isinstance(item, Frame):
        return panels_of([item.path], most)[0]
    if isinstance(item, str | Path):
        return panels_of(files_named([item]), most)[0]
    if hasattr(item, "data_vars"):  # a dataset of masters, or of calibrated frames
        return _panels(item["pixels" if "pixels" in item else next(iter(item))], most)
    if isinstance(item, Mapping):  # the images of a mosaic
        found = [panel for image in item.values() for panel in _panels(image, most)]
        return found[:most]
    dims = getattr(item, "ndim", 0)
    if dims not in (2, 3):
        raise RequestError(f"{type(item).__name__}: is no file, frame or array (y, x)")
    title = str(getattr(item, "name", None) or "")
    if dims == 2:
        return [whole(title, _values(item))]
    return [
        whole(f"{title} {number}", _values(item[number])) for number in range(min(most, len(item)))
    ]


def _values(array: Any) -> Any:
    values = getattr(array, "values", array)
    values = np.asarray(values.compute() if hasattr(values, "compute") else values)
    return values.astype("u1") if values.dtype == bool else values
