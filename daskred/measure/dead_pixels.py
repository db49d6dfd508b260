"""Bad pixels that flats tell: dead and weak ones, weak columns, and those that are not linear."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from daskred.arrays.prepared import read_frame
from daskred.engine.progress import Progress
from daskred.kernels.defects import bad_columns
from daskred.kernels.neighbours import deviations, local_median
from daskred.kernels.robust import robust_limits, robust_sigma
from daskred.measure.limits import BEYOND, Images, Limit, Marks, amplifiers, surely
from daskred.measure.results import EXACT
from daskred.model.mask import BAD, NONLINEAR
from daskred.model.plan import Input, Master
from daskred.run.files import files_of

NONLINEAR_SIGMA = 5.0
DEAD_SIGMA = 8.0
# What part of the response of its neighbours a pixel has that is dead, if that is no noise.
DEAD_RESPONSE = 0.8
NO_RESPONSE = 0.1
# Two flats are of unlike level, and tell of linearity, where one is so much brighter.
_UNLIKE = 1.3


def mark_dead(marks: Marks, flat: Master, out: Path) -> list[Limit]:
    """Mark pixels that answer to light far less than those around, and such columns."""
    lost = []  # of the response
    for part in amplifiers(marks, flat, out):
        local = local_median(part.level)
        with np.errstate(invalid="ignore", divide="ignore"):
            response = np.where(local > 0, part.level / local, np.nan)
        _, sigma = robust_sigma(response[np.isfinite(response)])
        # Of few or faint flats the response scatters; what has hardly any is dead all the same.
        least = float(np.clip(1 - DEAD_SIGMA * sigma, NO_RESPONSE, DEAD_RESPONSE))
        part.mask[~(response > least)] |= BAD
        lost.append(min(1 - least + BEYOND * sigma, 1.0))
        away, deviation = deviations(part.level, local)
        for section in bad_columns(away, local / deviation).sections:
            # Bright ones may be light, as the traces of fibres.
            if np.nanmedian(away[section.slices]) < 0:
                part.add_column(section, BAD)
    return [Limit("DEADLIM", 1 - surely(lost), "of the response of neighbours")]


def mark_nonlinear(
    marks: Marks,
    flat: Master,
    out: Path,
    missing: list[str],
    progress: Progress,
) -> list[Limit]:
    """Mark pixels whose response to bright light is not that to faint light.

    Of each pixel a straight line goes through its response, which is its light over the level of
    the flat, against that level; each flat counts as its photons do. One that is not level bends.
    """
    progress.begin("Linearity of pixels", len(flat.inputs), "flats")
    levels: list[float] = []
    sums: Images = []
    moments: Images = []
    for member in flat.inputs:
        images = _lit(member, out)
        level = float(np.nanmedian(images[0]))
        levels.append(level)
        # The response of a flat times its level, which is its weight, is its light.
        if not sums:
            sums, moments = [np.zeros_like(i) for i in images], [np.zeros_like(i) for i in images]
        for total, moment, image in zip(sums, moments, images, strict=True):
            total += image
            moment += level * image
        progress.advance(1)
    progress.end()
    weights = np.array(levels)
    if not (weights > 0).all() or weights.max() < _UNLIKE * weights.min():
        missing.append(f"non-linear pixels: the flats of {flat.name} are all of about one level")
        return []
    middle = float((weights**2).sum() / weights.sum())
    spread = float((weights * (weights - middle) ** 2).sum())
    bends = []
    for mask, total, moment in zip(marks.masks, sums, moments, strict=True):
        with np.errstate(invalid="ignore", divide="ignore"):
            response = total / weights.sum()
            slope = (moment - middle * total) / spread / response
            # Pixels with less light have more noise.
            slope *= np.sqrt(np.where(response > 0, response, np.nan))
        least, most = robust_limits(slope, NONLINEAR_SIGMA)
        mask[np.isfinite(slope) & ((slope < least) | (slope > most))] |= NONLINEAR
        sigma = (most - least) / 2 / NONLINEAR_SIGMA
        bends.append((NONLINEAR_SIGMA + BEYOND) * sigma * float(np.ptp(weights)))
    return [Limit("NONLLIM", surely(bends), "change of response between the flats")]


def _lit(flat: Input, out: Path) -> Images:
    """Read a flat, less its dark."""
    images = read_frame(flat.frame, EXACT)[0]
    files_of(out, flat.correction).subtract_from(images)
    return images
