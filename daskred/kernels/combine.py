"""Combine a band of frames as a run is asked to: value, how many were used, how many rejected.

Tasks hand over each option of combining under its own name, so that these functions have many
parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from daskred.kernels.clipping import Noise
from daskred.kernels.flat import flat_tile, mark_saturated, write_lit
from daskred.kernels.median import median_over_frames
from daskred.kernels.reject import Method, Rejection, combine_frames
from daskred.kernels.scratch import scratch

Tiles = tuple[NDArray[Any], ...]
# Of all frames at once: what is made of them takes several times as much.
_CHUNK_VALUES = 2**22


def median_tile(tile: NDArray[Any]) -> Tiles:
    """Return the median over frames, and nothing else: the fastest way.

    Examples
    --------
    >>> median_tile(np.array([[[1, 5]], [[3, 2]], [[9, 4]]], "u2"))
    (array([[3., 4.]]),)
    """
    return (median_over_frames(tile),)


def median_flat_tile(tile: NDArray[Any], darks: NDArray[np.float64], **options: Any) -> Tiles:
    """Return the median over flats, and nothing else; see `daskred.kernels.flat.flat_tile`."""
    return (flat_tile(tile, darks, **options),)


def combined_tile(
    tile: NDArray[Any],
    *,
    method: Method,
    rejection: Rejection,
    limits: Sequence[float],
    noise: Noise | None,
    zeros: Sequence[float] = (),
    scales: Sequence[float] = (),
    weights: Sequence[float] = (),
    precision: DTypeLike = "f8",
) -> Tiles:
    """Return what frames combine to, how many values were used, and how many rejected.

    Its parameters are many since each option of combining is one.

    Parameters
    ----------
    tile
        Shape ``(frame, rows, x)``; NaN are no values.
    method, rejection, noise, zeros, scales, weights
        As of `daskred.kernels.reject.combine_frames`.
    limits
        For each frame the level at which it is saturated.
    precision
        What values are rounded to.
    """
    plain = method == "median" and rejection.method == "none" and not (zeros or scales)
    parts = []
    for rows in _chunks(tile.shape):
        strip = tile[:, rows]
        if plain and _all_good(strip, limits):
            parts.append(_of_all(median_over_frames(strip), len(tile)))
            continue
        combined = combine_frames(
            strip,
            method,
            rejection,
            zeros=zeros,
            scales=scales,
            weights=weights,
            limits=limits,
            noise=noise,
            precision=precision,
        )
        parts.append((combined.value, combined.n_used, combined.n_rejected))
    return _joined(parts)


def _all_good(tile: NDArray[Any], limits: Sequence[float]) -> bool:
    """Whether all frames have a value everywhere, and none is saturated."""
    lowest = min(limits)
    highest = float(tile.max())  # NaN where there is one
    return highest < lowest and (tile.dtype.kind in "iu" or math.isfinite(float(tile.min())))


def _of_all(value: NDArray[Any], n_frames: int) -> Tiles:
    """Return a combination of all values."""
    return value, np.full(value.shape, n_frames, "u2"), np.zeros(value.shape, "u2")


def combined_flat_tile(
    tile: NDArray[Any],
    darks: NDArray[np.float64],
    *,
    which: Sequence[int],
    levels: Sequence[float],
    method: Method,
    rejection: Rejection,
    limits: Sequence[float],
    noise: Noise | None,
    weights: Sequence[float] = (),
    precision: DTypeLike = "f8",
) -> Tiles:
    """Do the same with flats, each less its dark and divided by its level, which are further ones.

    Parameters
    ----------
    darks, which, levels
        As of `daskred.kernels.flat.flat_tile`.
    """
    parts = []
    if noise is not None:
        level = float(np.mean(levels))
        noise = noise[0] / level**2, noise[1] / level, 0.0
    plain = method == "median" and rejection.method == "none"
    for rows in _chunks(tile.shape):
        strip, planes = tile[:, rows], darks[:, rows]
        if plain and _all_good(strip, limits):
            value = flat_tile(strip, planes, which=which, levels=levels, precision=precision)
            parts.append(_of_all(value, len(tile)))
            continue
        lit = scratch("lit strip", strip.shape, precision)
        full = scratch("full", strip.shape[1:], "?")
        for row, raw, plane, level, limit in zip(lit, strip, which, levels, limits, strict=True):
            write_lit(raw.reshape(-1), planes[plane].reshape(-1), level, row.reshape(-1))
            mark_saturated(raw, limit, full)
            if full.any():
                row[full] = np.nan
        combined = combine_frames(
            lit, method, rejection, weights=weights, noise=noise, precision=precision
        )
        parts.append((combined.value, combined.n_used, combined.n_rejected))
    return _joined(parts)


def _chunks(shape: tuple[int, ...]) -> Iterator[slice]:
    step = max(1, _CHUNK_VALUES // (shape[0] * shape[2]))
    for start in range(0, shape[1], step):
        yield slice(start, min(start + step, shape[1]))


def _joined(parts: Sequence[Tiles]) -> Tiles:
    if len(parts) == 1:
        return parts[0]
    return tuple(np.concatenate(pieces) for pieces in zip(*parts, strict=True))
