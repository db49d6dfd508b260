"""The table of steps: what is done to the pixels of a frame, one file for each step.

It may import `daskred.model` and, inside the functions that work on pixels, `daskred.kernels` and
numpy: help reads this table, and must be quick. It offers `STEPS`, in the order of physics, and
`steps_of`, those that a recipe asks for. A new file in this folder with a ``STEP`` is a new step.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from daskred.model.registry import names_in
from daskred.steps.step import Reach, Recipe, Step

if TYPE_CHECKING:
    from daskred.options import Options

STEPS: tuple[Step, ...] = tuple(
    sorted(
        (import_module(f"{__name__}.{name}").STEP for name in names_in("steps") if name != "step"),
        key=lambda step: step.place,
    )
)


def steps_of(recipe: Recipe, reach: Reach) -> list[Step]:
    """Return the steps of a reach that are done to frames of a recipe, in their order."""
    return [step for step in STEPS if step.reach == reach and step.applies(recipe)]


def whole_steps(options: Options) -> list[Step]:
    """Return the steps that options ask for and that need whole images."""
    return [
        step
        for step in STEPS
        if step.reach == "frame" and any(option.name in options.given for option in step.options)
    ]
