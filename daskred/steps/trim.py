"""What sees no light is cut off, and amplifiers are put where they lie on the detector."""

from __future__ import annotations

from collections.abc import Mapping

from daskred.model.option import Option
from daskred.steps.step import Card, Recipe, Step


def _applies(recipe: Recipe) -> bool:
    return recipe.readout.is_cut


def _cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    sections = " ".join(str(amplifier.data) for amplifier in recipe.readout.amplifiers)
    return [Card("TRIM", sections, "raw section")]


# Nothing is to be done: only light-sensitive pixels are taken out of the raw image.
STEP = Step(
    name="trim",
    place=30,
    reach="amplifier",
    applies=_applies,
    cards=_cards,
    options=(
        Option("trim", "cut off what sees no light (yes)", "detector", None),
        Option(
            "assemble",
            "put amplifiers in images of their own together into one (no)",
            "detector",
            None,
        ),
    ),
)
