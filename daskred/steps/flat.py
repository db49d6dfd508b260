"""Pixels are divided by the master flat; where it is not positive, they have no value."""

from __future__ import annotations

from collections.abc import Mapping

from daskred.steps.step import Band, Card, Recipe, Step


def divide(band: Band, recipe: Recipe) -> None:
    """Divide pixels by what masters tell of the response."""
    from daskred.kernels.calibrate import divide_by_flat

    divide_by_flat(band.pixels, band.masters.divisor, band.out)
    band.pixels = band.out


def _add_variance(band: Band) -> None:
    from daskred.kernels.noise import add_flat_variance

    if band.variance is not None and band.masters.flat_variance is not None:
        add_flat_variance(band.variance, band.out, band.masters.flat_variance)


def _cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    return [
        Card("FLATCOR", f"{recipe.correction.flat}.fits{recipe.correction.section}", "divided by")
    ]


STEP = Step(
    name="flat",
    place=90,
    reach="band",
    applies=lambda recipe: bool(recipe.correction.flat),
    work=divide,
    variance=_add_variance,
    cards=_cards,
)
