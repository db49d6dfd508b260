"""Masters of notebooks as nodes of a graph: images that are computed, or in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.masterfiles import MasterArrays
from daskred.arrays.view import Layer, number_of, token_of
from daskred.engine.task import Key
from daskred.model.errors import RequestError
from daskred.model.frame import Frame

if TYPE_CHECKING:
    import dask.array as da

# An xarray.DataArray, or a Dataset where more than pixels is asked for.
Labelled: TypeAlias = Any


# Of a dark, for each amplifier, where only its scatter tells the level without current.
LEVELS, AMPLIFIER = "zero_level", "amplifier"
_BESIDE = ("mask", "uncertainty", "n_used", "n_rejected", LEVELS)


def plane_of(master: Labelled | None, name: str = "pixels") -> Any:
    """Return the pixels of a master, or a plane beside them; None where there is none."""
    import xarray as xr

    if isinstance(master, xr.Dataset):
        if name in master:
            return master[name].data
        variables = [str(other) for other in master if str(other) not in _BESIDE]
        if name != "pixels":
            return None
        if len(variables) != 1:  # a file that was opened again has its own name for the pixels
            raise RequestError(f"a dataset has no variable 'pixels', but {', '.join(variables)}")
        return master[variables[0]].data
    return master.data if master is not None and name == "pixels" else None


def as_node(plane: Any, layer: Layer, needs: list[da.Array]) -> Any:
    """Return a key of a whole image, which is computed or in memory; None for none."""
    import dask.array as da

    if plane is None:
        return None
    if not isinstance(plane, da.Array):
        key: Key = ("image", token_of(plane))
        layer[key] = (np.asarray, np.array(plane))
        return key
    plane = plane.rechunk(-1, method="tasks")  # without it dask imports its cluster, to ask there
    needs.append(plane)
    return (plane.name, *(0,) * plane.ndim)


def _masters(numbers: Sequence[int], parts: Sequence[str], *planes: Any) -> MasterArrays:
    """Return masters of some images, of each the planes that `masters_node` names."""
    found: list[dict[int, NDArray[Any]]] = [{} for _ in range(_PLANES)]
    for place, plane in enumerate(planes):
        if plane is not None:
            found[place % _PLANES][numbers[place // _PLANES]] = plane
    dark, dark_sigma, flat, flat_sigma, zero, told, sky = found
    levels = {number: tuple(levels.tolist()) for number, levels in told.items()}
    # Of each image a dark of its own tells the levels of its amplifiers.
    known = tuple(
        next((level for level in of_amplifier if not math.isnan(level)), math.nan)
        for of_amplifier in zip(*levels.values(), strict=True)
    )
    return MasterArrays(
        dark,
        flat,
        dark_sigma,
        flat_sigma,
        zero,
        known,
        sky=sky,
        illumination="illumination" in parts,
        fringe="fringe" in parts,
    )


_PLANES = 7


class MastersOf(NamedTuple):
    """The masters of one image that a notebook gives."""

    dark: Labelled | None = None
    flat: Labelled | None = None
    bias: Labelled | None = None
    sky: Labelled | None = None


def masters_node(
    masters: Mapping[int, MastersOf],
    layer: Layer,
    needs: list[da.Array],
    parts: Sequence[str] = (),
) -> Key:
    """Add the masters of images to a graph; return their key.

    Of the sky some parts are used: ``illumination``, ``fringe``.
    """
    nodes = [
        as_node(plane, layer, needs)
        for given in masters.values()
        for plane in (
            plane_of(given.dark),
            plane_of(given.dark, "uncertainty"),
            plane_of(given.flat),
            plane_of(given.flat, "uncertainty"),
            plane_of(given.bias),
            plane_of(given.dark, LEVELS),
            plane_of(given.sky),
        )
    ]
    key: Key = ("masters", token_of(list(masters), parts, *map(str, nodes)))
    layer[key] = (partial(_masters, tuple(masters), parts), *nodes)
    return key


def by_image(
    given: Labelled | Mapping[str, Labelled] | None, frames: Sequence[Frame], number: int
) -> dict[int, Labelled]:
    """Return a master of each image: one that is given alone is that of the image wanted."""
    import xarray as xr

    if given is None:
        return {}
    if isinstance(given, Mapping) and not isinstance(given, xr.Dataset):
        return {number_of(frames, name): master for name, master in given.items()}
    return {number: given}


def check_shapes(
    kind: str, masters: Mapping[int, Labelled], layout: Sequence[tuple[str, tuple[int, int]]]
) -> None:
    """Raise RequestError where a master is no image ``(y, x)`` of the shape of the frames."""
    for number, master in masters.items():
        name, shape = layout[number]
        sizes = getattr(master, "sizes", None)
        if sizes is None:
            raise RequestError(f"the master {kind} is no xarray.DataArray of dimensions (y, x)")
        sizes = {axis: size for axis, size in sizes.items() if axis != AMPLIFIER}
        if tuple(sizes) != ("y", "x") or tuple(sizes.values()) != shape:
            which = f"image {name!r} of the frames" if name else "the frames"
            text = f"the master {kind} has the dimensions {dict(sizes)}"
            raise RequestError(f"{text}, {which} y: {shape[0]}, x: {shape[1]}")


def check_noise(frames: Sequence[Frame]) -> None:
    """Raise RequestError where nobody tells gain and read noise."""
    from daskred.kernels.noise import knows_noise

    for frame in frames:
        if not knows_noise(frame.readout):
            text = "neither its header nor the camera's rules tell gain and read noise"
            raise RequestError(f"{frame.name}: {text}, which uncertainties need")


def name_of(given: Labelled | Mapping[str, Labelled] | None) -> str:
    """Return by what masters are known in names of keys."""
    import xarray as xr

    if given is None:
        return ""
    if isinstance(given, Mapping) and not isinstance(given, xr.Dataset):
        return token_of({name: name_of(master) for name, master in given.items()})
    return token_of(plane_of(given), plane_of(given, "uncertainty"))
