"""The level of the overscan is subtracted: of each row, each column, or both; or along a curve."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter

from daskred.model.option import Option, limit, positive
from daskred.steps.step import Card, Part, Recipe, Step


def _applies(recipe: Recipe) -> bool:
    readout = recipe.readout
    return readout.overscan is not None and any(a.overscan for a in readout.amplifiers)


def _work(part: Part, recipe: Recipe) -> None:
    if part.amplifier.overscan:
        part.signal -= part.levels().astype(part.signal.dtype)


def _cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    readout, overscan = recipe.readout, recipe.readout.overscan
    assert overscan
    text: str = overscan.statistic
    if overscan.fit != "none":
        text += f", {overscan.fit} of order {overscan.order}"
    ways = {"row": "beside", "column": "above"}
    lines = [line for line, way in ways.items() if any(map(attrgetter(way), readout.amplifiers))]
    return [Card("OVERSCAN", text, f"level of each {' and '.join(lines)}, subtracted")]


STEP = Step(
    name="overscan",
    place=20,
    reach="amplifier",
    applies=_applies,
    work=_work,
    cards=_cards,
    options=(
        Option(
            "overscan",
            "how the level of the overscan of each row is measured (median)",
            "detector",
            None,
            str,
            ("median", "mean", "clipped-mean", "none"),
            common=True,
        ),
        Option(
            "overscan_fit",
            "the curve through the levels of all rows (none)",
            "detector",
            None,
            str,
            ("none", "constant", "legendre", "chebyshev", "spline"),
        ),
        Option(
            "overscan_order",
            "its degree; of a spline, how close",
            "detector",
            None,
            positive,
            metavar="N",
        ),
        Option(
            "overscan_reject_sigma",
            "levels so many deviations from the curve do not count (3)",
            "detector",
            None,
            limit,
            metavar="X",
        ),
    ),
)
