"""Cosmic rays are looked for, flagged and, where that is wanted, replaced by their neighbours."""

from __future__ import annotations

from collections.abc import Mapping

from daskred.model.mask import COSMIC, INTERPOLATED
from daskred.model.option import Option, count, limit
from daskred.steps.step import Card, Recipe, Step, Whole

# What is assumed where nobody tells it, in electrons: rays stand far above any noise.
_USUAL_READ_NOISE_E = 6.5
# In how many images stars are too sharp to be told from rays.
UNSAMPLED = "unsampled"
# In how many images other frames told them.
BY_OTHERS = "told by other frames"


def _work(whole: Whole, recipe: Recipe) -> dict[str, int]:
    import numpy as np

    from daskred.kernels.beside import rays_beside
    from daskred.kernels.cosmics import Search, contrast_of, find_cosmics, star_width
    from daskred.kernels.replaced import replace_by_neighbours

    readout, options = recipe.readout, recipe.options
    amplifiers = [a for a in readout.amplifiers if a.target == whole.number]
    noise = float(np.median([a.read_noise_e or _USUAL_READ_NOISE_E for a in amplifiers]))
    gain = float(np.median([a.gain_e_per_adu or 1.0 for a in amplifiers]))
    gain = 1.0 if readout.unit == "electron" else gain
    masked = whole.mask != 0
    hit, others_tell = None, False
    if others := whole.beside():
        hit = rays_beside(whole.value, masked, others, options.cosmics_sigclip, gain, whole.sigma)
        others_tell = hit is not None
    if hit is None:
        width = star_width(whole.value, masked, whole.sigma)
        contrast = options.cosmics_objlim
        contrast = contrast_of(width) if contrast is None else contrast
        if contrast is None:
            return {UNSAMPLED: 1}
        search = Search(
            gain, noise, contrast, options.cosmics_sigclip, options.cosmics_psfmodel, width
        )
        hit = find_cosmics(whole.value, masked, search, whole.sigma)
    whole.mask[hit] |= COSMIC
    if options.cosmics == "clean":
        good = ~(masked | hit) & np.isfinite(whole.value)
        replace_by_neighbours(whole.value, hit, good, whole.sigma)
        whole.mask[hit] |= INTERPOLATED
    number = int(np.count_nonzero(hit))
    return {"cosmics": number, BY_OTHERS: 1} if others_tell else {"cosmics": number}


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
