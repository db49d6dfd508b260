"""One look at a frame before bands of it are prepared: what is small, and of the whole frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.oddities import wrapped_in
from daskred.fits.checksum import sum_of_rows
from daskred.fits.pixels import bands_of
from daskred.kernels.overscan import Curve, fit_levels, row_levels
from daskred.model.frame import Frame
from daskred.model.readout import Amplifier, Section


@dataclass(frozen=True)
class Look:
    """What is known of a frame that is prepared when it has been looked at once, whole.

    Parameters
    ----------
    raw_sum
        The sum of its raw pixels.
    n_wrapped
        How many of them have wrapped.
    curves
        For each amplifier the curve through the levels of its overscan, where one is fitted.
    """

    raw_sum: int
    n_wrapped: int
    curves: tuple[Curve | None, ...]


def look_at(frame: Frame) -> Look:
    """Read a frame that is to be prepared once, whole.

    Raises
    ------
    FrameError
        When it cannot be read.
    """
    readout = frame.readout
    fits = readout.overscan is not None and readout.overscan.fit != "none"
    levels: dict[int, list[NDArray[np.float64]]] = {}
    total = row = n_wrapped = 0
    for number, image in enumerate(frame.images):
        start = 0
        for raw in bands_of(frame.path, image):
            total += sum_of_rows(raw, row)
            n_wrapped += wrapped_in(raw)
            for which, amplifier in enumerate(readout.amplifiers):
                rows = _shared_rows(amplifier, start, len(raw))
                beside = amplifier.beside
                if not (fits and beside and readout.overscan) or amplifier.image != number:
                    continue
                if rows.start < rows.stop:
                    strip = side_by_side(raw[rows], beside)
                    found = row_levels(strip, readout.overscan.statistic)
                    levels.setdefault(which, []).append(found)
            start += len(raw)
            row += len(raw)
    curves = tuple(
        fit_levels(np.concatenate(levels[which]), readout.overscan)
        if which in levels and readout.overscan
        else None
        for which in range(len(readout.amplifiers))
    )
    return Look(total % 2**64, n_wrapped, curves)


def side_by_side(rows: NDArray[Any], strips: Sequence[Section]) -> NDArray[Any]:
    """Return the pixels of strips of some rows, one strip beside the other."""
    if len(strips) == 1:
        return rows[:, slice(*strips[0].columns)]
    return np.concatenate([rows[:, slice(*strip.columns)] for strip in strips], axis=1)


def _shared_rows(amplifier: Amplifier, first_row: int, n_rows: int) -> slice:
    """Return which of some rows of a raw image an amplifier's light-sensitive pixels have."""
    top, bottom = amplifier.data.rows
    return slice(max(top - first_row, 0), min(bottom - first_row, n_rows))
