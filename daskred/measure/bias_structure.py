"""What the master bias differs by from place to place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from daskred.arrays.masterfiles import read_images
from daskred.kernels.patterns import Structure, structure_of
from daskred.kernels.robust import ROUNDING_VARIANCE
from daskred.measure.read_noise import ReadNoise
from daskred.model.plan import Plan
from daskred.model.readout import Readout
from daskred.products.names import master_path


def bias_structures(
    plan: Plan, readout: Readout, out: Path, noises: Sequence[ReadNoise | None]
) -> list[Structure | None]:
    """Return the structure of the master bias under each amplifier; None where there is none.

    Parameters
    ----------
    plan, readout
        Of the detector.
    out
        The folder of its masters.
    noises
        The read noise of each amplifier, which the structure is without.
    """
    bias = next((m for m in plan.masters if m.kind == "bias" and len(m.inputs) > 2), None)
    if bias is None or not any(noises):
        return [None] * len(readout.amplifiers)
    images = read_images(str(master_path(out, bias.name)))
    found: list[Structure | None] = []
    for amplifier, noise in zip(readout.amplifiers, noises, strict=True):
        if noise is None:
            found.append(None)
            continue
        pixels = images[amplifier.target][amplifier.place.slices].astype("f8")
        # Of a median of whole numbers, which most masters are; a mean would have less.
        variance = math.pi / 2 * noise.adu**2 / len(bias.inputs)
        variance += readout.step_adu**2 * ROUNDING_VARIANCE
        found.append(structure_of(pixels, variance))
    return found
