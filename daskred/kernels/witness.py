"""Do frames belong together? What a sparse sample of them says, by their own noise.

Bias frames, darks and flats are asked much the same, which makes the file a little longer.

All figures are robust: stars, cosmic rays and hot pixels do not move them. A group that drifts
slowly stays one; one that makes a step falls apart there.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.combine import median_tile
from daskred.kernels.robust import SIGMA_OF_MAD, medians, quantiles

Samples = NDArray[np.float32]
CERTAIN = 6.0  # standard deviations: one in a thousand million
FAR = 4.0
HOT = 8.0  # sigma above their neighbours
FEW_HOT = 6
_REAL = 3.0  # times what noise makes of a pattern's power
FEW_PIXELS = 64
_ENOUGH_PIXELS = 1000  # for where the middle is, and what is far from it
_ROUNDS = 5
_ENOUGH_FLATS = 64  # for how noisy flats are
_LIT = 0.2  # of the light of bright pixels: what is less is no lit pixel
_FEW_PIECES = 12
_WANDERING = 3.0  # times the range of those that belong together: then it is no step


@dataclass(frozen=True)
class Verdict:
    """What one check says of the frames of a group.

    Parameters
    ----------
    name
        Of the check.
    figures
        One for each frame.
    worst
        That of the whole group, for the header.
    parts
        The frames, by numbers, that belong together; one part where all do, the largest first.
    """

    name: str
    figures: tuple[float, ...]
    worst: float
    parts: tuple[tuple[int, ...], ...]


def _median(values: NDArray[Any], axis: Any = None) -> Any:
    """Return medians, of the pixels that have a value."""
    if np.isfinite(values).all():
        return medians(values, axis)
    with warnings.catch_warnings(action="ignore"):  # of rows in which no pixel has a value
        return np.nanmedian(values, axis=axis)


def _few(rows: NDArray[Any]) -> NDArray[Any]:
    """Return some pixels of each frame: enough for where the middle is."""
    return rows[:, :: rows.shape[1] // _ENOUGH_PIXELS | 1]


def _medians_along(values: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return medians along one axis, of many short rows as quickly as masters are made."""
    if not np.isfinite(values).all():
        return np.asarray(_median(values, axis))
    stack = np.ascontiguousarray(np.moveaxis(values, axis, 0), "f4")
    flat = median_tile(stack.reshape(len(stack), 1, -1))[0]
    return np.asarray(flat).reshape(stack.shape[1:])


def _spreads(values: NDArray[Any]) -> NDArray[Any]:
    """Return the standard deviation of each frame's values, without those far out.

    Deviations of whole numbers have a coarse median, which only says what is far.
    """
    rows = values.reshape(len(values), -1)
    few = _few(rows)
    middle = _median(few, 1)[:, np.newaxis]
    coarse = SIGMA_OF_MAD * _median(np.abs(few - middle), 1)
    far = np.where(coarse > 0, FAR * coarse, np.inf)[:, np.newaxis].astype(rows.dtype)
    squares = np.clip(rows - middle, -far, far) ** 2
    mean = np.mean if np.isfinite(squares).all() else np.nanmean
    return np.asarray(np.sqrt(mean(squares, axis=1)))


def _parts(figures: NDArray[Any], step: float) -> tuple[tuple[int, ...], ...]:
    """Cut frames apart where their figures, in order, make a step; the largest part first."""
    order = np.argsort(figures, kind="stable")
    cuts = np.flatnonzero(np.diff(figures[order]) > step) + 1
    parts = [tuple(sorted(part.tolist())) for part in np.split(order, cuts)]
    return tuple(sorted(parts, key=lambda part: (-len(part), part)))


def _stepwise(name: str, figures: NDArray[Any], step: float) -> Verdict:
    """Cut frames apart where their figures make a step, larger than they differ otherwise."""
    parts = _parts(figures, step)
    usual = figures[list(parts[0])]
    parts = _parts(figures, max(step, _WANDERING * float(np.ptp(usual))))
    worst = float(np.diff(np.sort(figures)).max(initial=0.0))
    return Verdict(name, tuple(figures.tolist()), worst, parts)


def _local(values: NDArray[Any]) -> NDArray[Any]:
    """Return pixels less the median of their piece of a row: what is left is the fine pattern."""
    return np.asarray(values - _medians_along(values, -1)[..., np.newaxis])


def _relative(values: NDArray[Any]) -> NDArray[Any]:
    """Return by what part pixels are brighter than their piece of a row."""
    return np.asarray(values / _medians_along(values, -1)[..., np.newaxis] - 1)


def _slopes(local: NDArray[Any], pattern: NDArray[Any], noise: float) -> tuple[Any, float]:
    """Return what part of a pattern each frame has, and how uncertain that is.

    Pixels far beyond the noise are left to other checks. Where noise makes all of the pattern, it
    tells nothing.
    """
    known = np.isfinite(pattern) & (np.abs(pattern) < HOT * noise)
    expected = pattern[known]
    power = float(np.sum(expected * expected))
    by_noise = expected.size * math.pi / 2 * noise**2 / len(local)
    if expected.size < FEW_PIXELS or power <= _REAL * by_noise:
        return np.ones(len(local)), math.inf
    values = local[:, known]
    values = np.where(np.abs(values) < HOT * noise, values, expected)
    slopes = np.einsum("ip,p->i", values, expected) / power
    usual = float(medians(slopes))
    return (slopes / usual if usual > 0 else slopes), noise / math.sqrt(power)


