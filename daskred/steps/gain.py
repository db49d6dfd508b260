"""ADU become electrons, by the gain of each amplifier.

This is done before the dark is subtracted, so that masters are in electrons too, and amplifiers of
unlike gain meet without a step in them.
"""

from __future__ import annotations

from collections.abc import Mapping

from daskred.model.option import Option
from daskred.steps.step import Card, Part, Recipe, Step


def _work(part: Part, recipe: Recipe) -> None:
    gain = part.amplifier.gain_e_per_adu
    if gain is None:
        raise ValueError(f"no gain of amplifier {part.amplifier.name!r} is known")
    part.signal *= gain


def _cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    gains = " ".join(f"{amplifier.gain_e_per_adu:g}" for amplifier in recipe.readout.amplifiers)
    return [Card("GAINCOR", gains, "electrons per ADU")]


STEP = Step(
    name="gain",
    place=60,
    reach="amplifier",
    applies=lambda recipe: recipe.readout.unit == "electron",
    work=_work,
    cards=_cards,
    options=(
        Option(
            "unit",
            "of the products' pixels (adu)",
            "detector",
            None,
            str,
            ("adu", "electron"),
            common=True,
        ),
    ),
)
