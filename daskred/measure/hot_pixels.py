"""Bad pixels that darks tell: hot ones, bright or dark columns, and unstable ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.prepared import read_frame
from daskred.engine.progress import Progress
from daskred.kernels.agreement import largest_variance, surely_larger
from daskred.kernels.defects import COLUMN_SIGMA, PULLED, bad_columns
from daskred.kernels.neighbours import deviations, local_median
from daskred.kernels.robust import ROUNDING_VARIANCE, robust_limits
from daskred.measure.limits import AIM, BEYOND, Images, Limit, Marks, amplifiers, surely
from daskred.measure.results import EXACT, HOT_SIGMA
from daskred.model.mask import BAD, HOT, UNSTABLE
from daskred.model.plan import Master

UNSTABLE_SIGMA = 5.0
FEWEST = 5  # darks: of fewer, one cosmic ray makes a pixel unstable
_N_LEVELS, _FEW_FOR_LINE = 12, 400


def mark_hot(marks: Marks, dark: Master, out: Path) -> list[Limit]:
    """Mark pixels far above those around, and columns that are above or below them."""
    gains = [a.gain_e_per_adu for a in dark.inputs[0].frame.readout.amplifiers]
    pixels, columns = [], []
    for part, gain in zip(amplifiers(marks, dark, out), gains, strict=True):
        local = local_median(part.level)
        away, sigma = deviations(part.level, local)
        part.mask[away > HOT_SIGMA] |= HOT
        found = bad_columns(away, local / sigma)
        for section in found.sections:
            bright = np.nanmedian(away[section.slices]) > 0
            part.add_column(section, HOT if bright else BAD)
        pixels.append(_surely_hot(sigma, gain, len(dark.inputs)))
        columns.append((COLUMN_SIGMA + BEYOND) * found.spread * sigma * PULLED)
    return [
        Limit("HOTLIM", surely(pixels), "ADU above neighbours"),
        Limit("COLLIM", surely(columns), "ADU from neighbours, of whole columns"),
    ]


def _surely_hot(sigma: float, gain: float | None, n_frames: int) -> float:
    """Return how far above its neighbours a pixel is that is nearly always found, ADU.

    Its own charge makes noise, where the gain is known: the median's of so many frames.
    """
    least = HOT_SIGMA * sigma
    noise = math.pi / 2 / (gain * n_frames) if gain else 0.0  # of each ADU
    # It is as far beyond the threshold as `BEYOND` times the noise that it has there.
    half = least + BEYOND**2 * noise / 2
    return half + math.sqrt(half**2 - least**2 + (BEYOND * sigma) ** 2)


def mark_unstable(
    marks: Marks, dark: Master, missing: list[str], progress: Progress
) -> list[Limit]:
    """Mark pixels whose scatter over darks is larger than that of pixels of their level."""
    frames = [member.frame for member in dark.inputs]
    if len(frames) < FEWEST:
        text = f"unstable pixels: {dark.name} has {len(frames)} frames, {FEWEST} would do"
        missing.append(text)
        return []
    progress.begin("Unstable pixels", len(frames), "frames")
    first: Images = []
    sums: Images = []
    squares: Images = []
    highest: Images = []
    for number, images in enumerate(read_frame(frame, EXACT)[0] for frame in frames):
        if number == 0:
            first = [image.copy() for image in images]
            sums = [np.zeros_like(image) for image in images]
            squares = [np.zeros_like(image) for image in images]
            highest = [np.zeros_like(image) for image in images]
        for total, square, most, image, origin in zip(
            sums, squares, highest, images, first, strict=True
        ):
            step = image - origin
            total += step
            square += step**2
            np.maximum(most, step, out=most)
        progress.advance(1)
    progress.end()
    # The highest value of each pixel does not count: a cosmic ray makes no pixel unstable.
    n = len(frames) - 1
    times = []
    for mask, total, square, most, origin in zip(
        marks.masks, sums, squares, highest, first, strict=True
    ):
        total -= most
        square -= most**2
        variance = np.maximum(square / n - (total / n) ** 2, 0.0)
        mean = origin + total / n
        # Noise grows with the signal: a straight line through medians of variance over level.
        typical, slope = _noise_line(mean, variance)
        expected = np.maximum(typical + slope * (mean - np.nanmedian(mean)), typical)
        ratio = variance / expected
        limit = largest_variance(float(np.nanmedian(ratio)), n, UNSTABLE_SIGMA)
        # Whole numbers of little noise scatter more than that.
        _, found = robust_limits(np.sqrt(ratio), UNSTABLE_SIGMA)
        limit = max(limit, found**2)
        mask[ratio > limit] |= UNSTABLE
        larger = surely_larger(limit, float(np.nanmedian(ratio)), n, AIM)
        times.append(math.sqrt(larger))
    return [Limit("UNSTLIM", surely(times), "times the usual noise")]


def _noise_line(mean: NDArray[Any], variance: NDArray[Any]) -> tuple[float, float]:
    """Return the variance of a typical pixel, and by how much it grows with the level.

    It grows along a line through the medians of pixels of some levels, and of very bright ones.
    """
    middle = float(np.nanmedian(mean))
    typical = max(float(np.nanmedian(variance)), ROUNDING_VARIANCE)  # the least that there can be
    known = np.isfinite(mean) & np.isfinite(variance)
    levels, noises = mean[known], variance[known]
    if levels.size < _FEW_FOR_LINE:
        return typical, 0.0
    order = np.argsort(levels, kind="stable")
    parts = np.array_split(order, _N_LEVELS)
    _, bright = robust_limits(mean, 10.0)
    parts.append(order[np.searchsorted(levels[order], bright) :])
    points = [(np.median(levels[part]), np.median(noises[part])) for part in parts if part.size > 7]
    x, y = np.array(points).T
    x = x - middle
    slope = float(np.sum(x * (y - typical)) / max(float(np.sum(x * x)), 1e-30))
    return typical, max(slope, 0.0)
