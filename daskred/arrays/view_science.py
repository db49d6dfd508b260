"""Science frames in a notebook: calibrated lazily, written with their own headers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import getitem
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.calibrated import Calibrated, check_science_options
from daskred.arrays.masterfiles import MasterArrays
from daskred.arrays.view import (
    Layer,
    Opened,
    check_alike,
    image_of,
    lazy,
    number_of,
    open_frames,
    sources_of,
    token_of,
)
from daskred.arrays.view_guard import check_master, check_raw, title_of
from daskred.arrays.view_nodes import Labelled, MastersOf, check_noise, check_shapes, masters_node
from daskred.engine.task import Key
from daskred.fits.storage import state_of
from daskred.model.errors import RequestError
from daskred.model.frame import Frame
from daskred.model.plan import Correction
from daskred.model.readout import Readout
from daskred.options import BY_NAME, DETECTOR, Options
from daskred.steps.step import Recipe

if TYPE_CHECKING:
    import xarray as xr

CALIBRATED = "calibrated"
_OF_SKY = ("illumination", "fringe")


def _calibrate_block(
    correction: Correction, options: Options, opened: Sequence[Opened], masters: MasterArrays
) -> list[Calibrated]:
    """Return frames of a block, to be calibrated when their pixels are wanted."""
    calibrated = []
    for source, frame in opened:
        shapes = source.shapes
        readout = frame.readout if frame else Readout((), ("",) * len(shapes), shapes, None)
        recipe = Recipe(readout, correction, options)
        calibrated.append(Calibrated(source, masters, recipe, frame))
    return calibrated


def _as_arrays(number: int, calibrated: Sequence[Calibrated]) -> dict[str, NDArray[Any]]:
    """Return an image of calibrated frames, and what stands beside it, as ``(frame, y, x)``."""
    found: dict[str, list[NDArray[Any]]] = {}
    for frame in calibrated:
        for name, plane in frame.arrays(number).items():
            found.setdefault(name, []).append(plane)
    return {name: np.stack(planes) for name, planes in found.items()}


def calibrate(
    science: Sequence[Frame] | xr.DataArray,
    dark: Labelled | None = None,
    flat: Labelled | None = None,
    *,
    image: int | str = 0,
    bias: Labelled | None = None,
    sky: Labelled | None = None,
    options: Options | None = None,
    dtype: str | None = None,
) -> Labelled:
    """Return calibrated frames, ``(raw - dark) / flat``, lazily.

    Its parameters are many since each master is one.

    Parameters
    ----------
    science
        Raw frames, or an array of them ``(frame, y, x)``, ADU, as `open_frames` gives it.
    dark
        The master dark of the same exposure time, ``(y, x)``, ADU.
    flat
        The master flat, ``(y, x)``. Where it is not positive, the result is NaN.
    image
        Of frames, which of their images, by number or by name.
    bias
        The master bias, above which a signal makes noise: for uncertainties.
    sky
        What the sky shows, as `master_sky` has it: frames are divided by its smooth part, and its
        fringes are subtracted; one of them alone where only ``illumination`` or ``fringe`` is among
        the options, whatever filters it names.
    options
        What is wanted beside the pixels, and which further steps are taken.
    dtype
        Of the pixels.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        As ``science``, with its coordinates; ``attrs`` name the masters. A dataset with
        ``pixels``, ``mask`` and ``uncertainty`` where options ask for more than pixels.

    Raises
    ------
    RequestError
        When a master has another shape than the frames, or more is asked of an array than of
        pixels can be told.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> raw = xr.DataArray(np.full((1, 1, 2), 200, "u2"), dims=("frame", "y", "x"))
    >>> flat = xr.DataArray(np.array([[1.0, 0.5]]), dims=("y", "x"))
    >>> calibrate(raw, flat=flat).values
    array([[[200., 400.]]], dtype=float32)
    """
    import xarray as xr

    options = (options or Options()).but(**({"dtype": dtype} if dtype else {}))
    for name in (name for name in DETECTOR if name in options.given):
        text = f"{BY_NAME[name].flag} belongs to the camera of open_night"
        raise RequestError(f"{text}: frames are opened with it")
    check_science_options(options)
    if not isinstance(science, xr.DataArray):
        frames = list(science)
        check_alike(frames)
        if options.uncertainty:
            check_noise(frames)
        science = open_frames(frames, image=number_of(frames, image))
    if science.dims != ("frame", "y", "x") or not science.sizes["frame"]:
        text = ", ".join(map(str, science.dims))
        raise RequestError(
            f"frames have the dimensions (frame, y, x) and are not ({text}), or none"
        )
    number = image_of(science)
    given = MastersOf(dark, flat, bias, sky)
    masters = {name: m for name, m in given._asdict().items() if m is not None}
    if sky is None and (options.illumination or options.fringe):
        raise RequestError("illumination and fringes need a master of the sky: calibrate(sky=...)")
    for name, master in masters.items():
        check_shapes(name, {0: master}, [("", (science.sizes["y"], science.sizes["x"]))])
    check_raw(science, (name for name in masters if name != "bias"))
    for name, master in masters.items():
        check_master(name, master, science, options)
    names = {n: title_of(n, m) for n, m in masters.items() if n not in ("bias", "sky")}
    parts = [part for part in _OF_SKY if getattr(options, part)] or list(_OF_SKY)
    if sky is not None:
        names |= dict.fromkeys(parts, title_of("sky", sky))
    opened = sources_of(science, number)
    layer: Layer = {}
    needs = list(opened.needs)
    for name in ("cosmics_frames", "shutter"):  # which take other frames than those that are given
        if name in options.given:
            raise RequestError(f"{name}: a notebook calibrates each frame by itself; reduce_night")
    if not opened.are_frames and (options.uncertainty or options.cosmics != "no"):
        raise RequestError("uncertainties and cosmic rays need frames, not an array")
    node = masters_node({number: given}, layer, needs, parts)
    correction = Correction(
        dark=names.get("dark"),
        flat=names.get("flat"),
        illumination=names.get("illumination"),
        fringe=names.get("fringe"),
    )
    state = state_of(options.bad_pixels) if options.bad_pixels else ""
    token = token_of(opened.name, node, options.given, names, state)
    keys: list[Key] = []
    work = partial(_calibrate_block, correction, options)
    for place, opening in enumerate(opened.tasks):
        keys.append((CALIBRATED, token, place))
        layer[keys[-1]] = (work, opening, node)
    wanted: dict[str, str] = {"pixels": options.dtype}
    wanted |= {"mask": "u1"} if options.mask else {}
    wanted |= {"uncertainty": "f4"} if options.uncertainty else {}
    planes = {}
    for plane, plane_dtype in wanted.items():
        name = f"{CALIBRATED}-{token}-{number}-{plane}"
        plane_layer = dict(layer)
        for place in range(len(keys)):
            arrays: Any = ("arrays", token, place)
            plane_layer[arrays] = (partial(_as_arrays, number), layer[keys[place]])
            # A block that only one array needs is one task.
            task = arrays if len(wanted) > 1 else plane_layer[arrays]
            plane_layer[(name, place, 0, 0)] = (getitem, task, plane)
        chunks = (tuple(opened.lengths), *((size,) for size in science.shape[1:]))
        planes[plane] = science.copy(data=lazy(name, plane_layer, chunks, plane_dtype, needs))
        planes[plane].attrs.setdefault("units", "adu")
        planes[plane].attrs |= names
    return planes["pixels"] if len(planes) == 1 else xr.Dataset(planes)
