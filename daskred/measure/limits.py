"""What bad pixels are found: limits beyond which nearly all are, and the frames that tell them.

A pixel is found where it is beyond a threshold; noise takes some of those back that are just beyond
it. What is stated is where as many are found as `COMPLETENESS` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.masterfiles import read_images
from daskred.arrays.prepared import read_frame
from daskred.engine.progress import Progress
from daskred.measure.results import EXACT
from daskred.model.frame import Frame
from daskred.model.plan import Master
from daskred.products.names import master_path

COMPLETENESS = 0.98
# Limits are made for one pixel in a hundred to be missed: how far pixels scatter is measured, too.
# So many deviations beyond a threshold lie those.
AIM, BEYOND = 0.99, 2.326
Images = list[NDArray[Any]]


@dataclass(frozen=True)
class Limit:
    """Beyond what bad pixels of a kind are found.

    Parameters
    ----------
    card
        Of the mask's header.
    value
        The limit.
    text
        What it means, in few words.
    """

    card: str
    value: float
    text: str


def amplifiers(
    masks: Images, master: Master, out: Path
) -> Iterator[tuple[NDArray[np.uint8], NDArray[Any]]]:
    """Yield mask and pixels of a master, amplifier by amplifier: each has a level of its own."""
    images = read_images(str(master_path(out, master.name)))
    for amplifier in master.inputs[0].frame.readout.amplifiers:
        where = amplifier.place.slices
        yield masks[amplifier.target][where], images[amplifier.target][where]


def read(frames: Sequence[Frame], progress: Progress) -> Iterator[Images]:
    """Yield the prepared images of frames, float64, one frame after the other."""
    for frame in frames:
        yield read_frame(frame, EXACT)[0]
        progress.advance(1)
