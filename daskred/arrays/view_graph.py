"""The graph of a master in a notebook: looks, levels, tiles, and what divides them.

The file is longer than others: a master of frames and one of an array share all of its nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from daskred.arrays.factors import rows_of_factors, wants_factors
from daskred.arrays.masters import precision_of, reduction_of, wants_levels
from daskred.arrays.normalised import is_bayer
from daskred.arrays.tiles import Stack, tile_graph
from daskred.arrays.view import (
    Layer,
    check_alike,
    cut_into_rows,
    frame_blocks,
    identity_of,
    lazy,
    looks_layer,
    number_of,
    places_of,
    token_of,
    unit_of,
)
from daskred.arrays.view_guard import (
    MASTER,
    attributes_of,
    attributes_of_array,
    check_inputs,
    check_master,
    is_known,
    title_of,
)
from daskred.arrays.view_nodes import (
    AMPLIFIER,
    LEVELS,
    Labelled,
    MastersOf,
    by_image,
    check_noise,
    check_shapes,
    masters_node,
    name_of,
)
from daskred.arrays.view_tasks import (
    as_list,
    level_of_tiles,
    levels_of_arrays,
    levels_of_frames,
    levels_of_noise,
    measure_arrays,
    measure_block,
    noise_of_master,
    options_of_tiles,
    plane_of_master,
    planes_of,
    reduce_block,
    refined,
    refined_of_arrays,
    rounded,
)
from daskred.arrays.zero import wants_zero_levels
from daskred.engine.task import Key
from daskred.model.errors import RequestError
from daskred.model.frame import Frame
from daskred.model.plan import MasterKind, is_lit
from daskred.model.readout import Readout
from daskred.night.sky import LEAST_FRAMES
from daskred.options import BY_NAME, Options

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

    Given = Iterable[Frame] | xr.DataArray


MADE_OF = "made of"


@dataclass(frozen=True)
class MadeOf:
    """What a master is made of, as its graph knows it: for whoever writes it.

    Parameters
    ----------
    kind, frames, options
        Of the master.
    number
        Of the image.
    dark
        The name of what was subtracted from its frames; None for nothing.
    """

    kind: MasterKind
    frames: tuple[Frame, ...]
    options: Options
    number: int
    dark: str | None

    def __call__(self) -> MadeOf:
        """Return itself: the task of its key."""
        return self


@dataclass
class _Graph:
    """The graph of a master while it grows.

    Parameters
    ----------
    kind, options
        Of the master.
    token
        What its keys are told apart by.
    number, shape
        Of its image.
    n_frames, unit
        Of what it is made from, and of its pixels.
    precision
        What values are rounded to before they are divided by the level.
    about
        What is known of it.
    """

    kind: MasterKind
    options: Options
    token: str
    number: int
    shape: tuple[int, int]
    n_frames: int
    unit: str
    precision: str
    about: dict[str, Any] = field(default_factory=dict)
    layer: Layer = field(default_factory=dict)
    needs: list[da.Array] = field(default_factory=list)
    tiles: list[tuple[slice, Key]] = field(default_factory=list)
    level: Key | None = None
    noise: Key | None = None
    readout: Readout | None = None

    def labelled(self) -> Labelled:
        """Return the planes of the master as arrays with names and units."""
        import xarray as xr

        options = self.options
        wanted: dict[str, str] = {"pixels": options.dtype}
        wanted |= {"mask": "u1"} if options.mask else {}
        wanted |= {"uncertainty": "f4"} if options.uncertainty else {}
        wanted |= {"n_used": "u2", "n_rejected": "u2"} if options.counts else {}
        heights = tuple(rows.stop - rows.start for rows, _ in self.tiles)
        planes = {}
        for plane, dtype in wanted.items():
            name = f"master-{plane}-{self.token}"
            layer = dict(self.layer)
            for place, (rows, key) in enumerate(self.tiles):
                types = (self.precision, options.dtype)
                work = partial(plane_of_master, plane, self.number, rows.start, types)
                layer[(name, place, 0)] = (work, key, self.level, self.noise)
            data = lazy(name, layer, (heights, (self.shape[1],)), dtype, self.needs)
            about = {"units": self.unit, "combine": options.combine, "n_frames": self.n_frames}
            about |= self.about
            planes[plane] = xr.DataArray(
                data,
                dims=("y", "x"),
                coords=places_of(self.shape),
                name=self.about.get(MASTER, f"master_{self.kind}"),
                attrs=about,
            )
        if self.readout:  # whoever subtracts the dark wants to know
            name = f"master-{LEVELS}-{self.token}"
            layer = {**self.layer, (name, 0): (partial(levels_of_noise, self.readout), self.noise)}
            n_amplifiers = len(self.readout.amplifiers)
            data = lazy(name, layer, ((n_amplifiers,),), "f8", self.needs)
            planes[LEVELS] = xr.DataArray(data, dims=(AMPLIFIER,), attrs={"units": self.unit})
        return planes["pixels"] if len(planes) == 1 else xr.Dataset(planes)


def master_of_frames(
    kind: MasterKind,
    given: Given,
    image: int | str,
    options: Options,
    dark: Labelled | None = None,
    zero: Labelled | None = None,
    flat: Labelled | None = None,
    loose: bool = False,
) -> Labelled:
    """Return a master of frames, lazily, with all that options ask for.

    Its parameters are many since each master that the frames need is one.

    Frames must belong together, unless they are combined loosely: as any stack of images.
    """
    import xarray as xr

    if not isinstance(given, xr.DataArray):
        given = list(given)
        check_alike(given)
    if not loose:
        check_inputs(kind, given, options)
        if is_lit(kind) and dark is None and is_known(given) and not options.missing_dark:
            raise RequestError(
                f"master_{kind}: no dark is subtracted; Options(missing_dark=True) goes without"
            )
        for role, master in (("dark", dark), ("flat", flat)):
            if master is not None:
                check_master(role, master, given, options)
    subtracted = {} if dark is None else {"dark": title_of("dark", dark)}
    if isinstance(given, xr.DataArray):
        if kind == "sky":
            raise RequestError("master_sky needs frames, not an array: give night.select(...)")
        return _master_of_array(kind, given, options, dark, loose)
    frames = given
    if kind == "sky" and len(frames) < LEAST_FRAMES:
        text = f"master_sky: {len(frames)} frames do not tell stars from sky"
        raise RequestError(f"{text}, {LEAST_FRAMES} at least are wanted")
    number = number_of(frames, image)
    readout, lit, is_sky = frames[0].readout, is_lit(kind), kind == "sky"
    n_pixels = sum(shape[0] * shape[1] for _, shape in frames[0].layout)
    graph = _Graph(
        kind,
        options,
        token_of(
            kind,
            number,
            identity_of(frames),
            options.given,
            *(name_of(master) for master in (dark, zero, flat)),
        ),
        number,
        frames[0].layout[number][1],
        len(frames),
        "" if lit else unit_of(frames),
        precision_of(n_pixels, options) if lit else options.dtype,
        {} if loose else attributes_of(kind, frames) | subtracted,
    )
    layer, token = graph.layer, graph.token
    if not loose:
        made_of = MadeOf(kind, tuple(frames), options, number, subtracted.get("dark"))
        layer[MADE_OF, token] = (made_of,)
    flats_of = by_image(flat, frames, number)
    check_shapes("flat", flats_of, frames[0].layout)
    darks_of, zeros_of = by_image(dark, frames, number), by_image(zero, frames, number)
    check_shapes("dark", darks_of, frames[0].layout)
    check_shapes("bias", zeros_of, frames[0].layout)
    if options.uncertainty or options.reject == "noise":
        check_noise(frames)
    if lit and 0 < len(darks_of) < len(frames[0].layout):
        raise RequestError(
            f"the levels of {kind} frames are those of all {len(frames[0].layout)} images together:"
            " give a dark for each, as dark={name: dark, ...}"
        )
    masters = masters_node(
        {
            place: MastersOf(darks_of.get(place), flats_of.get(place))
            for place in sorted({*darks_of, *flats_of})
        },
        layer,
        graph.needs,
    )
    zeros = None
    if zeros_of:
        of_images = {place: MastersOf(zero) for place, zero in zeros_of.items()}
        zeros = masters_node(of_images, layer, graph.needs)
    more, looks = looks_layer(frames, token)
    layer |= more
    measured: list[Key] = []
    if wants_levels(kind, options):
        for place, block in enumerate(frame_blocks(frames)):
            measured.append(("levels", token, place))
            work = partial(measure_block, frames[block], options, lit, is_sky, block)
            layer[measured[-1]] = (work, looks, masters)
    darks: Any = ()
    if lit:
        darks = ("darks", token)
        layer[darks] = (as_list, masters)
    levels: Key = ("level of each", token)
    layer[levels] = (partial(levels_of_frames, kind, frames, options), *measured)
    if wants_factors(kind, len(frames), options):
        stacks = [Stack(frames, image, options) for image in range(len(frames[0].layout))]
        layer["refined", token] = (partial(refined, stacks), levels, looks, darks)
        levels = ("refined", token)
    planes: list[Key] = []
    if is_sky:
        stacks = [Stack(frames, image, options) for image in range(len(frames[0].layout))]
        planes.append(("planes", token))
        layer[planes[0]] = (partial(planes_of, stacks), levels, looks, darks)
    sampled = options.uncertainty and len(frames) > 1
    all_tiles: list[list[tuple[slice, Key]]] = []
    # A flat's own level is that of all its images.
    for image in range(len(frames[0].layout)) if lit else (number,):
        known: Key = ("options", token, image)
        known_of = partial(options_of_tiles, kind, image, frames, options)
        layer[known] = (known_of, zeros, levels, *planes)
        stack = Stack(frames, image, options, sampled=sampled, has_objects=is_sky)
        all_tiles.append([])
        for rows in cut_into_rows(stack):
            reduce = reduction_of(kind, options)
            key, tile = tile_graph(token, stack, image, rows, reduce, looks, darks, known)
            layer[key] = (partial(rounded, graph.precision, stack), tile[key])
            all_tiles[-1].append((rows, key))
    graph.tiles = all_tiles[number if lit else 0]
    if lit:
        graph.level = ("level", token)
        n_bands = [len(tiles) for tiles in all_tiles]
        paths = [frame.path for frame in frames]
        colours = is_bayer(frames[0], options, is_sky)
        level_work = partial(
            level_of_tiles, readout, colours, is_sky, options, graph.precision, paths, n_bands
        )
        layer[graph.level] = (level_work, *(key for tiles in all_tiles for _, key in tiles))
    if options.uncertainty:
        graph.noise = ("noise", token)
        noise_work = partial(noise_of_master, kind, readout, (options.combine, options.rejection))
        known = ("options", token, number)
        asked = [key for _, key in graph.tiles] if sampled else []
        dark_node = masters if lit else None
        layer[graph.noise] = (noise_work, known, graph.level, zeros, dark_node, number, *asked)
        by_scatter = sampled and wants_zero_levels(kind, readout, bool(zeros_of))
        graph.readout = readout if by_scatter else None
    return graph.labelled()


def _master_of_array(
    kind: MasterKind, stack: xr.DataArray, options: Options, dark: Labelled | None, loose: bool
) -> Labelled:
    """Return a master of an array ``(frame, y, x)``, as it may have been worked on.

    Nobody knows of its pixels where they are saturated, nor their noise.
    """
    import dask.array as da

    if options.uncertainty or options.reject == "noise":
        raise RequestError("uncertainties need frames, not an array: give night.select(...)")
    for name in ("scale", "zero_level", "weight", "normalize_amplifiers"):
        if name in options.given:
            flag = BY_NAME[name].flag
            raise RequestError(f"{flag} needs frames, not an array: give night.select(...)")
    flat = kind == "flat"
    data = stack.data if isinstance(stack.data, da.Array) else da.from_array(stack.values)
    tiled = data.rechunk({0: -1, 1: "auto", 2: -1}) if data.numblocks[0] > 1 else data
    tiled = tiled.rechunk({0: -1, 2: -1})
    n_frames, height, width = data.shape
    if not n_frames:
        raise RequestError("no frames to combine")
    check_shapes("dark", {} if dark is None else {0: dark}, [("", (height, width))])
    readout = Readout((), ("",), ((height, width),), None)
    graph = _Graph(
        kind,
        options,
        token_of(kind, data.name, options.given, name_of(dark)),
        0,
        (height, width),
        n_frames,
        "" if flat else str(stack.attrs.get("units", "adu")),
        precision_of(height * width, options) if flat else options.dtype,
        {} if loose else attributes_of_array(kind, stack),
    )
    layer, token = graph.layer, graph.token
    graph.needs.append(tiled)
    masters = masters_node({0: MastersOf(dark)}, layer, graph.needs)
    measured: list[Key] = []
    if flat:
        by_frame = data.rechunk({0: "auto", 1: -1, 2: -1})
        graph.needs.append(by_frame)
        for place in range(by_frame.numblocks[0]):
            measured.append(("levels", token, place))
            work = partial(measure_arrays, 0, options, kind == "flat")
            layer[measured[-1]] = (work, masters, (by_frame.name, place, 0, 0))
    levels: Key = ("level of each", token)
    layer[levels] = (levels_of_arrays, *measured)
    if wants_factors(kind, n_frames, options):
        bands = rows_of_factors([(height, width)], n_frames)
        sample = da.concatenate([data[:, rows] for _, rows in bands], axis=1).rechunk(-1)
        graph.needs.append(sample)
        work = partial(refined_of_arrays, bands, (height, width))
        layer["refined", token] = (work, levels, masters, (sample.name, 0, 0, 0))
        levels = ("refined", token)
    known: Key = ("options", token)
    layer[known] = (partial(_array_options, kind, n_frames, graph.precision, options), levels)
    start = 0
    for place, n_rows in enumerate(tiled.chunks[1]):
        rows = slice(start, start + n_rows)
        key: Key = ("tile", token, place)
        reduce_work = partial(reduce_block, reduction_of(kind, options), rows, flat)
        layer[key] = (reduce_work, (tiled.name, 0, place, 0), known, masters)
        graph.tiles.append((rows, key))
        start += n_rows
    if flat:
        graph.level = ("level", token)
        n_bands = [len(graph.tiles)]
        paths = [f"{n_frames} frames of an array"]
        colours = bool(options.normalize_bayer)
        level_work = partial(
            level_of_tiles, readout, colours, False, options, graph.precision, paths, n_bands
        )
        layer[graph.level] = (level_work, *(key for _, key in graph.tiles))
    return graph.labelled()


def _array_options(
    kind: MasterKind, n_frames: int, precision: str, options: Options, levels: Sequence[float]
) -> dict[str, Any]:
    """Return what the reduction of a tile of an array has to know."""
    lit = {"which": [0] * n_frames, "levels": list(levels), "precision": precision}
    if options.plain_median:
        return lit if kind == "flat" else {}
    common: dict[str, Any] = {
        "method": options.combine,
        "rejection": options.rejection,
        "noise": None,
        "precision": options.dtype,
        "limits": [np.inf] * n_frames,
    }
    return {**common, **lit} if kind == "flat" else common
