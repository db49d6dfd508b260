"""Cosmic rays are looked for, flagged and, where that is wanted, replaced by their neighbours."""

from __future__ import annotations

from collections.abc import Mapping

from daskred.model.mask import COSMIC, INTERPOLATED
from daskred.model.option import Option
from daskred.steps.step import Card, Recipe, Step, Whole

# What is assumed where nobody tells it, in electrons: rays stand far above any noise.
_USUAL_READ_NOISE_E = 6.5


def _work(whole: Whole, recipe: Recipe) -> int:
    import numpy as np

    from daskred.kernels.cosmics import find_cosmics

    readout = recipe.readout
    amplifiers = [a for a in readout.amplifiers if a.target == whole.number]
    noise = float(np.median([a.read_noise_e or _USUAL_READ_NOISE_E for a in amplifiers]))
    gain = float(np.median([a.gain_e_per_adu or 1.0 for a in amplifiers]))
    gain = 1.0 if readout.unit == "electron" else gain
    hit, cleaned = find_cosmics(whole.value, whole.mask != 0, gain, noise, whole.sigma)
    whole.mask[hit] |= COSMIC
    if recipe.options.cosmics == "clean":
        np.copyto(whole.value, cleaned, where=hit, casting="same_kind")
        whole.mask[hit] |= INTERPOLATED
    return int(np.count_nonzero(hit))


def _cards(recipe: Recipe, counts: Mapping[str, int]) -> list[Card]:
    return [Card("NCOSMIC", counts.get("cosmics", 0), "pixels hit by rays")]


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
    ),
)
