"""Cosmic rays are looked for, flagged and, where that is wanted, replaced by their neighbours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING

from daskred.model.mask import COSMIC, INTERPOLATED, SATURATED
from daskred.model.option import Option, count, limit
from daskred.steps.step import Card, Recipe, Step, Whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What is assumed where nobody tells it, in electrons: rays stand far above any noise.
_USUAL_READ_NOISE_E = 6.5
# In how many images stars are too sharp to be told from rays.
UNSAMPLED = "unsampled"
# In how many images other frames told them, or would have, but do not show the same stars.
BY_OTHERS, ALONE = "told by other frames", "told by no other frame"


def _work(whole: Whole, recipe: Recipe) -> dict[str, int]:
    import numpy as np

    from daskred.kernels.replaced import replace_by_neighbours

    masked = whole.mask != 0
    hit = np.zeros(masked.shape, bool)
    found, told = _by_others(whole, recipe, masked)
    if found is not None:
        hit |= found
    if told is None or np.count_nonzero(told | masked) < hit.size:
        shape = _by_shape(whole, recipe, masked)
        if shape is None and told is None:
            return {UNSAMPLED: 1}
        if shape is not None:  # where other frames tell nothing
            hit |= shape if told is None else shape & ~told
    whole.mask[hit] |= COSMIC
    if recipe.options.cosmics == "clean":
        good = ~(masked | hit) & np.isfinite(whole.value)
        replace_by_neighbours(whole.value, hit, good, whole.sigma)
        whole.mask[hit] |= INTERPOLATED
    counts = {"cosmics": int(np.count_nonzero(hit))}
    if recipe.options.cosmics_frames:
        counts[ALONE if told is None else BY_OTHERS] = 1
    return counts


def _gain(whole: Whole, recipe: Recipe) -> float:
    """Return how many electrons one unit of an image is; one where nobody knows."""
    amplifiers = [a for a in recipe.readout.amplifiers if a.target == whole.number]
    known = sorted(a.gain_e_per_adu or 1.0 for a in amplifiers)
    return 1.0 if recipe.readout.unit == "electron" else median(known)


def _by_others(
    whole: Whole, recipe: Recipe, masked: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
    """Return what is bright in this frame alone, and of which pixels other frames tell it."""
    others = whole.beside()
    if not others:
        return None, None
    from daskred.kernels.beside import rays_beside

    full = whole.value[(whole.mask & SATURATED) != 0]
    found = rays_beside(
        whole.value,
        masked,
        others,
        recipe.options.cosmics_sigclip,
        _gain(whole, recipe),
        whole.sigma,
        float(full.min()) if full.size else math.inf,
    )
    return found or (None, None)


def _by_shape(whole: Whole, recipe: Recipe, masked: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Return what is sharper than stars; None where these are as sharp as rays."""
    from daskred.kernels.cosmics import Search, contrast_of, find_cosmics, star_width

    options = recipe.options
    amplifiers = [a for a in recipe.readout.amplifiers if a.target == whole.number]
    noise = median(a.read_noise_e or _USUAL_READ_NOISE_E for a in amplifiers)
    width = star_width(whole.value, masked, whole.sigma)
    contrast = options.cosmics_objlim
    contrast = contrast_of(width) if contrast is None else contrast
    if contrast is None:
        return None
    gain, clip, psf = _gain(whole, recipe), options.cosmics_sigclip, options.cosmics_psfmodel
    search = Search(gain, noise, contrast, clip, psf, width)
    return find_cosmics(whole.value, masked, search, whole.sigma)


def _cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    text = "pixels hit by rays"
    if counts.get(UNSAMPLED):
        text = "not looked for where stars are as sharp as rays"
    elif counts.get(BY_OTHERS):
        text = "pixels bright in this frame of its field alone"
    return [Card("NCOSMIC", counts.get("cosmics", 0), text)]


STEP = Step(
    name="cosmics",
    place=110,
    reach="frame",
    applies=lambda recipe: recipe.options.cosmics != "no",
    work=_work,
    cards=_cards,
    bits=COSMIC | INTERPOLATED,
    pixel_bytes=60,
    options=(
        Option(
            "cosmics",
            "look for cosmic rays; needs daskred[cosmics]",
            "science",
            "no",
            str,
            ("no", "flag", "clean"),
            ("science",),
            common=True,
        ),
        Option(
            "cosmics_frames",
            "tell cosmic rays by so many other frames of the same field, the nearest in time, where"
            " there are two at least: what is bright in one alone is one, and so is an asteroid (0:"
            " by their shape)",
            "science",
            0,
            count,
            changes=("science",),
            metavar="N",
        ),
        Option(
            "cosmics_objlim",
            "the contrast that tells a ray from a star (5; more where stars are narrower than 2.5"
            " pixels)",
            "science",
            None,
            limit,
            changes=("science",),
            metavar="X",
        ),
        Option(
            "cosmics_sigclip",
            "deviations by which a ray stands out",
            "science",
            4.5,
            limit,
            changes=("science",),
            metavar="X",
        ),
        Option(
            "cosmics_psfmodel",
            "the shape of stars that rays are compared with",
            "science",
            "none",
            str,
            ("none", "gauss", "gaussx", "gaussy", "moffat"),
            ("science",),
        ),
    ),
)
