"""Light is brought to the exposure time that headers tell: the shutter opens later here than there.

It is a part of what the flat divides by: each pixel is divided once.
"""

from __future__ import annotations

from collections.abc import Mapping

from daskred.model.option import Option
from daskred.steps.flat import divide
from daskred.steps.step import Band, Card, Recipe, Step


def _work(band: Band, recipe: Recipe) -> None:
    correction = recipe.correction
    if not (correction.flat or correction.illumination):
        divide(band, recipe)


def _cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    name, seconds = recipe.correction.shutter or ("", 0.0)
    return [Card("SHUTCOR", f"{name}.fits for {seconds:g} s", "exposure of each pixel")]


STEP = Step(
    name="shutter",
    place=92,
    reach="band",
    applies=lambda recipe: bool(recipe.correction.shutter),
    work=_work,
    cards=_cards,
    options=(
        Option(
            "shutter",
            "bring each pixel to the exposure time that headers tell: the shutter takes a while to"
            " open and to close, which flats of two exposure times show, one three times the other",
            "science",
        ),
    ),
)
