"""The response of each amplifier is made linear, by a polynomial or a table."""

from __future__ import annotations

from collections.abc import Mapping

from daskred.model.option import Option
from daskred.model.readout import Amplifier
from daskred.steps.step import Card, Part, Recipe, Step


def _is_bent(amplifier: Amplifier) -> bool:
    return bool(amplifier.linearity or amplifier.linearity_table)


def _work(part: Part, recipe: Recipe) -> None:
    from daskred.kernels.linearity import linear_by_polynomial, linear_by_table

    if part.amplifier.linearity_table:
        table = part.amplifier.linearity_table
        highest = linear_by_table(part.signal, table, part.saturated)
        if highest > table[-1][0]:
            raise ValueError(
                f"the linearity table of amplifier {part.amplifier.name!r} reaches"
                f" {table[-1][0]:g} ADU, its pixels {highest:g}"
            )
    elif part.amplifier.linearity:
        linear_by_polynomial(part.signal, part.amplifier.linearity)


def _cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    return [Card("LINCORR", "by amplifier", "made linear")]


STEP = Step(
    name="linearity",
    place=50,
    reach="amplifier",
    applies=lambda recipe: any(map(_is_bent, recipe.readout.amplifiers)),
    work=_work,
    cards=_cards,
    options=(
        Option(
            "linearity",
            "make pixels linear, where the camera file tells how (yes)",
            "detector",
            None,
        ),
    ),
)
