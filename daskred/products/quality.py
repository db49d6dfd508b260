"""What the checks of pixels found: cards of products, and frames that cannot be what they seem."""

from __future__ import annotations

import math
from collections.abc import Mapping

from daskred.fits.header import format_card
from daskred.model.checks import BY_NAME
from daskred.model.errors import FrameError
from daskred.model.frame import Frame
from daskred.options import Options

NO_VALUE = "has no pixel with a value"
_WORDS = {
    "saturated": "{figure:.0%} of its pixels have the largest value: it is saturated, or empty",
    "wrapped": "{figure:.0f} of its pixels are far below zero: signed integers of 16 bits"
    " had no room for them",
    "negative": "{figure:.0%} of its pixels would be negative: what is subtracted is not below it",
    "residue": "{figure:.0%} of the dark's hot pixels, or of its pattern, is not in it, or left: of"
    " another temperature, time or orientation",
}


def figure_cards(figures: Mapping[str, float]) -> list[str]:
    """Return a card for each figure."""
    return [
        format_card(BY_NAME[name].card, float(f"{figure:.6g}"), BY_NAME[name].legend)
        for name, figure in figures.items()
    ]


def check_science(frame: Frame, figures: Mapping[str, float], options: Options) -> None:
    """Raise FrameError where a science frame cannot be one, or its dark is not its own."""
    limits = options.limits
    if figures and math.isnan(figures["level"]):
        raise FrameError(frame.path, NO_VALUE)
    for name, words in _WORDS.items():
        if name in limits and figures.get(name, 0.0) > limits[name]:
            text = words.format(figure=figures[name])
            raise FrameError(frame.path, f"{text}; --unchecked {name} calibrates it all the same")
