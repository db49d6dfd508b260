"""Do the frames of a master scatter as gain and read noise tell? If they do more, that counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.noise import CombinedBand, MasterNoise
from daskred.arrays.tiles import Tile
from daskred.arrays.zero import pixels_inside, sample_in
from daskred.kernels.agreement import Agreement, agreement_of
from daskred.kernels.robust import any_floats
from daskred.kernels.sampling import places_of, sample_of

# So much more is no chance, and no rounding of what headers tell.
_MORE, _CLEARLY = 1.1, 4.0
# Returns a row of an image of a master, shape (1, x), divided by its level.
RowOf = Callable[[int, int], NDArray[np.float64]]


@any_floats
def checked_noise(
    noise: MasterNoise, images: Mapping[int, Sequence[Tile]], row_of: RowOf
) -> tuple[MasterNoise, float]:
    """Return what the uncertainty of a master follows from, never less than its frames scatter.

    Parameters
    ----------
    noise
        As gain and read noise tell it.
    images
        Of images, by their numbers, the tiles, in order, with samples of the frames.
    row_of
        Returns rows of the master.

    Returns
    -------
    noise
        As given, or with the excess of the scatter of its frames.
    ratio
        Of the variance of its frames over what gain and read noise tell; of several amplifiers
        the largest; NaN where too few frames tell it.
    """
    samples = {number: sample_in(tiles) for number, tiles in images.items()}
    stated = {n: _stated(noise, n, len(sample), row_of) for n, sample in samples.items()}
    found = []
    for amplifier in noise.readout.amplifiers:
        number = amplifier.target
        if number not in samples:
            found.append(Agreement(math.nan, math.nan))
            continue
        sample, shape = samples[number], noise.readout.shapes[number]
        inside = pixels_inside(amplifier.place, shape, len(sample))
        found.append(agreement_of(sample[:, inside], stated[number][inside]))
    ratio = max((one.ratio for one in found if not math.isnan(one.ratio)), default=math.nan)
    excess = tuple(one.ratio if _is_more(one) else 1.0 for one in found)
    return (replace(noise, excess=excess) if max(excess) > 1 else noise), ratio


def _is_more(found: Agreement) -> bool:
    return found.ratio > _MORE and found.ratio > 1 + _CLEARLY * found.error


def _stated(noise: MasterNoise, number: int, n_frames: int, row_of: RowOf) -> NDArray[np.float64]:
    """Return the variance that is stated for one frame, of the pixels of its sample."""
    places = places_of(noise.readout.shapes[number], n_frames)
    # Frames that are unlike count alike in how they scatter, however they are combined.
    alike = replace(noise, method="sum" if noise.method == "sum" else "mean", weights=())
    return np.concatenate(
        [
            sample_of(
                alike.single(CombinedBand.of_all(row_of(number, row), n_frames, number, row)),
                row,
                places,
            )
            for row in places.rows
        ]
    )
