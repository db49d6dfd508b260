"""What samples of science frames say of them: level, noise, and whether their dark fits.

Samples are pieces of rows of some frames, shape ``(pixel, frame, piece)``: then the medians of all
pieces are made together, as those of masters are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.median import median_over_frames
from daskred.kernels.robust import middle_of, middles_of
from daskred.kernels.witness import CERTAIN, FAR, FEW_HOT, FEW_PIXELS, HOT

_WARM = 4.0  # sigma above the pixels beside it, in a dark, which has less noise than a frame
_FEW_PIECES = 12
_MUCH_NOISE = 1.0  # with as much no piece of many pixels has one value by chance
_AS_MUCH = 1.5  # what is missing to a larger part is no pattern
_MOSTLY_REAL = 0.5  # of the power of a pattern, the rest being noise
_OF_MEAN_DEVIATION = math.sqrt(math.pi / 2)


def science_figures(
    raw: NDArray[Any],
    calibrated: NDArray[Any],
    hot_pixels: tuple[NDArray[Any], NDArray[Any]] | None = None,
    pattern: tuple[NDArray[Any], int] | None = None,
) -> list[dict[str, float]]:
    """Return what samples of science frames say of each, by the names of the checks.

    Parameters
    ----------
    raw
        Shape ``(pixel, frame, piece)``, before they are calibrated.
    calibrated
        What comes out.
    hot_pixels
        By how much hot pixels are above one beside them, in the frames, shape ``(frame, pixel)``,
        and in their dark, ``(pixel,)``; None where there is none.
    pattern
        The fine pattern of the dark, or of the bias, as `without_parity` has it, shape ``(pixel,
        piece)``, and of how many frames that is the median.

    Returns
    -------
    list of dict
        ``level`` (NaN where no pixel has a value) and ``noise``, in units of pixels; ``negative``,
        ``saturated``: parts of the pixels; ``residue``: how much of the hot pixels, or of the
        pattern, is left, or was taken too much; ``blank``: what part has one value, without noise.

    Examples
    --------
    >>> raw = np.random.default_rng(1).normal(1000, 5, (16, 1, 64))
    >>> (found,) = science_figures(raw, raw - 900)
    >>> round(found["level"]), round(found["noise"]), found["negative"]
    (100, 5, 0.0)
    """
    levels, _, noises = _flattened(calibrated)
    residues = np.zeros(raw.shape[1])
    if hot_pixels is not None or pattern is not None:
        _, local, raw_noises = _flattened(raw)
        if hot_pixels is not None:
            residues = _residues(*hot_pixels, math.sqrt(2) * raw_noises)
        if pattern is not None:
            residues = np.maximum(residues, _pattern_residues(local, *pattern, raw_noises))
    n_finite = np.count_nonzero(np.isfinite(calibrated), axis=(0, 2))
    known = raw
    n_known = np.full(raw.shape[1], raw.size // raw.shape[1])
    if raw.dtype.kind == "f":
        is_known = np.isfinite(raw)
        known = np.where(is_known, raw, -np.inf)
        n_known = np.count_nonzero(is_known, axis=(0, 2))
    most = known.max(axis=0)
    largest = most.max(axis=1)[:, np.newaxis]
    negative = np.count_nonzero(calibrated < 0, axis=(0, 2)) / np.maximum(n_finite, 1)
    saturated = np.count_nonzero(known == largest, axis=(0, 2)) / np.maximum(n_known, 1)
    # Pieces without noise, where there is some elsewhere, were not read out.
    alike = (known.min(axis=0) == most) & (most < largest) & np.isfinite(most)
    blank = np.where(noises >= _MUCH_NOISE, np.mean(alike, axis=1), 0.0)
    columns = [levels, noises, negative, saturated, residues, blank]
    for column in columns:
        column[(n_finite == 0) | (n_known == 0)] = 0.0
    levels[(n_finite == 0) | (n_known == 0)] = math.nan
    names = ("level", "noise", "negative", "saturated", "residue", "blank")
    return [dict(zip(names, row, strict=True)) for row in np.stack(columns, axis=1).tolist()]


def flat_pieces(pieces: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return pieces of rows, each less its median, and these.

    Parameters
    ----------
    pieces
        Shape ``(pixel, ...)``.

    Examples
    --------
    >>> local, levels = flat_pieces(np.array([[1], [2], [9]]))
    >>> local.tolist(), levels.tolist()
    ([[-1.0], [0.0], [7.0]], [2.0])
    """
    levels = median_over_frames(pieces).astype("f4")
    return np.subtract(pieces, levels, dtype="f4"), levels


