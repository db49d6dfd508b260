"""The median over frames, by a selection network.

A sorting network is a fixed list of comparators, each of which puts two rows in order pixel by
pixel. Only the comparators that the middle rows depend on are kept. On rows of pixels a
comparator is one ``np.minimum`` and one ``np.maximum``, which run at the speed of the cache and
without the interpreter lock. Compiled kernels do the same with a few pixels at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from daskred.kernels.compiled import compiled_kernels
from daskred.kernels.scratch import scratch

# Of one row of a strip: its comparators take longer than their calls, and still find it in cache.
STRIP_BYTES = 2**17
# Of one row of a strip that compiled kernels take: they read it once, and long calls share cores.
_COMPILED_STRIP_BYTES = 2**16
# Of a whole strip, however many rows it has.
SCRATCH_BYTES = 2**23
# Of all values of one pixel: with more, columns are partitioned one by one, since a network grows
# faster than its number of rows, and the cache does not (``python -m benchmarks median``).
NETWORK_COLUMN_BYTES = 800
Keeps = Literal["both", "smaller", "larger"]
_KEEPS: tuple[Keeps, ...] = get_args(Keeps)  # in the order of the compiled kernels
_COMPILED_TYPES = "Hhfd"
Fill = Callable[[NDArray[Any], Any], None]


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


@lru_cache(maxsize=16)
def _sorting_network(n_rows: int) -> tuple[tuple[int, int], ...]:
    return tuple(_merge_sort(n_rows))


@lru_cache(maxsize=64)
def network_table(n_rows: int, wanted: tuple[int, ...] | None = None) -> NDArray[np.uint16]:
    """Return a network as compiled kernels take it: for some ranks, or for all.

    Examples
    --------
    >>> network_table(3, (1,)).tolist()
    [0, 2, 0, 0, 1, 2, 1, 2, 1]
    """
    if wanted is None:
        steps = [(first, second, 0) for first, second in _sorting_network(n_rows)]
    else:
        steps = [
            (first, second, _KEEPS.index(k))
            for first, second, k in selection_network(n_rows, wanted)
        ]
    return np.array(steps, "u2").reshape(-1)


def network_kernels(n_rows: int, dtype: np.dtype[Any]) -> Any:
    """Return the compiled kernels where they sort so many values of a type; None otherwise."""
    if n_rows * dtype.itemsize > NETWORK_COLUMN_BYTES:
        return None
    return compiled_kernels() if dtype.char in _COMPILED_TYPES and dtype.isnative else None


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


def sort_rows(strip: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the rows of a strip sorted pixel by pixel; the last is spare, all are overwritten."""
    rows = list(strip)
    spare = rows.pop()
    for first, second in _sorting_network(len(rows)):
        np.minimum(rows[first], rows[second], out=spare)
        np.maximum(rows[first], rows[second], out=rows[second])
        rows[first], spare = spare, rows[first]
    return rows


def _by_network(strip: NDArray[Any], low: int, high: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two ranks of each column; the strip's last row is spare, all are overwritten.

    A comparator passes NaN on to both its rows, so one NaN in a column reaches the result.
    """
    rows = list(strip)
    _select(rows, rows.pop(), (low,) if low == high else (low, high))
    return rows[low], rows[high]


def _by_partition(strip: NDArray[Any], low: int, high: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Do the same column by column."""
    columns = np.ascontiguousarray(strip[:-1].T)
    columns.partition((low, high) if low != high else low, axis=1)
    lower, upper = columns[:, low], columns[:, high]
    if strip.dtype.kind == "f":
        lower[np.isnan(strip[:-1]).any(axis=0)] = np.nan
    return lower, upper


def _nan_median(columns: NDArray[Any]) -> NDArray[np.float64]:
    """Median of each column's numbers; NaN for a column without any."""
    ordered = np.sort(columns, axis=0)  # NaN last
    n_good = np.count_nonzero(~np.isnan(ordered), axis=0)
    places = np.arange(columns.shape[1])
    low = ordered[np.maximum(n_good - 1, 0) // 2, places].astype("f8")
    high = ordered[n_good // 2 % len(ordered), places].astype("f8")
    return np.where(n_good > 0, (low + high) / 2, np.nan)


def median_of_rows(fill: Fill, n_rows: int, n_pixels: int, dtype: DTypeLike) -> NDArray[np.float64]:
    """Return the median of each column of rows that are made strip by strip.

    Parameters
    ----------
    fill
        Called with an array ``(n_rows, n)`` to be filled and with the pixels wanted, a slice or an
        array of n numbers.
    n_rows, n_pixels
        Number of values that each median is taken of, and number of medians.
    dtype
        Of the rows.
    """
    low, high = (n_rows - 1) // 2, n_rows // 2
    result = np.empty(n_pixels)
    dtype = np.dtype(dtype)
    kernels = network_kernels(n_rows, dtype)
    row_bytes = _COMPILED_STRIP_BYTES if kernels else STRIP_BYTES
    reduce = _by_network if n_rows * dtype.itemsize <= NETWORK_COLUMN_BYTES else _by_partition
    width = max(1, min(row_bytes, SCRATCH_BYTES // (n_rows + 1)) // dtype.itemsize)
    memory = scratch("strip", (n_rows + 1, min(width, max(n_pixels, 1))), dtype)
    for start in range(0, n_pixels, width):
        stop = min(start + width, n_pixels)
        strip, out = memory[:, : stop - start], result[start:stop]
        fill(strip[:-1], slice(start, stop))
        if kernels:
            kernels.median(strip[:-1], network_table(n_rows, (low, high)), out)
            continue
        lower, upper = reduce(strip, low, high)
        np.add(lower, 0.0, out=out)  # no zero has a sign, whichever of two was taken
        if low != high:
            out += upper
            out /= 2
    return _without_nan(result, fill, n_rows, dtype)


def _without_nan(
    medians: NDArray[np.float64], fill: Fill, n_rows: int, dtype: np.dtype[Any]
) -> NDArray[np.float64]:
    """Return medians, those of columns that have NaN being made of their numbers."""
    if dtype.kind == "f" and (bad := np.flatnonzero(np.isnan(medians))).size:
        columns = np.empty((n_rows, bad.size), dtype)
        fill(columns, bad)
        medians[bad] = _nan_median(columns)
    return medians


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
    pixels = stack.reshape(len(stack), -1)

    def fill(rows: NDArray[Any], where: Any) -> None:
        rows[...] = pixels[:, where]

    n_rows, n_pixels = pixels.shape
    kernels = network_kernels(n_rows, pixels.dtype)
    if kernels and pixels.strides[1] == pixels.itemsize:  # nothing has to be copied
        medians = np.empty(n_pixels)
        wanted = (n_rows - 1) // 2, n_rows // 2
        kernels.median(pixels, network_table(n_rows, wanted), medians)
        medians = _without_nan(medians, fill, n_rows, pixels.dtype)
    else:
        medians = median_of_rows(fill, n_rows, n_pixels, pixels.dtype)
    return medians.reshape(stack.shape[1:])
