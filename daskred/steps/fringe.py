"""Fringes are subtracted, as bright as each frame has them: the pattern is that of a master sky."""

from __future__ import annotations

from collections.abc import Mapping

from daskred.model.option import Option
from daskred.steps.step import Card, Recipe, Step, Whole

_CLEARLY = 3.0  # errors: fainter fringes are left where they are
_SCALE = "fringe scale {number}"


def _work(whole: Whole, recipe: Recipe) -> dict[str, float]:
    from daskred.kernels.fringes import fringe_scale

    pattern = whole.masters.fringe
    scale, error = fringe_scale(whole.value, whole.mask != 0, pattern)
    if scale < _CLEARLY * error:
        scale = 0.0
    if scale:
        # Its uncertainty stays what it is: the noise that a frame has left in the pattern is taken
        # from it again, which is as much as the noise of the others adds.
        whole.value -= scale * pattern
    return {_SCALE.format(number=whole.number): scale}


def _cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    name = f"{recipe.correction.fringe}.fits"
    known = {n: counts.get(_SCALE.format(number=n)) for n in range(len(recipe.readout.shapes))}
    scales = {n: scale for n, scale in known.items() if scale is not None}
    if not scales:  # as of pixels that a notebook has worked on
        return [Card("FRINGCOR", name, "fringes subtracted")]
    if not any(scales.values()):
        return [Card("FRINGCOR", f"{name}: none to be seen", "fringes")]
    if len(known) == 1:
        return [Card("FRINGCOR", f"{name} with scale={scales[0]:.6g}", "fringes subtracted")]
    cards = [Card("FRINGCOR", name, "fringes subtracted")]
    cards += [
        Card(f"FRNGS{n + 1:03d}", float(f"{scale:.6g}"), "scale of fringes of an image")
        for n, scale in scales.items()
    ]
    return cards


STEP = Step(
    name="fringe",
    place=95,
    reach="frame",
    applies=lambda recipe: bool(recipe.correction.fringe),
    work=_work,
    cards=_cards,
    pixel_bytes=24,
    options=(
        Option(
            "fringe",
            "subtract the fringes of frames in a filter, or in all: what the night sky shows when"
            " all are combined without their stars, scaled to each frame",
            "science",
            (),
            str,
            changes=("science",),
            metavar="FILTER",
            several=True,
        ),
    ),
)
