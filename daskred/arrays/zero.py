"""The level of darks without current, of each amplifier, where only their scatter tells it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.tiles import Tile
from daskred.kernels.noise import noise_terms
from daskred.kernels.robust import any_floats, known_values
from daskred.kernels.sampling import places_of
from daskred.kernels.zero import level_without_current
from daskred.model.plan import MasterKind
from daskred.model.readout import Readout, Section


def wants_zero_levels(kind: MasterKind, readout: Readout, has_zero: bool) -> bool:
    """Whether nothing but the scatter of darks tells how much of them is current."""
    return kind == "dark" and not (has_zero or readout.is_above_bias)


@any_floats
def zero_levels(readout: Readout, images: Mapping[int, Sequence[Tile]]) -> tuple[float, ...]:
    """Return the level of each amplifier without dark current, ADU; NaN where nobody knows it.

    Parameters
    ----------
    readout
        Tells the amplifiers, their gains and read noises.
    images
        Of images, by their numbers, the tiles, in order, with samples of its frames.
    """
    samples = {number: sample_in(tiles) for number, tiles in images.items()}
    levels = []
    for amplifier in readout.amplifiers:
        sample = samples.get(amplifier.target)
        if sample is None:
            levels.append(math.nan)
            continue
        inside = pixels_inside(amplifier.place, readout.shapes[amplifier.target], len(sample))
        floor, slope = noise_terms(amplifier, readout)
        levels.append(level_without_current(sample[:, inside], floor, slope))
    return () if all(map(math.isnan, levels)) else tuple(levels)


def sample_in(tiles: Sequence[Tile]) -> NDArray[Any]:
    """Return the sample of the frames of a master, ``(frame, row, piece, pixel)``, of all tiles."""
    return known_values(np.concatenate([t.sample for t in tiles if t.sample is not None], axis=1))


def pixels_inside(place: Section, shape: tuple[int, int], n_frames: int) -> NDArray[np.bool_]:
    """Tell which pixels of a sample of so many frames lie in a section."""
    places = places_of(shape, n_frames)
    rows = np.array(places.rows)
    columns = places.pixel_columns
    in_rows = (rows >= place.rows[0]) & (rows < place.rows[1])
    in_columns = (columns >= place.columns[0]) & (columns < place.columns[1])
    return np.asarray(in_rows[:, np.newaxis, np.newaxis] & in_columns)
