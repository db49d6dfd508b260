"""Combine frames pixel by pixel, without the values that do not belong to the others.

The values of each pixel are sorted once. What is rejected lies at the two ends then, so that a
rejection is a search for the ends of an interval; and with running sums over the sorted values,
means and deviations of any interval cost two look-ups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from daskred.kernels.median import NETWORK_COLUMN_BYTES, sort_rows
from daskred.kernels.ordered import Ordered, Places
from daskred.kernels.scratch import scratch

Method = Literal["median", "mean", "clipped-mean", "sum", "lower-median"]
METHODS: tuple[Method, ...] = get_args(Method)
Reject = Literal["none", "sigma", "winsorized", "minmax", "percentile", "noise"]
REJECTS: tuple[Reject, ...] = get_args(Reject)

# A strip of a sorted stack and its running sums stay in the cache.
_STRIP_VALUES = 2**20
# Of winsorised values: how far they are drawn in, and by how much that narrows a Gaussian.
_WINSOR_SIGMA = 1.5
_WINSOR_NARROWS = 1.134
_WINSOR_ROUNDS = 10
Values = NDArray[Any]
Noise = tuple[float, float, float]


@dataclass(frozen=True)
class Rejection:
    """Which values of a pixel are left out.

    Parameters
    ----------
    method
        ``sigma``: further from the centre than so many deviations, again until nothing changes.
        ``winsorized``: the same, the deviation being that of values drawn in to 1.5 deviations.
        ``noise``: the same, the deviation being what gain and read noise predict (IRAF: ccdclip).
        ``minmax``: so many of the lowest and of the highest, fewer where values are missing.
        ``percentile``: further from the median than such parts of it.
    low, high
        Limits below and above: deviations, numbers of values, or parts.
    iterations
        At most so many rounds.
    centre, scale
        Of ``sigma``: median or mean; ``mad`` (the scaled median absolute deviation) or ``std``.
    """

    method: Reject = "none"
    low: float = 3.0
    high: float = 3.0
    iterations: int = 5
    centre: Literal["median", "mean"] = "median"
    scale: Literal["mad", "std"] = "mad"

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} = {value:g} is no limit: it is positive, or zero")
        if self.method == "percentile" and self.low > 1:
            raise ValueError(f"low = {self.low:g} is no part of a median: 0.1 is a tenth")
        if self.iterations < 1:
            raise ValueError(f"{self.iterations} iterations reject nothing")
        for name, value, known in (
            ("method", self.method, REJECTS),
            ("centre", self.centre, ("median", "mean")),
            ("scale", self.scale, ("mad", "std")),
        ):
            if value not in known:
                raise ValueError(f"{name} = {value!r}: there are {', '.join(known)}")


# What --reject means where nobody gives numbers.
USUAL_LIMITS: dict[Reject, tuple[float, float]] = {"minmax": (1.0, 1.0), "percentile": (0.1, 0.1)}


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


def _interval(values: Ordered, how: Rejection, noise: Noise | None) -> tuple[Places, Places]:
    """Return the ranks of the values that stay."""
    low, high = np.zeros(values.n_pixels, np.intp), values.n_good.copy()
    match how.method:
        case "none":
            return low, high
        case "minmax":
            # As IRAF has it, numbers shrink with the number of good values.
            part = values.n_good / values.n_frames
            lowest = np.floor(how.low * part + 1e-3).astype(np.intp)
            highest = np.floor(how.high * part + 1e-3).astype(np.intp)
            enough = lowest + highest < values.n_good
            return np.where(enough, lowest, 0), np.where(enough, high - highest, high)
        case "percentile":
            centre = values.median(low, high)
            bounds = centre - how.low * np.abs(centre), centre + how.high * np.abs(centre)
            return _inside(values, low, high, bounds)
    active, own = np.arange(values.n_pixels), values
    changed = active
    for _ in range(how.iterations):
        if changed is not active:  # only pixels that have lost values may lose more
            active, own = active[changed], own.only(changed)
        bounds = _bounds(own, low[active], high[active], how, noise)
        low_now, high_now = _inside(own, low[active], high[active], bounds)
        changed = np.flatnonzero((low_now != low[active]) | (high_now != high[active]))
        if not changed.size:
            break
        low[active[changed]], high[active[changed]] = low_now[changed], high_now[changed]
    return low, high


def _bounds(
    values: Ordered, low: Places, high: Places, how: Rejection, noise: Noise | None
) -> tuple[Values, Values]:
    """Return between what the values of each pixel must lie."""
    mean = scale = np.empty(0)
    if how.method == "sigma" and (how.centre == "mean" or how.scale == "std"):
        mean, scale = values.moments(low, high)
    by_mean = how.method == "sigma" and how.centre == "mean"
    centre = mean if by_mean else values.median(low, high)
    if how.method == "noise":
        if noise is None:
            raise ValueError("rejection by noise needs gain and read noise")
        floor, slope, zero = noise
        scale = np.sqrt(floor + slope * np.maximum(centre - zero, 0.0))
    elif how.method == "winsorized":
        scale = _winsorized_deviation(values, low, high, centre)
    elif how.scale == "mad":
        scale = values.mad(low, high, centre)
    return centre - how.low * scale, centre + how.high * scale


def _inside(
    values: Ordered, low: Places, high: Places, bounds: tuple[Values, Values]
) -> tuple[Places, Places]:
    """Draw an interval in to bounds; where nothing would stay, it is left as it is."""
    own_low = np.maximum(low, values.below(bounds[0]))
    own_high = np.minimum(high, values.below(bounds[1], or_equal=True))
    empty = own_high <= own_low
    return np.where(empty, low, own_low), np.where(empty, high, own_high)


def _winsorized_deviation(
    values: Ordered, low: Places, high: Places, centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the deviation of values that are drawn in to 1.5 of it, until it stays."""
    _, scale = values.moments(low, high)
    active, own = np.arange(values.n_pixels), values
    for _ in range(_WINSOR_ROUNDS):
        before, middle = scale[active], centre[active]
        first_rank, last_rank = low[active], high[active]
        bottom, top = middle - _WINSOR_SIGMA * before, middle + _WINSOR_SIGMA * before
        first = np.clip(own.below(bottom), first_rank, last_rank)
        last = np.clip(own.below(top, or_equal=True), first, last_rank)
        total, squares = (one.copy() for one in own.sums(first, last))
        for bound, number in ((bottom, first - first_rank), (top, last_rank - last)):
            step = bound - own.origin
            total += number * step
            squares += number * step**2
        n = np.maximum(last_rank - first_rank, 1)
        now = _WINSOR_NARROWS * np.sqrt(np.maximum(squares / n - (total / n) ** 2, 0.0))
        scale[active] = now
        unsettled = np.flatnonzero(np.abs(now - before) > 5e-4 * before)
        if not unsettled.size:
            break
        if unsettled.size < len(active) // 2:
            # Those that have settled stay as they are.
            active, own = active[unsettled], own.only(unsettled)
    return scale


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
            own: Values = raw
            if zeros:
                own = np.subtract(own, zeros[number], dtype="f8")
            if scales:
                own = np.divide(own, scales[number], dtype="f8")
            row[...] = own
            finite = np.isfinite(row, out=scratch("finite row", row.shape, "?"))
            if not finite.all():
                row[~finite] = np.inf
            if limits:
                full = np.greater_equal(raw, limits[number])
                if full.any():
                    row[full] = np.inf

    for start in range(0, n_pixels, width):
        where = slice(start, min(start + width, n_pixels))
        n_own = where.stop - start
        rows = scratch("combined rows", (n_frames + 1, width), dtype)[:, :n_own]
        fill(rows[:-1], where)
        values = Ordered(_sorted(rows))
        with np.errstate(invalid="ignore"):  # of pixels without any value
            low, high = _interval(values, rejection, noise)
        n = high - low
        n_used[where], n_rejected[where] = n, values.n_good - n
        if weights:
            bounds = (
                values.take(np.minimum(low, n_frames - 1)),
                values.take(np.maximum(high, 1) - 1),
            )
            fill(rows[:-1], where)
            result = _weighted(rows[:-1], weights, bounds, method == "sum")
        elif method in ("median", "lower-median"):
            lower = values.take(np.minimum(low + np.maximum(n - 1, 0) // 2, n_frames - 1))
            result = lower.astype("f8") if method == "lower-median" else values.median(low, high)
        else:
            result = values.mean(low, high) * (n if method == "sum" else 1)
        value[where] = np.where(n > 0, result, np.nan)
    shape = tile.shape[1:]
    return Combination(value.reshape(shape), n_used.reshape(shape), n_rejected.reshape(shape))


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
