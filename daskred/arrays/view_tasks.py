"""What the tasks of a notebook's masters do, each with the blocks that come before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.agreement import checked_noise
from daskred.arrays.factors import (
    factors_of,
    factors_of_pixels,
    planes_of_sky,
    refined_levels,
)
from daskred.arrays.frames import measure_frames, measure_source
from daskred.arrays.masterfiles import MasterArrays
from daskred.arrays.masters import noises_of, tile_options, usable_lights
from daskred.arrays.noise import CombinedBand, MasterNoise
from daskred.arrays.normalised import MasterLevel, level_of_master, rows_of_level
from daskred.arrays.sky import SAME_STARS, shows_stars
from daskred.arrays.sources import ArraySource
from daskred.arrays.tiles import Stack, Tile
from daskred.arrays.zero import wants_zero_levels, zero_levels
from daskred.kernels.reject import Method, Rejection
from daskred.kernels.slopes import Plane
from daskred.model.errors import FrameError, FramesError
from daskred.model.frame import Frame
from daskred.model.mask import NO_DATA
from daskred.model.plan import MasterKind, is_lit
from daskred.model.readout import Readout
from daskred.options import Options


def measure_block(
    frames: Sequence[Frame],
    options: Options,
    lit: bool,
    is_sky: bool,
    which: slice,
    looks: Any,
    masters: MasterArrays,
) -> list[Any]:
    """Return how bright some frames are, of all whose looks are given."""
    return measure_frames(
        list(zip(frames, looks[which], strict=True)), masters, options, lit, is_sky
    )


def measure_arrays(
    number: int, options: Options, lit: bool, masters: MasterArrays, block: Any
) -> list[Any]:
    """Return how bright the frames of a block of an array are."""
    sources = (ArraySource({number: image}) for image in block)
    return [measure_source(source, masters, options.normalize, lit) for source in sources]


def levels_of_frames(
    kind: MasterKind, frames: Sequence[Frame], options: Options, *measured: Sequence[Any]
) -> list[float]:
    """Return the levels of frames that were measured; none where they were not."""
    found = [measurement for block in measured for measurement in block]
    lights = usable_lights(frames, found, is_lit(kind), options.limits) if found else []
    return [light.level for light in lights]


def levels_of_arrays(*measured: Sequence[Any]) -> list[float]:
    """Return the levels of the frames of an array."""
    levels = [measurement.light.level for block in measured for measurement in block]
    for place, level in enumerate(levels):
        if not level > 0:
            text = f"has no light: its level less the dark is {level:g} ADU"
            raise FrameError(f"frame {place} of the array", text)
    return levels


def refined(
    stacks: Sequence[Stack], levels: Sequence[float], looks: Any, darks: Any
) -> list[float]:
    """Return the levels of flats, refined; see `daskred.arrays.factors`."""
    which = [0] * len(levels)
    return refined_levels(levels, factors_of(stacks, looks, darks, which, levels))


def planes_of(
    stacks: Sequence[Stack], levels: Sequence[float], looks: Any, darks: Any
) -> list[list[Plane]]:
    """Return how the light of frames of the sky lies across them; see `daskred.arrays.factors`."""
    return planes_of_sky(stacks, looks, darks, [0] * len(levels), levels)


def refined_of_arrays(
    bands: Sequence[tuple[int, slice]],
    shape: tuple[int, int],
    levels: Sequence[float],
    masters: MasterArrays,
    sample: NDArray[Any],
) -> list[float]:
    """Return the levels of flats, refined, of which bands of rows are given."""
    dark = np.concatenate([masters.rows(number, shape, rows) for number, rows in bands])
    factors = factors_of_pixels(np.asarray(sample), [dark], [0] * len(levels), levels)
    return refined_levels(levels, factors)


def options_of_tiles(
    kind: MasterKind,
    number: int,
    frames: Sequence[Frame],
    options: Options,
    zero: MasterArrays | None,
    levels: Sequence[float],
    planes: Sequence[Sequence[Plane]] = (),
) -> dict[str, Any]:
    """Return what the reduction of a tile has to know, of frames whose levels are known."""
    noises = noises_of(kind, frames, zero) if options.reject == "noise" else []
    which = [0] * len(frames) if is_lit(kind) else []
    known = tile_options(kind, number, frames, options, levels, which, noises)
    return {**known, "planes": planes[number]} if planes else known


def as_list(*parts: Any) -> list[Any]:
    """Return what other tasks made, in a list."""
    return list(parts)


def level_of_tiles(
    readout: Readout,
    bayer: bool,
    is_sky: bool,
    options: Options,
    precision: str,
    paths: Sequence[str],
    n_bands: Sequence[int],
    *tiles: Tile,
) -> MasterLevel:
    """Return what a master flat is divided by, of all tiles of all its images."""
    images, first = [], 0
    for n in n_bands:
        image_tiles = tiles[first : first + n]
        images.append(
            np.concatenate([tile.arrays[0].astype(precision, copy=False) for tile in image_tiles])
        )
        first += n
    step = rows_of_level(readout, bayer, options)
    text = "the master cannot be normalised"
    refuse = FramesError(tuple(FrameError(path, text) for path in paths))
    level = level_of_master([image[::step] for image in images], readout, bayer, options, refuse)
    if is_sky:
        bands = (level.divide(image, number, 0) for number, image in enumerate(images))
        if shows_stars(bands):
            raise FramesError(tuple(FrameError(path, SAME_STARS) for path in paths))
    return level


def rounded(precision: str, stack: Stack, tile: Tile) -> Tile:
    """Return a tile whose values are kept as they are divided by the level."""
    value, *beside = tile.arrays
    stack.check_unchanged()
    return tile._replace(arrays=(value.astype(precision, copy=False), *beside))


def plane_of_master(
    name: str,
    number: int,
    first_row: int,
    dtypes: tuple[str, str],
    tile: Tile,
    level: MasterLevel | None = None,
    noise: MasterNoise | None = None,
) -> NDArray[Any]:
    """Return a band of what a master has: pixels, or what stands beside them."""
    arrays = tile.arrays
    precision, dtype = dtypes
    value = arrays[0].astype(precision, copy=False)
    if name == "mask":
        return np.where(np.isfinite(value), 0, NO_DATA).astype("u1")
    if name in ("n_used", "n_rejected"):
        return np.array(arrays[1 if name == "n_used" else 2])
    divided = (level or MasterLevel()).divide(value, number, first_row)
    if name == "uncertainty" and noise:
        band = CombinedBand(divided.astype("f8"), arrays[1], arrays[2], number, first_row)
        return noise.sigma(band)
    return divided.astype(dtype)


def noise_of_master(
    kind: MasterKind,
    readout: Readout,
    combining: tuple[Method, Rejection],
    options: dict[str, Any],
    level: MasterLevel | None,
    zero: MasterArrays | None,
    dark: MasterArrays | None,
    number: int,
    *tiles: Tile,
) -> MasterNoise:
    """Return what tells the uncertainty of the pixels of a master.

    The tiles of an image tell how its frames scatter, of several frames; and where nothing else
    does, the level of darks without current.
    """
    by_scatter = bool(tiles) and wants_zero_levels(kind, readout, zero is not None)
    noise = MasterNoise(
        kind=kind,
        readout=readout,
        method=combining[0],
        rejection=combining[1],
        zero=zero,
        levels=tuple(options.get("levels", ())),
        level=level or MasterLevel(),
        weights=tuple(options.get("weights", ())),
        dark=dark,
        zero_levels=zero_levels(readout, {number: tiles}) if by_scatter else (),
    )
    if not tiles:
        return noise

    def row_of(number: int, row: int) -> NDArray[np.float64]:
        first = 0
        for tile in tiles:
            value = tile.arrays[0]
            if row < first + len(value):
                return noise.level.divide(value[row - first : row - first + 1], number, row).astype(
                    "f8"
                )
            first += len(value)
        raise IndexError(row)

    return checked_noise(noise, {number: tiles}, row_of)[0]


def levels_of_noise(readout: Readout, noise: MasterNoise) -> NDArray[np.float64]:
    """Return the level of each amplifier without dark current; NaN where it is not known."""
    return np.array(noise.zero_levels or [np.nan] * len(readout.amplifiers))


def reduce_block(
    reduce: Any, rows: slice, is_flat: bool, block: Any, options: dict[str, Any], masters: Any
) -> Tile:
    """Reduce a band of an array ``(frame, rows, x)``."""
    darks = [masters.rows(0, block.shape[1:], rows)[np.newaxis]] if is_flat else []
    return Tile(reduce(np.ascontiguousarray(block), *darks, **options), [])
