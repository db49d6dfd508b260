"""Levels of masters that cannot be: a dark below the bias, or far from where the frames lie."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from daskred.arrays.masterfiles import data_images
from daskred.fits.pixels import read_image
from daskred.kernels.robust import medians
from daskred.model.errors import FrameError
from daskred.model.plan import Master, Plan

_ROWS = 32  # of an image, that tell its level
_DRIFT_ADU, _DRIFT = 20.0, 0.05  # by which a dark may lie below the bias: ADU, or a part of that
_WRAPPED = -1000.0


def odd_levels(plan: Plan, out: Path) -> list[str]:
    """Say which masters have a level that theirs cannot be; their files are read, a few rows.

    Parameters
    ----------
    plan
        What was made.
    out
        The folder of products.
    """
    unlit = [master for master in plan.masters if master.kind in ("bias", "dark")]
    levels = {master.name: _level(out / master.product) for master in unlit}
    integers = any(_is_integer(item.frame.images[0].dtype) for item in plan.science)
    return [text for master in unlit if (text := next(_oddities(master, levels, integers), ""))]


def _oddities(master: Master, levels: dict[str, float], integers: bool) -> Iterator[str]:
    """Yield what is odd in the level of a master, the worst first."""
    level, name = levels[master.name], master.name
    if level < _WRAPPED:
        yield f"{name} has a level of {level:.6g}: have its integers wrapped, or is BZERO lost?"
    floats = not _is_integer(master.inputs[0].frame.images[0].dtype)
    if integers and floats and 0 < level < 1:
        yield (
            f"{name} has a level of {level:.4g}, and science frames are whole numbers: are its"
            " frames on another scale, as of 0 to 1?"
        )
    for zero in dict.fromkeys(member.correction.zero for member in master.inputs):
        if zero and zero in levels:
            below = levels[zero] - level
            if below > max(_DRIFT_ADU, _DRIFT * abs(levels[zero])):
                yield (
                    f"{name} has a level of {level:.6g}, {below:.4g} below that of {zero}: was"
                    " something subtracted from its frames before?"
                )


def _level(path: Path) -> float:
    """Return the level of a master, the median of some rows; NaN where it cannot be read now."""
    try:
        samples = [
            read_image(str(path), image, max(1, image.shape[0] // _ROWS)).reshape(-1).astype("f8")
            for image in data_images(str(path))
        ]
    except FrameError:  # who uses it tells why
        return math.nan
    values = np.concatenate(samples)
    known = values[np.isfinite(values)]
    return float(medians(known)) if known.size else math.nan


def _is_integer(dtype: np.dtype[np.generic]) -> bool:
    return dtype.kind in "iu"
