"""The master bias is subtracted, where there is no dark."""

from __future__ import annotations

from collections.abc import Mapping

from daskred.steps.dark import add_variance, subtract
from daskred.steps.step import Card, Recipe, Step


def _cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    return [
        Card(
            "ZEROCOR",
            f"{recipe.correction.bias}.fits{recipe.correction.section}",
            "bias subtracted",
        )
    ]


STEP = Step(
    name="bias",
    place=70,
    reach="band",
    applies=lambda recipe: bool(recipe.correction.bias) and not recipe.correction.dark,
    work=subtract,
    variance=add_variance,
    cards=_cards,
)