def _hot_ratios(values: NDArray[Any], pattern: NDArray[Any], noise: float) -> tuple[Any, float]:
    """Return how much of its hot pixels' charge each frame has, and how uncertain that is."""
    hot = np.isfinite(pattern) & (pattern > HOT * noise)
    n_hot = np.count_nonzero(hot)
    if n_hot < FEW_HOT:
        return np.ones(len(values)), math.inf
    ratios = values[:, hot] / pattern[hot]
    error = 1.25 * noise * float(_median(1 / pattern[hot])) / math.sqrt(n_hot)
    # Of few hot pixels some flicker.
    return _median(ratios, 1), max(error, 0.1 / math.sqrt(n_hot))


def unlit_verdicts(
    samples: Samples, limits: Mapping[str, float], hot_pixels: Samples | None = None
) -> list[Verdict]:
    """Say whether bias frames, or darks, belong together.

    Parameters
    ----------
    samples
        Shape ``(frame, row, piece, pixel)``, ADU.
    limits
        By name, of the checks that are made.
    hot_pixels
        Shape ``(frame, pixel)``: by how much pixels that are hot are above one beside them.

    Returns
    -------
    list of Verdict
        Of each check that can be made: not of frames without noise.

    Examples
    --------
    >>> frames = np.random.default_rng(1).normal(100, 5, (5, 12, 24, 16)).astype("f4")
    >>> frames[3] += 400
    >>> [(v.name, v.parts) for v in unlit_verdicts(frames, {"offset": 5.0})]
    [('offset', ((0, 1, 2, 4), (3,)))]
    """
    n_frames = len(samples)
    if n_frames < 2:
        return []
    local = _local(samples)
    pattern = _medians_along(local, 0)
    # Each frame has its share in the middle, which takes some of its noise away.
    spreads = _spreads(local - pattern) * math.sqrt(n_frames / (n_frames - 1))
    noise = float(medians(spreads))
    if not noise > 0:
        return []

    def offset(limit: float) -> Verdict:
        few = _few(samples.reshape(n_frames, -1))
        levels = _median(few - _medians_along(few, 0), 1) / max(noise, 1 / 3)
        return _stepwise("offset", np.asarray(levels), limit)

    def hot(limit: float) -> Verdict:
        values = local.reshape(n_frames, -1) if hot_pixels is None else hot_pixels
        ratios, error = _hot_ratios(values, _medians_along(values, 0), math.sqrt(2) * noise)
        return _stepwise("hot", ratios, max(limit, CERTAIN * error))

    return _made(
        limits,
        {
            "offset": offset,
            "pattern": lambda limit: _pattern(local, pattern, noise, limit),
            "hot": hot,
            "scatter": lambda limit: _scatter(spreads, noise, samples[0].size, limit),
        },
    )


def _made(
    limits: Mapping[str, float], checks: Mapping[str, Callable[[float], Verdict]]
) -> list[Verdict]:
    return [check(limits[name]) for name, check in checks.items() if name in limits]


def _pattern(local: NDArray[Any], pattern: NDArray[Any], noise: float, limit: float) -> Verdict:
    slopes, error = _slopes(local, pattern, noise)
    verdict = _stepwise("pattern", slopes, max(limit, CERTAIN * error))
    worst = float(np.min(slopes)) if math.isfinite(error) else 1.0
    return Verdict(verdict.name, verdict.figures, worst, verdict.parts)


def _scatter(spreads: NDArray[Any], usual: float, n_pixels: int, limit: float) -> Verdict:
    """Leave out frames that are much noisier than the others."""
    ratios = spreads / usual
    # Of three frames, that in the middle is left with the least noise.
    few = 1.5 if len(spreads) < 5 else 1.0
    beyond = few * max(limit, 1 + CERTAIN * 1.2 / math.sqrt(2 * n_pixels))
    noisy = tuple(np.flatnonzero(ratios > beyond).tolist())
    quiet = tuple(np.flatnonzero(~(ratios > beyond)).tolist())
    parts = (quiet, *((n,) for n in noisy)) if quiet else (tuple(range(len(spreads))),)
    return Verdict("scatter", tuple(ratios.tolist()), float(ratios.max()), parts)


