"""A frame in numbers: level, noise, saturated and negative parts, stars, columns that stand out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.fits.pixels import read_image, read_rows
from daskred.kernels.columns import CLEAR, FAINT, columns_away
from daskred.kernels.piles import piled_up
from daskred.kernels.robust import any_floats, known_values, medians, robust_sigma
from daskred.kernels.scratch import scratch
from daskred.measure.stars import NO_STARS, stars_in
from daskred.model.frame import Image

# Numbers are those of some rows; stars those of the middle of the frame.
_ROWS = 64
_STAR_SIDE = 512
_CLIP_SIGMA = 4.0
_FOR_NOISE = 30_000  # pixels tell it within a percent
_FOR_LIMIT = 4_000


@dataclass(frozen=True)
class Quality:
    """A frame in numbers; NaN, or None, where it does not tell.

    Parameters
    ----------
    level, noise
        The median, and what neighbouring pixels differ by: one standard deviation of a pixel. In
        the unit of the frame.
    saturated, negative, missing
        What part of the pixels is saturated, below zero, without a value.
    n_stars
        In the middle of the frame, 512 x 512 pixels at most.
    fwhm_pixels, ellipticity
        Of a typical star: the full width at half of the maximum; one less the ratio of its axes.
    columns
        Those that stand out from the columns beside them, counted from 0; of the first image.
    faint_columns
        The same, and those that stand out half as clearly.
    shift_y_pixels, shift_x_pixels, starlight
        By how much stars lie elsewhere, and how bright they are, beside the first frame of the
        same field: see `daskred.measure.outliers.beside_the_first`.
    places
        Of each star row, column and light.
    """

    level: float = math.nan
    noise: float = math.nan
    saturated: float = math.nan
    negative: float = math.nan
    missing: float = math.nan
    n_stars: int | None = None
    fwhm_pixels: float = math.nan
    ellipticity: float = math.nan
    columns: tuple[int, ...] = ()
    faint_columns: tuple[int, ...] = ()
    shift_y_pixels: float = math.nan
    shift_x_pixels: float = math.nan
    starlight: float = math.nan
    places: NDArray[np.float64] = field(
        default_factory=lambda: np.empty((0, 3)), repr=False, compare=False
    )

    @property
    def shift_pixels(self) -> float:
        """By how much stars lie elsewhere, in whatever direction."""
        return math.hypot(self.shift_y_pixels, self.shift_x_pixels)

    def figure(self, name: str) -> float:
        """Return a number by its name; NaN where there is none."""
        value = getattr(self, name)
        return math.nan if value is None else float(value)


@any_floats
def quality_of(
    path: str, images: Sequence[Image], saturation_adu: float | None = None, with_stars: bool = True
) -> Quality:
    """Read some rows of a frame, and its middle; return it in numbers.

    Parameters
    ----------
    path, images
        The frame.
    saturation_adu
        From which on pixels are saturated; None where only a pile of them tells it.
    with_stars
        Whether stars are looked for.

    Raises
    ------
    FrameError
        When it cannot be read.
    """
    samples = [_sample(path, image) for image in images]
    pixels = np.concatenate([sample.reshape(-1) for sample in samples])
    known = known_values(pixels) if pixels.dtype.kind == "f" else pixels
    known = known[np.isfinite(known)]
    if not known.size:
        return Quality(missing=1.0)
    first = samples[0].astype("f4")
    noise = _noise(known_values(first))
    away = columns_away(first, noise)
    stars = stars_in(_middle(path, images[0])) if with_stars else None
    pile = piled_up(known)
    full = saturation_adu if saturation_adu is not None else pile[0] if pile else math.inf
    return Quality(
        level=float(medians(known)),
        noise=noise,
        saturated=float(np.mean(known >= full)),
        negative=float(np.mean(known < 0)),
        missing=1 - known.size / pixels.size,
        n_stars=len(stars.places) if stars else None,
        fwhm_pixels=(stars or NO_STARS).fwhm_pixels,
        ellipticity=(stars or NO_STARS).ellipticity,
        columns=tuple(np.flatnonzero(away > CLEAR).tolist()),
        faint_columns=tuple(np.flatnonzero(away > FAINT).tolist()),
        places=(stars or NO_STARS).places,
    )


def _noise(rows: NDArray[Any]) -> float:
    """Return the noise of single pixels, by what neighbours differ; finer than whole numbers."""
    rows = rows[:: max(1, rows.size // _FOR_NOISE)]
    steps = rows[:, 1:] - rows[:, :-1]
    steps = steps[np.isfinite(steps)].astype("f8")
    if not steps.size:
        return math.nan
    some = steps[:: steps.size // _FOR_LIMIT | 1]  # enough for what is far
    limit = _CLIP_SIGMA * robust_sigma(some)[1]
    near = steps[np.abs(steps) <= limit]
    return float(np.std(near)) / math.sqrt(2) if near.size else math.nan


def _sample(path: str, image: Image) -> NDArray[Any]:
    """Return some rows of an image, evenly taken."""
    return read_image(path, image, max(1, image.shape[0] // _ROWS))


def _middle(path: str, image: Image) -> NDArray[np.float32]:
    """Return the middle of an image."""
    height, width = image.shape
    top, left = (max(0, (side - _STAR_SIDE) // 2) for side in (height, width))
    stop = min(height, top + _STAR_SIDE)
    rows = scratch("rows of the middle", (stop - top, width), image.dtype)
    read_rows(path, image, top, stop, rows)
    return np.asarray(known_values(rows[:, left : left + _STAR_SIDE].astype("f4")))
