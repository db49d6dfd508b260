"""The master dark is subtracted: of one exposure time, scaled, or of a line through several."""

from __future__ import annotations

from collections.abc import Mapping

from daskred.steps.step import Band, Card, Recipe, Step


def subtract(band: Band, recipe: Recipe) -> None:
    """Subtract what masters tell of the level without light."""
    from daskred.kernels.calibrate import subtract_dark

    subtract_dark(band.pixels, band.masters.dark, band.out)
    band.pixels = band.out


def add_variance(band: Band) -> None:
    """Add the variance of what was subtracted."""
    if band.variance is not None and band.masters.dark_variance is not None:
        band.variance += band.masters.dark_variance


def _cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    correction, cards = recipe.correction, []
    if correction.dark:
        scale = ""
        if correction.dark_scale != 1 and correction.bias:
            cards.append(Card("ZEROCOR", f"{correction.bias}.fits", "bias of the dark"))
            scale = f" with scale={correction.dark_scale:.8g}"
        cards.append(
            Card("DARKCOR", f"{correction.dark}.fits{correction.section}{scale}", "dark subtracted")
        )
    if correction.terms:
        cards.append(Card("DARKCOR", "straight line over exposure time", "through masters"))
        cards += [
            Card(f"DARKC{n:03d}", f"{name}.fits with scale={factor:.8g}", "factor of a master")
            for n, (name, factor) in enumerate(correction.terms, start=1)
        ]
    return cards


STEP = Step(
    name="dark",
    place=80,
    reach="band",
    applies=lambda recipe: bool(recipe.correction.dark or recipe.correction.terms),
    work=subtract,
    variance=add_variance,
    cards=_cards,
)
