"""Saturated pixels are flagged, before anything is done to them."""

from __future__ import annotations

from daskred.model.mask import SATURATED
from daskred.model.option import Option, count
from daskred.steps.step import Step

# The pixels are told apart where raw rows are read, since their neighbours are at hand there.
STEP = Step(
    name="saturation",
    place=10,
    reach="amplifier",
    applies=lambda recipe: True,
    bits=SATURATED,
    options=(
        Option(
            "bleed_rows",
            "how far along columns the neighbours of saturated pixels count as saturated (0)",
            "detector",
            None,
            count,
            metavar="N",
        ),
    ),
)
