"""What the bias differs by from place to place."""

from __future__ import annotations

from typing import Any

import numpy as np

from daskred.engine.progress import Progress
from daskred.kernels.patterns import Structure, structure_of
from daskred.measure.read_noise import parts_of
from daskred.model.plan import Plan
from daskred.model.readout import Readout

_FEW_FRAMES = 4
_MOST_FRAMES = 60


def bias_structures(
    plan: Plan, readout: Readout, missing: list[str], progress: Progress
) -> list[Structure | None]:
    """Return the structure of the bias under each amplifier; None where there is none.

    Parameters
    ----------
    plan
        Its bias frames are measured, less their overscans: those with even numbers against those
        with odd ones, so that noise is in none of it.
    readout
        Tells the amplifiers.
    missing
        What cannot be measured is added.
    progress
        Told how far it is.
    """
    biases = [master for master in plan.masters if master.kind == "bias"]
    most = max((len(master.inputs) for master in biases), default=0)
    if most < _FEW_FRAMES:
        missing.append(f"structure of the bias: needs {_FEW_FRAMES} bias frames")
        return [None] * len(readout.amplifiers)
    master = next(master for master in biases if len(master.inputs) == most)
    frames = [member.frame for member in master.inputs][:_MOST_FRAMES]
    frames = frames[: len(frames) // 2 * 2]
    halves: list[list[Any]] = [[0.0] * len(readout.amplifiers) for _ in range(2)]
    progress.begin("Structure of the bias", len(frames), "bias frames")
    for number, frame in enumerate(frames):
        half = halves[number % 2]
        for which, pixels in enumerate(parts_of(frame, readout)):
            half[which] = half[which] + pixels
        progress.advance(1)
    progress.end()
    with np.errstate(invalid="ignore"):
        return [
            structure_of(first * 2 / len(frames), second * 2 / len(frames))
            for first, second in zip(*halves, strict=True)
        ]
