"""What stands beside the pixels of a master: masks, uncertainties, numbers of values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.noise import CombinedBand, MasterNoise
from daskred.fits.raster import Raster
from daskred.fits.write import Bands
from daskred.model.mask import NO_DATA
from daskred.products.extensions import Extension, ExtensionName
from daskred.run.combined import Combined


def _plane(
    name: ExtensionName, number: int, raster: Raster, dtype: str, bands: Iterator[NDArray[Any]]
) -> Extension:
    return Extension(name, number, Bands(raster.shape, np.dtype(dtype), bands, is_data=False))


def mask_plane(raster: Raster, number: int) -> Extension:
    """Return the mask of an image of a master: where it has no value."""
    bands = (np.where(np.isfinite(band), 0, NO_DATA).astype("u1") for band in raster.bands())
    return _plane("MASK", number, raster, "u1", bands)


def count_planes(counts: Sequence[Raster], number: int) -> list[Extension]:
    """Return how many frames each pixel is made of, and how many were rejected."""
    used, rejected = counts
    return [
        _plane("NUSED", number, used, "u2", used.bands()),
        _plane("REJECTED", number, rejected, "u2", rejected.bands()),
    ]


def uncertainty_plane(combined: Combined, number: int, noise: MasterNoise) -> Extension:
    """Return the uncertainty of an image of a master."""

    def bands() -> Iterator[NDArray[np.float32]]:
        row = 0
        counts = (raster.bands() for raster in combined.counts[number])
        for value, n_used, n_rejected in zip(combined.divided(number), *counts, strict=True):
            yield noise.sigma(CombinedBand(value.astype("f8"), n_used, n_rejected, number, row))
            row += len(value)

    return _plane("UNCERT", number, combined.rasters[number], "f4", bands())
