"""The median over frames, by a selection network.

A sorting network is a fixed list of comparators, each of which puts two rows in order pixel by
pixel. Only the comparators that the middle rows depend on are kept. On rows of pixels a
comparator is one ``np.minimum`` and one ``np.maximum``, which run at the speed of the cache and
without the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

STRIP_PIXELS = 32768
Keeps = Literal["both", "smaller", "larger"]


def _merge_sort(n_rows: int) -> Iterator[tuple[int, int]]:
    """Yield the comparators of Batcher's merge-exchange sort (Knuth, TAOCP 3, algorithm 5.2.2M)."""
    if n_rows < 2:
        return
    top = 1 << ((n_rows - 1).bit_length() - 1)
    span = top
    while span:
        step, remainder, distance = top, 0, span
        while True:
            for row in range(n_rows - distance):
                if row & span == remainder:
                    yield row, row + distance
            if step == span:
                break
            distance, step, remainder = step - span, step >> 1, span
        span >>= 1


@lru_cache(maxsize=64)
def selection_network(n_rows: int, wanted: tuple[int, ...]) -> tuple[tuple[int, int, Keeps], ...]:
    """Return the comparators that bring the wanted ranks into their places.

    Parameters
    ----------
    n_rows
        Number of rows to be sorted.
    wanted
        Ranks, from 0 for the smallest.

    Returns
    -------
    tuple of (row, row, keeps)
        Afterwards the first row holds the smaller values and the second the larger ones; only
        the rows that ``keeps`` names are needed further on.

    Examples
    --------
    >>> selection_network(3, (1,))
    ((0, 2, 'both'), (0, 1, 'larger'), (1, 2, 'smaller'))
    """
    needed = set(wanted)
    kept: list[tuple[int, int, Keeps]] = []
    for first, second in reversed(list(_merge_sort(n_rows))):
        if first not in needed and second not in needed:
            continue
        keeps: Keeps = "both"
        if second not in needed:
            keeps = "smaller"
        elif first not in needed:
            keeps = "larger"
        kept.append((first, second, keeps))
        needed |= {first, second}
    return tuple(reversed(kept))


def _select(rows: list[NDArray[Any]], spare: NDArray[Any], wanted: tuple[int, ...]) -> None:
    """Bring wanted ranks into their places of a list of scratch rows."""
    for first, second, keeps in selection_network(len(rows), wanted):
        if keeps == "both":
            np.minimum(rows[first], rows[second], out=spare)
            np.maximum(rows[first], rows[second], out=rows[second])
            rows[first], spare = spare, rows[first]
        elif keeps == "smaller":
            np.minimum(rows[first], rows[second], out=rows[first])
        else:
            np.maximum(rows[first], rows[second], out=rows[second])


def _nan_median(columns: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Median of each column's numbers; NaN for a column without any."""
    ordered = np.sort(columns, axis=0)  # NaN last
    n_good = np.count_nonzero(~np.isnan(ordered), axis=0)
    places = np.arange(columns.shape[1])
    low = ordered[np.maximum(n_good - 1, 0) // 2, places].astype("f8")
    high = ordered[n_good // 2 % len(ordered), places].astype("f8")
    return np.where(n_good > 0, (low + high) / 2, np.nan)


def median_over_frames(stack: NDArray[Any]) -> NDArray[np.float64]:
    """Return the per-pixel median over frames.

    Parameters
    ----------
    stack
        Shape ``(frame, ...)``, any integer or floating type; not changed.

    Returns
    -------
    ndarray of float64
        Shape ``stack.shape[1:]``, equal to ``numpy.median(stack.astype("f8"), axis=0)`` to the
        bit; where some pixels of a column are NaN, the median of the others.

    Examples
    --------
    >>> median_over_frames(np.array([[1, 5], [3, 2], [9, 4]], dtype="u2"))
    array([3., 4.])
    """
    n_frames = len(stack)
    pixels = stack.reshape(n_frames, -1)
    n_pixels = pixels.shape[1]
    low, high = (n_frames - 1) // 2, n_frames // 2
    wanted = (low,) if low == high else (low, high)
    result = np.empty(n_pixels)
    scratch = np.empty((n_frames + 1, min(STRIP_PIXELS, max(n_pixels, 1))), pixels.dtype)
    for start in range(0, n_pixels, STRIP_PIXELS):
        stop = min(start + STRIP_PIXELS, n_pixels)
        strip = scratch[:, : stop - start]
        strip[:-1] = pixels[:, start:stop]
        rows = list(strip)
        _select(rows, rows.pop(), wanted)
        out = result[start:stop]
        out[...] = rows[low]
        if low != high:
            out += rows[high]
            out /= 2
    if pixels.dtype.kind == "f":
        # A comparator passes NaN on to both its rows, so one NaN in a column reaches the result.
        bad = np.flatnonzero(np.isnan(result))
        if bad.size:
            result[bad] = _nan_median(pixels[:, bad])
    return result.reshape(stack.shape[1:])
