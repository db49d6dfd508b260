"""Combine frames pixel by pixel, without the values that do not belong to the others.

The values of each pixel are sorted once. What is rejected lies at the two ends then, so that a
rejection is a search for the ends of an interval; and with running sums over the sorted values,
means and deviations of any interval cost two look-ups. `combine_frames` has a parameter for each
option of combining.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from daskred.kernels.clipping import Noise, RejectionEntry
from daskred.kernels.flat import mark_saturated
from daskred.kernels.median import (
    NETWORK_COLUMN_BYTES,
    network_kernels,
    network_table,
    sort_rows,
)
from daskred.kernels.ordered import Ordered, Places
from daskred.kernels.scratch import scratch
from daskred.model.registry import names_in

Method = Literal["median", "mean", "clipped-mean", "sum", "lower-median"]
METHODS: tuple[Method, ...] = get_args(Method)
_COMPILED_METHODS = ("median", "mean", "lower-median", "sum")

# A strip of a sorted stack and its running sums stay in the cache.
_STRIP_VALUES = 2**20
Values = NDArray[Any]


USUAL = -math.inf  # stands for the limit that is usual of a method
_NO_USUAL = (3.0, 3.0)  # which nothing goes by


@dataclass(frozen=True)
class Rejection:
    """Which values of a pixel are left out.

    Parameters
    ----------
    method
        ``none``, or the name of a file in `daskred.kernels.rejections`, each of which says what it
        does.
    low, high
        Limits below and above: deviations, numbers of values, or parts; what is usual of the method
        where they are not given.
    iterations
        At most so many rounds.
    centre, scale
        Of ``sigma``: median or mean; ``mad`` (the scaled median absolute deviation) or ``std``.

    Examples
    --------
    >>> Rejection("sigma", high=2.5).low, Rejection("minmax").low
    (3.0, 1.0)
    """

    method: str = "none"
    low: float = USUAL
    high: float = USUAL
    iterations: int = 5
    centre: Literal["median", "mean"] = "median"
    scale: Literal["mad", "std"] = "mad"

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"{self.iterations} iterations reject nothing")
        for name, value, known in (
            ("method", self.method, ("none", *names_in("kernels/rejections"))),
            ("centre", self.centre, ("median", "mean")),
            ("scale", self.scale, ("mad", "std")),
        ):
            if value not in known:
                raise ValueError(f"{name} = {value!r}: there are {', '.join(known)}")
        usual = _NO_USUAL if self.method == "none" else self.entry.usual
        for name, limit in zip(("low", "high"), usual, strict=True):
            value = getattr(self, name)
            if value == USUAL:
                object.__setattr__(self, name, limit)
            elif not 0 <= value < math.inf:
                raise ValueError(f"{name} = {value:g} is no limit: it is positive, or zero")
        if self.method != "none" and self.low > (most := self.entry.most):
            raise ValueError(
                f"low = {self.low:g} is no limit of {self.method}: it is {most:g} at most"
            )

    @property
    def entry(self) -> RejectionEntry:
        """What the file of the method says."""
        return entry_of(self.method)

    @property
    def is_relative(self) -> bool:
        """Whether limits are parts of the value."""
        return self.method != "none" and self.entry.relative


def entry_of(method: str) -> RejectionEntry:
    """Return what the file of a rejection says."""
    entry: RejectionEntry = import_module(f"daskred.kernels.rejections.{method}").REJECTION
    return entry


@dataclass(frozen=True, eq=False)
class Combination:
    """What frames combine to.

    Parameters
    ----------
    value
        Shape ``(y, x)``, float64; NaN where no frame has a good value.
    n_used
        How many values it is made of.
    n_rejected
        How many good values were left out.
    """

    value: NDArray[np.float64]
    n_used: NDArray[np.uint16]
    n_rejected: NDArray[np.uint16]


def _interval(values: Ordered, rejection: Rejection, noise: Noise | None) -> tuple[Places, Places]:
    """Return the ranks of the values that stay."""
    if rejection.method == "none":
        return np.zeros(values.n_pixels, np.intp), values.n_good.copy()
    return rejection.entry.interval(values, rejection, noise)


def combine_frames(
    tile: NDArray[Any],
    method: Method = "median",
    rejection: Rejection | None = None,
    *,
    zeros: Sequence[float] = (),
    scales: Sequence[float] = (),
    weights: Sequence[float] = (),
    limits: Sequence[float] = (),
    noise: Noise | None = None,
    precision: DTypeLike = "f8",
) -> Combination:
    """Combine frames pixel by pixel.

    Its parameters are many since each option of combining is one.

    Parameters
    ----------
    tile
        Shape ``(frame, y, x)``; NaN are values that there are not.
    method
        ``median``, ``mean``, ``clipped-mean`` (the mean; sigma clipping where no other rejection
        is asked for), ``sum`` or ``lower-median`` (of an even number the lower one, as IRAF's).
    rejection
        Which values are left out; None for none.
    zeros, scales
        For each frame what is subtracted, and what it is divided by afterwards.
    weights
        For each frame; means and sums only.
    limits
        For each frame the level at which raw values are saturated, and no values.
    noise
        Variance without signal, by how much it grows with the signal, and the value that is no
        signal: for ``noise``.
    precision
        float32 or float64, which values are rounded to before they are sorted.

    Raises
    ------
    ValueError
        When weights come with a median, or a rejection by noise without the noise.

    Examples
    --------
    >>> tile = np.array([[[1.0]], [[2.0]], [[3.0]], [[99.0]]])
    >>> found = combine_frames(tile, "mean", Rejection("minmax", low=0, high=1))
    >>> found.value.tolist(), found.n_used.tolist(), found.n_rejected.tolist()
    ([[2.0]], [[3]], [[1]])
    """
    if weights and method not in ("mean", "clipped-mean", "sum"):
        raise ValueError(f"weights have no meaning for a {method}")
    rejection = rejection or Rejection()
    if method == "clipped-mean" and rejection.method == "none":
        rejection = replace(rejection, method="sigma")
    pixels = tile.reshape(len(tile), -1)
    n_frames, n_pixels = pixels.shape
    dtype = np.dtype(precision)
    value = np.empty(n_pixels)
    n_used, n_rejected = np.empty(n_pixels, "u2"), np.empty(n_pixels, "u2")
    width = max(256, _STRIP_VALUES // n_frames)

    def fill(rows: Values, where: slice) -> None:
        for number, (row, raw) in enumerate(zip(rows, pixels[:, where], strict=True)):
            values: Values = raw
            if zeros:
                values = np.subtract(values, zeros[number], dtype="f8")
            if scales:
                values = np.divide(values, scales[number], dtype="f8")
            row[...] = values
            if raw.dtype.kind == "f" or scales:
                finite = np.isfinite(row, out=scratch("finite row", row.shape, "?"))
                if not finite.all():
                    row[~finite] = np.inf
            if limits:
                full = scratch("full row", row.shape, "?")
                mark_saturated(raw, limits[number], full)
                if full.any():
                    row[full] = np.inf

    for start in range(0, n_pixels, width):
        where = slice(start, min(start + width, n_pixels))
        rows = scratch("combined rows", (n_frames + 1, width), dtype)[:, : where.stop - start]
        fill(rows[:-1], where)
        strip = _combined(rows, method, rejection, noise)
        n_used[where], n_rejected[where] = strip.n_used, strip.n_rejected
        if weights:
            fill(rows[:-1], where)
            strip.value = _weighted(rows[:-1], weights, strip.bounds, method == "sum")
        value[where] = np.where(strip.n_used > 0, strip.value, np.nan)
        value[where] += 0.0  # no zero has a sign
    shape = tile.shape[1:]
    return Combination(value.reshape(shape), n_used.reshape(shape), n_rejected.reshape(shape))


@dataclass(eq=False)
class _Strip:
    """What some pixels combine to, and the least and the largest value that stay of each."""

    value: Values
    bounds: tuple[Values, Values]
    n_used: Values
    n_rejected: Values


def _combined(rows: Values, method: Method, rejection: Rejection, noise: Noise | None) -> _Strip:
    """Combine values, infinite where there are none; the last row is spare, all are overwritten."""
    number = 0 if rejection.method == "none" else rejection.entry.compiled
    kernels = None if number is None else network_kernels(len(rows) - 1, rows.dtype)
    if kernels and not (rejection.method == "noise" and noise is None):
        terms = (
            number,
            _COMPILED_METHODS.index("mean" if method == "clipped-mean" else method),
            rejection.iterations,
            rejection.centre == "mean",
            rejection.scale == "std",
            rejection.low,
            rejection.high,
            *(noise or (0.0, 0.0, 0.0)),
        )
        return _by_compiled(kernels, rows[:-1], terms)
    return _by_numpy(rows, method, rejection, noise)


def _by_compiled(kernels: Any, rows: Values, terms: tuple[Any, ...]) -> _Strip:
    n_frames, n_pixels = rows.shape
    value, bottom, top = np.empty((3, n_pixels))
    n_used, n_rejected = np.empty((2, n_pixels), "u2")
    kernels.combine(rows, network_table(n_frames), value, bottom, top, n_used, n_rejected, terms)
    return _Strip(value, (bottom, top), n_used, n_rejected)


def _by_numpy(rows: Values, method: Method, rejection: Rejection, noise: Noise | None) -> _Strip:
    values = Ordered(_sorted(rows))
    with np.errstate(invalid="ignore"):  # of pixels without any value
        low, high = _interval(values, rejection, noise)
    n, last = high - low, values.n_frames - 1
    if method == "lower-median":
        result: Values = values.take(np.minimum(low + np.maximum(n - 1, 0) // 2, last))
    elif method == "median":
        result = values.median(low, high)
    else:
        result = values.mean(low, high) * (n if method == "sum" else 1)
    bounds = values.take(np.minimum(low, last)), values.take(np.maximum(high, 1) - 1)
    return _Strip(result, bounds, n, values.n_good - n)


def _sorted(rows: Values) -> Values:
    """Return all rows but the last, which is spare, sorted pixel by pixel."""
    n_frames = len(rows) - 1
    if n_frames * rows.itemsize > NETWORK_COLUMN_BYTES:
        return np.sort(rows[:-1], axis=0)
    return np.array(sort_rows(rows))


def _weighted(
    rows: Values, weights: Sequence[float], bounds: tuple[Values, Values], as_sum: bool
) -> NDArray[np.float64]:
    """Return the weighted mean, or sum, of the values within bounds."""
    total, all_weights = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    for row, weight in zip(rows, weights, strict=True):
        inside = (row >= bounds[0]) & (row <= bounds[1]) & np.isfinite(row)
        total += np.where(inside, row, 0.0) * weight
        all_weights += inside * weight
    return total if as_sum else total / np.where(all_weights > 0, all_weights, np.nan)
