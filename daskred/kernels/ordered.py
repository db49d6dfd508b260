"""Sorted values of many pixels: ranks, sums, means and deviations of intervals of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import SIGMA_OF_MAD

Values = NDArray[Any]
Places = NDArray[np.intp]


class Ordered:
    """A strip of sorted values ``(frame, pixel)``, infinite where there is none."""

    def __init__(self, ordered: Values) -> None:
        self.ordered = ordered
        self.n_frames, self.n_pixels = ordered.shape
        self._flat = ordered.reshape(-1)
        self._at = np.arange(self.n_pixels)
        self.n_good = np.full(self.n_pixels, self.n_frames)
        if np.isinf(ordered[-1]).any():
            self.n_good = self.below(np.full(self.n_pixels, np.inf))
        # Sums of differences from one value of each pixel do not cancel.
        origin = self.take(np.maximum(self.n_good - 1, 0) // 2)
        self.origin = np.where(self.n_good > 0, origin, 0)
        self._all_sums: tuple[Values, Values] | None = None

    def only(self, which: Places) -> Ordered:
        """Return some of the pixels."""
        return Ordered(np.ascontiguousarray(self.ordered[:, which]))

    def take(self, rank: Places) -> Values:
        """Return the value of a rank, of each pixel."""
        return np.asarray(self._flat[rank * self.n_pixels + self._at])

    def below(self, bound: Values, or_equal: bool = False) -> Places:
        """Return how many values are below a bound, or equal to it."""
        converted = bound.astype(self.ordered.dtype)
        if converted.dtype != bound.dtype:
            # Compared in their own type, which is several times faster, and none on the wrong side.
            rounded = converted.astype(bound.dtype)
            wrong = rounded > bound if or_equal else rounded < bound
            step = np.nextafter(converted, -np.inf if or_equal else np.inf, dtype=converted.dtype)
            converted = np.where(wrong, step, converted)
        compare = np.less_equal if or_equal else np.less
        found = np.empty(self.n_pixels, "?")
        total: Places = np.zeros(self.n_pixels, np.intp)
        for start in range(0, self.n_frames, 255):
            count = np.zeros(self.n_pixels, "u1")
            for row in self.ordered[start : start + 255]:
                compare(row, converted, out=found)
                np.add(count, found.view("u1"), out=count)
            total += count
        return total

    def sums(
        self, low: Places, high: Places, bounds: tuple[Values, Values] | None = None
    ) -> tuple[Values, Values]:
        """Return sum and sum of squares of differences from the origin, over ranks low to high.

        Values beyond bounds count as these.
        """
        if bounds is not None:
            return self._sums(low, high, bounds)
        if self._all_sums is None:
            self._all_sums = self._sums(np.zeros_like(low), self.n_good)
        cut = np.flatnonzero((low > 0) | (high < self.n_good))
        if not cut.size:
            return self._all_sums
        if cut.size > self.n_pixels // 2:
            return self._sums(low, high)
        # Few pixels have lost values; those of the others are known.
        first, second = (total.copy() for total in self._all_sums)
        part = self.only(cut)
        part.origin = self.origin[cut]
        first[cut], second[cut] = part._sums(low[cut], high[cut])
        return first, second

    def _sums(
        self, low: Places, high: Places, bounds: tuple[Values, Values] | None = None
    ) -> tuple[Values, Values]:
        first, second = np.zeros(self.n_pixels), np.zeros(self.n_pixels)
        step = np.empty(self.n_pixels)
        # Between these ranks every pixel has values; at the ends some have.
        start, stop = int(low.max(initial=0)), int(high.min(initial=self.n_frames))
        for rank in range(int(low.min(initial=0)), int(high.max(initial=0))):
            if bounds is None:
                np.subtract(self.ordered[rank], self.origin, out=step, dtype="f8")
            else:
                step[...] = self.ordered[rank]
                np.maximum(step, bounds[0], out=step)
                np.minimum(step, bounds[1], out=step)
                np.subtract(step, self.origin, out=step)
            if not start <= rank < stop:
                np.copyto(step, 0.0, where=(rank < low) | (rank >= high))
            np.add(first, step, out=first)
            np.multiply(step, step, out=step)
            np.add(second, step, out=second)
        return first, second

    def median(self, low: Places, high: Places) -> NDArray[np.float64]:
        """Return the median over ranks low to high."""
        n = np.maximum(high - low, 1)
        lower, upper = self._ranks(low + (n - 1) // 2), self._ranks(low + n // 2)
        return (self.take(lower).astype("f8") + self.take(upper)) / 2

    def _ranks(self, ranks: Places) -> Places:
        return np.asarray(np.minimum(ranks, self.n_frames - 1))

    def mean(self, low: Places, high: Places) -> NDArray[np.float64]:
        """Return the mean over ranks low to high."""
        total, _ = self.sums(low, high)
        return np.asarray(self.origin + total / np.maximum(high - low, 1))

    def moments(self, low: Places, high: Places) -> tuple[Values, Values]:
        """Return mean and standard deviation over ranks low to high."""
        n = np.maximum(high - low, 1)
        total, squares = self.sums(low, high)
        mean = total / n
        return self.origin + mean, np.sqrt(np.maximum(squares / n - mean**2, 0.0))

    def mad(self, low: Places, high: Places, centre: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scaled median absolute deviation from a centre, over ranks low to high.

        Deviations fall towards the centre and rise behind it: of two sorted lists, the value of a
        rank is found by halving.
        """
        n = np.maximum(high - low, 1)
        if low.max(initial=0) == 0 and high.min(initial=0) == self.n_frames:
            ranks = {(self.n_frames - 1) // 2, self.n_frames // 2}
            deviations = [self._deviation_of_all(centre, rank) for rank in ranks]
            return np.asarray(SIGMA_OF_MAD * np.mean(deviations, axis=0))
        split = np.clip(self.below(centre), low, high)
        lower = self._rank_of_two(low, split, high, centre, (n - 1) // 2)
        upper = self._rank_of_two(low, split, high, centre, n // 2)
        return SIGMA_OF_MAD * (lower + upper) / 2

    def _deviation_of_all(self, centre: Values, rank: int) -> NDArray[np.float64]:
        """Return the deviation of a rank: that of the narrowest run of so many values and one."""
        least = np.full(self.n_pixels, np.inf)
        below, above = np.empty(self.n_pixels), np.empty(self.n_pixels)
        for first in range(self.n_frames - rank):
            np.subtract(centre, self.ordered[first], out=below)
            np.subtract(self.ordered[first + rank], centre, out=above)
            np.maximum(below, above, out=below)
            np.minimum(least, below, out=least)
        return least

    def _rank_of_two(
        self, low: Places, split: Places, high: Places, centre: Values, rank: Places
    ) -> NDArray[np.float64]:
        """Return the deviation of a rank, among those below and those above the split."""

        def left(number: Places) -> NDArray[np.float64]:
            value = self.take(np.clip(split - 1 - number, 0, self.n_frames - 1))
            return np.asarray(np.where(number < split - low, centre - value, np.inf))

        def right(number: Places) -> NDArray[np.float64]:
            value = self.take(np.clip(split + number, 0, self.n_frames - 1))
            return np.asarray(np.where(number < high - split, value - centre, np.inf))

        fewest = np.maximum(rank - (high - split), 0)
        most = np.minimum(rank, split - low)
        for _ in range(max(self.n_frames.bit_length(), 1)):
            middle = (fewest + most) // 2
            more = (middle < most) & (left(middle) < right(rank - middle - 1))
            fewest = np.where(more, middle + 1, fewest)
            most = np.where(more, most, middle)
        return np.minimum(left(fewest), right(rank - fewest))
