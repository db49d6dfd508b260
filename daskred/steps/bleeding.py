"""Where charge of saturated pixels has run along their columns, pixels are flagged like these."""

from __future__ import annotations

from daskred.model.mask import SATURATED
from daskred.model.option import Option
from daskred.steps.step import Recipe, Step, Whole


def _work(whole: Whole, recipe: Recipe) -> int:
    import numpy as np

    from daskred.kernels.bleeding import trails

    found = trails(whole.value, whole.mask & SATURATED != 0)
    whole.mask[found] |= SATURATED
    return int(np.count_nonzero(found))


def _applies(recipe: Recipe) -> bool:
    # Where a number of rows is told, that is what counts.
    wanted = recipe.options.mask and recipe.options.bleeding
    return bool(wanted and not recipe.readout.bleed_rows)


STEP = Step(
    name="bleeding",
    place=100,
    reach="frame",
    applies=_applies,
    work=_work,
    bits=SATURATED,
    pixel_bytes=8,
    options=(
        Option(
            "bleeding",
            "flag what charge of saturated pixels has run to along their columns (usual)",
            "science",
            True,
            changes=("science",),
        ),
    ),
)