def _flattened(
    pieces: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float64]]:
    """Return the levels of frames, pieces of their rows without theirs, and their noises.

    Level and noise are those of the middle piece: stars and hot pixels are in few of them; and
    whole numbers do not make means coarse.
    """
    local, levels = flat_pieces(pieces)
    width = len(local)
    deviations = np.abs(local).sum(axis=0) / width
    middle = width // 2
    # The middle of so few pixels has its share of the noise.
    share = math.sqrt(middle / max(middle - 0.5, 0.5))
    known = np.isfinite(deviations)
    level = middles_of(levels, known).astype("f8")
    noise = middles_of(deviations, known).astype("f8") * _OF_MEAN_DEVIATION * share
    for frame in np.flatnonzero(~known.any(axis=1)):  # each piece has a pixel without a value
        values = pieces[:, frame][np.isfinite(pieces[:, frame])]
        level[frame], noise[frame] = middle_of(values) if values.size else math.nan, 0.0
    return level, local, noise


def _residues(
    raw: NDArray[Any], dark: NDArray[Any], noises: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what part of the hot pixels of a dark is left in frames, or is missing in them."""
    found = np.zeros(len(raw))
    left = raw - dark
    for frame, noise in enumerate(noises.tolist()):
        hot = dark > _WARM * noise
        n_hot = np.count_nonzero(hot)
        if not noise > 0 or n_hot < FEW_HOT:
            continue
        ratio = abs(middle_of(left[frame][hot] / dark[hot]))
        error = noise / (middle_of(dark[hot]) * math.sqrt(n_hot))
        found[frame] = ratio if ratio > CERTAIN * error else 0.0
    return found


def _pattern_residues(
    local: NDArray[np.float32],
    pattern: NDArray[np.float32],
    n_frames: int,
    noises: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return what part of the pattern of a dark is not in frames, to which it is added then.

    A dark of few frames is mostly noise, which is in no other frame: then nothing is said. Nor
    where a frame has more of it, as pixels that answer to light alike may make a lit one have.
    """
    residues = np.zeros(len(noises))
    if (len(local), local.shape[2]) != pattern.shape:
        return residues
    local = without_parity(local)
    pattern = pattern[:, np.newaxis]
    scale = noises.astype("f4")[:, np.newaxis]
    known = np.isfinite(local) & (np.abs(pattern) < HOT * scale)
    n_known = np.count_nonzero(known, axis=(0, 2))
    expected = np.where(known, pattern, np.float32(0))
    # Piece by piece, so that a step between two amplifiers is in few of them.
    powers = np.square(expected).sum(axis=0)
    power = powers.sum(axis=1, dtype="f8")
    real = 1 - n_known * math.pi / 2 * noises**2 / n_frames / np.maximum(power, 1e-30)
    asked = (n_known >= FEW_PIXELS) & (noises > 0) & (real >= _MOSTLY_REAL)
    if not asked.any():
        return residues
    found = np.where(known, local, np.float32(0))
    np.minimum(found, FAR * scale, out=found)
    np.maximum(found, -FAR * scale, out=found)
    products = (found * expected).sum(axis=0)
    for frame in np.flatnonzero(asked):
        strong = powers[frame] > 0
        if np.count_nonzero(strong) < _FEW_PIECES:
            continue
        shares = products[frame][strong] / powers[frame][strong]
        missing = 1 - middle_of(shares) / real[frame]
        error = 1.25 * noises[frame] / math.sqrt(power[frame]) / real[frame]
        if missing > CERTAIN * error and missing < _AS_MUCH:
            residues[frame] = missing
    return residues


def without_parity(pieces: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return pieces without what is the same in every other pixel, as colours and channels are.

    Examples
    --------
    >>> without_parity(np.array([1, 7, 1, 8, 2, 9], "f4")).tolist()
    [0.0, -1.0, 0.0, 0.0, 1.0, 1.0]
    """
    found = np.empty_like(pieces)
    for parity in range(min(len(pieces), 2)):
        found[parity::2] = flat_pieces(pieces[parity::2])[0]
    return found
