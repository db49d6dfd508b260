"""What bad pixels are found: limits beyond which nearly all are, and what is marked by them.

A pixel is found where it is beyond a threshold; noise takes some of those back that are just beyond
it. What is stated is where as many are found as `COMPLETENESS` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.masterfiles import read_images
from daskred.model.plan import Master
from daskred.model.readout import Section
from daskred.products.names import master_path

COMPLETENESS = 0.98
# Limits are made for one pixel in a hundred to be missed: how far pixels scatter is measured, too.
# So many deviations beyond a threshold lie those.
AIM, BEYOND = 0.99, 2.326
Images = list[NDArray[Any]]


@dataclass(frozen=True)
class Marks:
    """What is marked of a detector, image by image.

    Parameters
    ----------
    masks
        Bits of pixels.
    columns
        Sections that are bad columns, or parts of columns.
    """

    masks: Images
    columns: list[list[Section]]


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


class Amplified(NamedTuple):
    """What one amplifier has of a master, and of what is marked by it.

    Parameters
    ----------
    mask
        Bits of its pixels.
    level
        Of the master.
    columns
        Sections of its image that are bad columns.
    first
        Row and column of the image where it begins.
    """

    mask: NDArray[np.uint8]
    level: NDArray[Any]
    columns: list[Section]
    first: tuple[int, int]

    def add_column(self, section: Section, bit: int) -> None:
        """Mark a bad column, or a part of one."""
        self.mask[section.slices] |= bit
        self.columns.append(section.moved(*self.first))


def amplifiers(marks: Marks, master: Master, out: Path) -> Iterator[Amplified]:
    """Yield what a master says of each amplifier: they have levels of their own."""
    images = read_images(str(master_path(out, master.name)))
    for amplifier in master.inputs[0].frame.readout.amplifiers:
        number, place = amplifier.target, amplifier.place
        yield Amplified(
            marks.masks[number][place.slices],
            images[number][place.slices],
            marks.columns[number],
            (place.rows[0], place.columns[0]),
        )


def surely(limits: Sequence[float]) -> float:
    """Return the limit that holds for all amplifiers; NaN where one has none."""
    return max(limits) if limits and all(map(math.isfinite, limits)) else math.nan