def lit_verdicts(
    samples: Samples, levels: Sequence[float], limits: Mapping[str, float]
) -> list[Verdict]:
    """Say whether flats belong together.

    Parameters
    ----------
    samples
        Shape ``(frame, row, piece, pixel)``, each less its dark and over its level.
    levels
        These, ADU.
    limits
        By name, of the checks that are made.

    Examples
    --------
    >>> random = np.random.default_rng(1)
    >>> flats = random.normal(1, 0.01, (5, 12, 24, 16)).astype("f4")
    >>> flats[3] *= 1 + 0.2 * np.linspace(-1, 1, 24)[:, np.newaxis] ** 2
    >>> [v.parts for v in lit_verdicts(flats, [1e4] * 5, {"shape": 0.02})]
    [((0, 1, 2, 4), (3,))]
    """
    n_frames = len(samples)
    if n_frames < 2:
        return []
    middle = _medians_along(samples, 0)
    known = middle[np.isfinite(middle)]
    bright = quantiles(known, [0.95])[0] if known.size else 0.0
    lit = middle > _LIT * bright
    if not bright > 0 or np.count_nonzero(lit) < FEW_PIXELS:
        return []
    brightness = _median(_few(samples[:, lit]), 1)
    usual = brightness * np.asarray(levels) / float(medians(brightness * np.asarray(levels)))
    samples = samples / brightness.reshape(-1, 1, 1, 1)
    middle = _medians_along(samples, 0)
    ratios = np.where(lit, samples / np.where(lit, middle, 1), np.nan)
    pieces = np.count_nonzero(lit, -1) * 2 > lit.shape[-1]
    if np.count_nonzero(pieces) < _FEW_PIECES:
        return []
    smooth = _medians_along(ratios[:, pieces], -1)
    local = ratios[:, pieces] - smooth[..., np.newaxis]
    about_middle = _spreads(local)
    spreads = about_middle * math.sqrt(n_frames / (n_frames - 1))
    noise = _noisier(_without_middle(about_middle), usual)
    if not medians(spreads) > 0:
        return []
    shapes = _shapes(smooth, pieces)
    floor = CERTAIN * 1.25 * float(medians(spreads)) / math.sqrt(samples.shape[-1])
    relative, pattern = _relative(samples[:, pieces]), _relative(middle[pieces])

    def shape(limit: float) -> Verdict:
        return _stepwise("shape", shapes, max(limit, floor))

    return _made(
        limits,
        {
            "shape": shape,
            "pattern": lambda limit: _pattern(relative, pattern, float(medians(spreads)), limit),
            "scatter": lambda limit: _scatter(noise, 1.0, local[0].size, limit),
        },
    )


def _without_middle(spreads: NDArray[Any]) -> NDArray[Any]:
    """Return how frames scatter by themselves, of how they scatter about their median.

    That has noise of its own, which counts for those that have less, and a share of each frame's.

    Examples
    --------
    >>> frames = np.random.default_rng(1).normal(0, [[1.0], [1.0], [4.0], [4.0], [4.0]], (5, 9999))
    >>> _without_middle(np.std(frames - np.median(frames, axis=0), axis=1)).round().tolist()
    [1.0, 1.0, 4.0, 4.0, 4.0]
    """
    found = spreads
    for _ in range(_ROUNDS):
        total = np.sum(1 / found)
        variance = spreads**2 - math.pi / 2 * len(found) / total**2 + 2 * found / total
        found = np.sqrt(np.maximum(variance, spreads**2 / 4))
    return found


def _noisier(spreads: NDArray[Any], brightness: NDArray[Any]) -> NDArray[Any]:
    """Return how many times noisier flats are than the others, by their brightness, let them be.

    Of a brighter flat the relative noise is less at least as photons have it; that of a fainter one
    is more at most as the noise of reading has it.

    Examples
    --------
    >>> photons = np.array([100.0, 100.0, 1600.0, 1600.0])
    >>> float(_noisier(photons**-0.5, photons).max())
    1.0
    """
    some = slice(None, None, max(1, len(spreads) // _ENOUGH_FLATS))
    fainter = brightness[some] / brightness[:, np.newaxis]
    most = spreads[some] * np.where(fainter > 1, fainter, np.sqrt(fainter))
    return np.asarray(medians(spreads[:, np.newaxis] / most, 1))


def _shapes(smooth: NDArray[Any], pieces: NDArray[Any]) -> NDArray[Any]:
    """Return how far the light of each flat is from that of the others, but for a slope.

    Twilight has slopes, and lamps drift; another filter, slit or lamp has another shape. The signs
    tell two shapes apart where a group has two: along the direction in which they differ most.
    """
    rows, columns = np.nonzero(pieces)
    # Sums in a fixed order, so that figures are the same on all machines.
    plane, _ = np.linalg.qr(np.stack([np.ones(len(rows)), rows, columns], axis=1).astype("f8"))
    relative = np.nan_to_num(smooth / _median(smooth, 1)[:, np.newaxis] - 1, nan=0.0)
    # Stars of a twilight, and dust that moved, are few pieces.
    for _ in range(2):
        limit = 5 * _spreads(relative)[:, np.newaxis] + 1e-12
        relative = np.clip(relative, -limit, limit)
        slopes = np.einsum("ip,pk->ik", relative, plane)
        relative = relative - np.einsum("ik,pk->ip", slopes, plane)
    sizes = np.sqrt(np.mean(relative**2, axis=1))
    direction = relative[int(np.argmax(sizes))]
    power = float(np.einsum("p,p->", direction, direction))
    if not power > 0:
        return np.asarray(sizes)
    return np.asarray(np.einsum("ip,p->i", relative, direction) / math.sqrt(power * len(rows)))
