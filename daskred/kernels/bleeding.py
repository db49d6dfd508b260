"""Charge that runs over: the trails that saturated stars leave along their columns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import quantiles

_SAMPLE = 2**16  # pixels that tell the background
_FEW = 3  # saturated pixels: what has fewer, as a hot pixel or a ray, does not run over
_LONGER = 1.4  # stars may be so much longer along columns than across, by guiding or optics
_TIMES = 2.0  # the light that such a star has so far from its middle
_SHARP = 3.0  # times what is above the background beside a trail; stars have no such edges
_CLEAR = 5.0  # deviations
_SURE = 4  # rows beyond the star
_GAP = 2  # rows that noise may hide
_EVEN = 0.5  # of a trail's charge there is at least between it and the star


class _Star(NamedTuple):
    """A group of saturated pixels: its middle, its columns, its size across, how far it shines."""

    row: int
    column: int
    columns: slice
    radius: float
    reach: int
    light: NDArray[np.float64]


def trails(value: NDArray[Any], saturated: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels to which charge of saturated ones has run along their columns.

    A star is about as bright along a column as across it, at the same distance from its middle.
    Where saturated pixels, or clearly more light than that, go on beyond the star in its columns,
    and end sharply to both sides, there is charge that has run over: from the star on to where it
    ends.

    Parameters
    ----------
    value
        Calibrated pixels, shape ``(y, x)``.
    saturated
        Which of them are.

    Examples
    --------
    >>> value = np.random.default_rng(1).normal(100, 3, (60, 40))
    >>> value[10:50, 20] = 900.0
    >>> saturated = np.zeros((60, 40), bool)
    >>> saturated[28:31, 19:22] = True
    >>> found = trails(value, saturated)
    >>> np.flatnonzero(found.any(axis=1))[[0, -1]].tolist(), found.sum(axis=1).max().item()
    ([10, 49], 1)
    """
    found = np.zeros(value.shape, bool)
    if not saturated.any():
        return found
    some = value.reshape(-1)[:: value.size // _SAMPLE | 1]
    some = some[np.isfinite(some)]
    if not some.size:
        return found
    low, middle, _ = quantiles(some, [0.16, 0.5, 0.84])
    level, least = np.asarray(middle, value.dtype), _CLEAR * (middle - low)
    for rows, columns, pixels in _groups(saturated):
        if np.count_nonzero(pixels) < _FEW:
            continue
        # Across it is widest, and along it longest, at its middle, also where an edge cuts it.
        row = rows.start + _highest(pixels.sum(axis=1))
        column = columns.start + _highest(pixels.sum(axis=0))
        light = _across(value[row] - level, column)
        faint = np.flatnonzero(light <= least)
        reach = math.ceil(_LONGER * (int(faint[0]) if faint.size else len(light)))
        radius = np.count_nonzero(pixels[row - rows.start]) / 2
        star = _Star(row, column, columns, radius, reach, light)
        for step in (-1, 1):
            _follow(value[row::step], saturated[row::step], found[row::step], star, level, least)
    return found & ~saturated


def _groups(saturated: NDArray[np.bool_]) -> Iterator[tuple[slice, slice, NDArray[np.bool_]]]:
    """Yield rows, columns and pixels of each group of pixels that touch.

    Examples
    --------
    >>> saturated = np.zeros((9, 9), bool)
    >>> saturated[2, 3] = saturated[3, 4] = saturated[8, 8] = True
    >>> [(rows, columns) for rows, columns, _ in _groups(saturated)]
    [(slice(2, 4, None), slice(3, 5, None)), (slice(8, 9, None), slice(8, 9, None))]
    """
    from scipy.ndimage import find_objects, label

    # Few rows and columns have any; of the others one between two groups keeps these apart.
    lines = [_with_next(np.asarray(saturated.any(axis=axis))) for axis in (1, 0)]
    labels, _ = label(saturated[np.ix_(*lines)], np.ones((3, 3), int))
    for number, places in enumerate(find_objects(labels), start=1):
        rows, columns = (
            slice(int(line[place.start]), int(line[place.stop - 1]) + 1)
            for line, place in zip(lines, places, strict=True)
        )
        yield rows, columns, labels[places] == number


def _with_next(wanted: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the places that are wanted, and the next one to each."""
    wanted = wanted.copy()
    wanted[1:] |= wanted[:-1]
    return np.flatnonzero(wanted)


def _follow(
    value: NDArray[Any],
    saturated: NDArray[np.bool_],
    found: NDArray[np.bool_],
    star: _Star,
    level: NDArray[Any],
    least: float,
) -> None:
    """Mark what has run out of a star, of the rows from its middle on to one edge."""
    height = _runs(saturated[:, star.columns])
    usual = star.radius**2 - (np.arange(star.columns.start, star.columns.stop) - star.column) ** 2
    ran = height > _LONGER * np.sqrt(np.maximum(usual, 1)) + 1
    for place in np.flatnonzero(ran & (height < len(found))):
        # What is behind the last pixel that it filled may have what is left of it.
        behind = height[place], star.columns.start + place
        found[behind] = value[behind] - level > least
    beyond = value[star.reach : star.reach + _SURE + _GAP, star.columns]
    if not (beyond - level > least).any():
        return
    first = max(star.columns.start - 2, 0)
    window = slice(first, star.columns.stop + 2)
    seen, full = value[:, window] - level, saturated[:, window]
    away = np.hypot(np.arange(len(seen))[:, np.newaxis], np.arange(*window.indices(value.shape[1]))
                    - star.column)  # fmt: skip
    expected = np.interp(away / _LONGER - 0.5, np.arange(len(star.light)), star.light)
    charge = full | (seen > _TIMES * expected + least)
    # To both sides the next pixel without charge is far below; beyond an edge there is nothing.
    sharp = charge.copy()
    last = first + seen.shape[1]
    for side, cut in (
        (slice(None), first == 0),
        (slice(None, None, -1), last == value.shape[1]),
    ):
        beside = _next_without(seen[:, side], charge[:, side], 0.0 if cut else math.inf)[:, side]
        sharp &= seen > _SHARP * beside + least
    inside = slice(star.columns.start - first, star.columns.stop - first)
    for column in range(inside.start, inside.stop):
        run = sharp[star.reach :, column]
        length = _length(run)
        if length < _SURE:
            continue
        end = star.reach + length
        line = seen[:end, column]
        charged = float(np.median(line[star.reach :]))
        if (line[: star.reach] > _EVEN * charged).all():
            found[:end, first + column] = True


def _runs(saturated: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return how many pixels of each column are saturated, from the first row on without a gap."""
    return np.asarray(np.where(saturated.all(axis=0), len(saturated), saturated.argmin(axis=0)))


def _next_without(
    values: NDArray[Any], charge: NDArray[np.bool_], otherwise: float
) -> NDArray[Any]:
    """Return for each pixel the nearest one before it, in its row, that has no charge."""
    places = np.where(charge, -1, np.arange(values.shape[1]))
    before = np.maximum.accumulate(places, axis=1)
    rows = np.arange(len(values))[:, np.newaxis]
    known = np.maximum(values[rows, np.maximum(before, 0)], 0)
    return np.where(before >= 0, np.nan_to_num(known, nan=0.0), otherwise)


def _highest(numbers: NDArray[Any]) -> int:
    """Return where a number is largest; of several places the one in the middle."""
    places = np.flatnonzero(numbers == numbers.max())
    return int(places[len(places) // 2])


def _across(row: NDArray[Any], middle: int) -> NDArray[np.float64]:
    """Return the light of a star at each distance from its middle: the fainter of both sides.

    It is above the background. Beyond the edges, and where there is no value, there is none.
    """
    reach = max(middle, len(row) - 1 - middle) + 1
    sides = np.full((2, reach + 1), math.inf)
    before, behind = row[middle::-1], row[middle:]
    sides[0, : len(before)], sides[1, : len(behind)] = before, behind
    sides[~np.isfinite(sides)] = math.inf
    light = sides.min(axis=0)
    light[~np.isfinite(light)] = 0.0
    return np.asarray(np.maximum(light, 0.0))


def _length(run: NDArray[np.bool_]) -> int:
    """Return how far a run reaches from its begin, over short gaps."""
    if not run.any():
        return 0
    places = np.flatnonzero(run)
    gaps = np.diff(places, prepend=-1) > _GAP + 1
    last = int(np.argmax(gaps)) if gaps.any() else len(places)
    return int(places[last - 1]) + 1 if last else 0
