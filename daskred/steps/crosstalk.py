"""Crosstalk is taken back: what an amplifier shows of the signals of the others.

It is a part of the signals above the level of the overscan, which is subtracted before.
"""

from __future__ import annotations

from collections.abc import Mapping

from daskred.model.option import Option
from daskred.steps.step import Card, Part, Recipe, Step


def _work(part: Part, recipe: Recipe) -> None:
    amplifiers, matrix = recipe.readout.amplifiers, recipe.readout.crosstalk
    if len({amplifier.data.shape for amplifier in amplifiers}) > 1 or len(matrix) != len(
        amplifiers
    ):
        raise ValueError("crosstalk is told for amplifiers of other numbers or sizes")
    shares = matrix[amplifiers.index(part.amplifier)]
    for number, share in enumerate(shares):
        if share:
            part.signal -= share * part.neighbour(number)


def _cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    return [Card("XTALKCOR", "matrix", "crosstalk subtracted")]


STEP = Step(
    name="crosstalk",
    place=40,
    reach="amplifier",
    applies=lambda recipe: bool(recipe.readout.crosstalk),
    work=_work,
    cards=_cards,
    options=(
        Option(
            "crosstalk_correction",
            "take crosstalk back, where the camera file tells how much (yes)",
            "detector",
            None,
        ),
    ),
)
