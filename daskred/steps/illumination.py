"""Pixels are divided by the smooth part of a master of the sky, at once with their flat."""

from __future__ import annotations

from collections.abc import Mapping

from daskred.model.option import Option
from daskred.steps.flat import divide
from daskred.steps.step import Band, Card, Recipe, Step


def _cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    return [
        Card("ILLUMCOR", f"{recipe.correction.illumination}.fits", "divided by its smooth part")
    ]


def _work(band: Band, recipe: Recipe) -> None:
    # Where there is a flat it is a part of what that step divides by: each pixel is divided once.
    if not recipe.correction.flat:
        divide(band, recipe)


STEP = Step(
    name="illumination",
    place=91,
    reach="band",
    applies=lambda recipe: bool(recipe.correction.illumination),
    work=_work,
    cards=_cards,
    options=(
        Option(
            "illumination",
            "divide frames in a filter, or in all, by the smooth part of what their sky shows when"
            " all are combined without their stars",
            "science",
            (),
            str,
            changes=("science",),
            metavar="FILTER",
            several=True,
        ),
    ),
)
