"""Defects of more pixels than one: columns, parts of columns, and clusters of bad pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import scaled_mad
from daskred.model.readout import Section

COLUMN_SIGMA = 6.0  # of the mean of a column, over what others have
_CLIP = 5.0  # deviations of a pixel: single bad ones make no column
_SHORTEST, _NEAR = 16, 8  # rows
# Columns beside a defect of up to three, and what is compared with it.
_BESIDE = (3, 4, 5)
_STEP = 2.0  # times what these differ by: edges and traces of light are no columns
_MOST = 0.05  # of the columns: where there are more, they are what the detector is like


class Columns(NamedTuple):
    """What was found of columns.

    Parameters
    ----------
    sections
        Those that are bad, and parts of such.
    spread
        One deviation of the mean of a whole column, in deviations of pixels; infinite where columns
        are too short or too few to tell, or too many stand out.
    """

    sections: list[Section]
    spread: float


# A column is a ninth of what it is compared with, and pulls the median there so far.
PULLED = 9 / 8


def bad_columns(away: NDArray[Any], around: NDArray[Any]) -> Columns:
    """Return columns, and parts of columns, that are brighter or darker than those beside them.

    A charge trap, or a hot pixel that smears, changes all pixels of a column from some row on, each
    by less than its noise, but all together by more. Means of parts of columns are compared with
    those of other columns, part by part from the whole height down to 16 rows; where one is six
    deviations off, its ends are where the sum of what is beyond half of the step is largest (Page
    1954, Biometrika 41, 100).

    Parameters
    ----------
    away
        Shape ``(y, x)``: how far pixels are from the median of their neighbours, in deviations;
        NaN where that is not known.
    around
        These medians, in deviations.

    Examples
    --------
    >>> away = np.random.default_rng(1).normal(0, 1, (400, 60))
    >>> away[100:, 20] += 1.0
    >>> [section.columns for section in bad_columns(away, np.zeros((400, 60))).sections]
    [(20, 21)]
    """
    away = np.clip(np.where(np.isfinite(away), away, 0.0), -_CLIP, _CLIP)
    height, width = away.shape
    if height < _SHORTEST or width < 2 * max(_BESIDE) + 1:
        return Columns([], math.inf)
    whole = math.inf
    steps = np.zeros(width)  # of each column, what its clearest part is off by, and how clearly
    clear = np.zeros(width)
    sums = _running(away)
    light = _running(away + np.where(np.isfinite(around), around, 0.0))
    length = height
    while length >= _SHORTEST:
        starts = np.unique(np.linspace(0, height - length, 2 * (height // length)).astype(int))
        means = (sums[starts + length] - sums[starts]) / length
        lights = (light[starts + length] - light[starts]) / length
        for row, lit in zip(means, lights, strict=True):
            usual = float(np.median(row))
            # What columns differ by anyway, as those of a CMOS detector do, counts as noise.
            spread = max(scaled_mad(row, usual), 1 / math.sqrt(length))
            whole = spread if length == height else whole
            far = np.abs(row - usual) / spread
            better = (far > clear) & (far > COLUMN_SIGMA)
            if better.any():
                better &= _stands_out(lit)
            steps[better], clear[better] = (row - usual)[better], far[better]
        length //= 2
    found = [
        Section(_run(away[:, column], steps[column]), (column, column + 1))
        for column in np.flatnonzero(clear).tolist()
    ]
    found = [section for section in found if np.ptp(section.rows) >= _SHORTEST]
    if len(found) > max(1.0, _MOST * width):
        return Columns([], math.inf)
    return Columns(found, whole)


def _running(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return sums over the first rows, from none to all."""
    return np.vstack([np.zeros(values.shape[1]), np.cumsum(values, axis=0)])


def _stands_out(means: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which columns differ from those beside them by more than these do from each other."""
    width, first = len(means), max(_BESIDE)
    # As if light went on beyond the edges; columns there are told by their pixels alone.
    padded = np.pad(means, first, mode="reflect", reflect_type="odd")
    places = [first + n for side in (-1, 1) for n in (side * near for near in _BESIDE)]
    beside = np.stack([padded[place : place + width] for place in places])
    low, high = beside.min(axis=0), beside.max(axis=0)
    return np.asarray(np.maximum(means - high, low - means) > _STEP * (high - low) / 2)


def _run(values: NDArray[Any], step: float) -> tuple[int, int]:
    """Return the rows whose sum of values beyond half of a step is largest.

    Noise hides the last few of a run: one that ends so near to the edge ends there.
    """
    sums = np.concatenate([[0.0], np.cumsum(values * np.sign(step) - abs(step) / 2)])
    lowest = np.minimum.accumulate(sums)
    stop = int(np.argmax(sums - lowest))
    start = int(np.argmin(sums[: stop + 1]))
    height = len(values)
    return 0 if start < _NEAR else start, height if stop > height - _NEAR else stop


def clusters_of(bad: NDArray[np.bool_], least: int) -> Iterator[tuple[Section, int]]:
    """Yield where bad pixels touch each other, so many at least: the section, and their number.

    Examples
    --------
    >>> bad = np.zeros((9, 9), bool)
    >>> bad[2:4, 5:7] = bad[8, 0] = True
    >>> [(str(section), number) for section, number in clusters_of(bad, 3)]
    [('[6:7,3:4]', 4)]
    """
    from scipy.ndimage import find_objects, label

    labels, n_found = label(bad, np.ones((3, 3), int))
    numbers = np.bincount(labels.reshape(-1), minlength=n_found + 1)[1:].tolist()
    for number, place in zip(numbers, find_objects(labels), strict=True):
        if number >= least:
            rows, columns = place
            yield Section((rows.start, rows.stop), (columns.start, columns.stop)), number
