"""What a master flat is divided by in the end: its level, or that of each amplifier or colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.level import light_of, sampling_step
from daskred.kernels.robust import any_floats
from daskred.model.errors import FrameError, FramesError
from daskred.model.frame import Frame
from daskred.model.readout import Readout, Section, whole

if TYPE_CHECKING:
    from daskred.options import Options

# How headers say that a sensor has no pattern of colours.
_NO_COLOURS = ("none", "mono", "no", "0")


class PartLevel(NamedTuple):
    """The level of some pixels of a master flat.

    Parameters
    ----------
    image, place
        Where they lie.
    phase
        Of a colour sensor: only those whose row and column leave these when divided by two.
    level
        What they are divided by.
    """

    image: int
    place: Section
    phase: tuple[int, int] | None
    level: float


@dataclass(frozen=True)
class MasterLevel:
    """What a master flat is divided by in the end.

    Parameters
    ----------
    whole
        The level of the whole detector; 1 for masters that are no flats.
    parts
        Where parts of images are divided by levels of their own.
    """

    whole: float = 1.0
    parts: tuple[PartLevel, ...] = ()

    def of(self, number: int, first_row: int, shape: tuple[int, ...]) -> Any:
        """Return the level of a band of an image: a number, or one for each pixel."""
        if not self.parts:
            return self.whole
        levels = np.full(shape, self.whole)
        for part in self.parts:
            if part.image == number:
                start, stop = np.clip(np.array(part.place.rows) - first_row, 0, shape[0]).tolist()
                if part.phase is None:
                    levels[start:stop, slice(*part.place.columns)] = part.level
                else:
                    row, column = part.phase
                    start += (row - first_row - start) % 2
                    first, last = part.place.columns
                    columns = slice(first + (column - first) % 2, last, 2)
                    levels[start:stop:2, columns] = part.level
        return levels

    def divide(self, band: NDArray[Any], number: int, first_row: int) -> NDArray[Any]:
        """Return a band of an image divided by its level."""
        if self.whole == 1 and not self.parts:
            return band
        return np.asarray(np.divide(band, self.of(number, first_row, band.shape), dtype="f8"))


def is_bayer(frame: Frame, options: Options, is_sky: bool = False) -> bool:
    """Whether the pixels of a colour sensor are divided by levels of their own.

    What the sky shows always is, where headers tell colours, which would pass for fringes.
    """
    told = str(frame.facts.value("bayer") or "none").strip().lower()
    if options.normalize_bayer is None or is_sky:
        return not told.startswith(_NO_COLOURS)
    return bool(options.normalize_bayer)


@any_floats
def level_of_master(
    images: Sequence[NDArray[Any]],
    readout: Readout,
    bayer: bool,
    options: Options,
    refuse: FramesError,
) -> MasterLevel:
    """Return what a master flat is divided by: its own level, over all its images.

    Parameters
    ----------
    images
        Of each image every so many rows; see `rows_of_level`.
    readout
        Tells the amplifiers.
    bayer
        Whether each of the four pixels of a colour sensor's pattern has its own level.
    options
        How levels are measured.
    refuse
        What is raised where a level is not positive.
    """
    sample = np.concatenate([image.reshape(-1) for image in images])
    whole_level = _positive(light_of(sample, options.normalize).level, refuse)
    step = rows_of_level(readout, bayer, options)
    phases: list[tuple[int, int] | None] = [None]
    if bayer:
        phases = [(0, 0), (0, 1), (1, 0), (1, 1)]
    elif not options.normalize_amplifiers:
        return MasterLevel(whole_level)
    places = [(number, whole(shape)) for number, shape in enumerate(readout.shapes)]
    if options.normalize_amplifiers:
        places = [(amplifier.target, amplifier.place) for amplifier in readout.amplifiers]
    parts = []
    for number, place in places:
        for phase in phases:
            pixels = _part(images[number], place, phase, step)
            if pixels.size:
                level = _positive(light_of(pixels.reshape(-1), options.normalize).level, refuse)
                parts.append(PartLevel(number, place, phase, level))
    return MasterLevel(whole_level, tuple(parts))


def _part(
    image: NDArray[Any], place: Section, phase: tuple[int, int] | None, step: int
) -> NDArray[Any]:
    """Return the pixels of a part of an image, of which every so many rows are given."""
    first, last = (-(-row // step) for row in place.rows)
    left, right = place.columns
    if phase is None:
        return image[first:last, left:right]
    # Steps are odd, so that rows of both parities are given, in turn.
    first += (phase[0] - first) % 2
    left += (phase[1] - left) % 2
    return image[first:last:2, left:right:2]


def rows_of_level(readout: Readout, bayer: bool, options: Options) -> int:
    """Return every how many rows the level of a master flat is measured on."""
    if options.normalize_amplifiers:
        return 1
    n_pixels = sum(shape[0] * shape[1] for shape in readout.shapes)
    step = sampling_step(n_pixels, options.normalize)
    return step | 1 if bayer else step


def _positive(level: float, refuse: FramesError) -> float:
    if level > 0:
        return level
    raise FramesError(
        tuple(
            FrameError(error.path, f"{error.reason}: its level is {level:g}")
            for error in refuse.errors
        )
    )
