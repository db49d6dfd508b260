"""What a sample of a science frame says of it: its level, its noise, and whether its dark fits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import middle_of
from daskred.kernels.witness import CERTAIN, FAR, FEW_HOT, FEW_PIXELS, HOT

_WARM = 4.0  # sigma above the pixels beside it, in a dark, which has less noise than a frame
_FEW_PIECES = 12
_AS_MUCH = 1.5  # what is missing to a larger part is no pattern
_MOSTLY_REAL = 0.5  # of the power of a pattern, the rest being noise
_OF_MEAN_DEVIATION = math.sqrt(math.pi / 2)


def science_figures(
    raw: NDArray[Any],
    calibrated: NDArray[Any],
    hot_pixels: tuple[NDArray[Any], NDArray[Any]] | None = None,
    pattern: tuple[NDArray[Any], int] | None = None,
) -> dict[str, float]:
    """Return what a sample of a science frame says of it, by the names of the checks.

    Parameters
    ----------
    raw
        Shape ``(piece, pixel)``, before it is calibrated.
    calibrated
        What comes out.
    hot_pixels
        By how much hot pixels are above one beside them, in the frame and in its dark; None where
        there is none.
    pattern
        The fine pattern of the dark, or of the bias, as `without_parity` has it, and of how many
        frames that is the median.

    Returns
    -------
    dict
        ``level`` (NaN where no pixel has a value) and ``noise``, in units of pixels; ``negative``,
        ``saturated``: parts of the pixels; ``residue``: how much of the hot pixels, or of the
        pattern, is left, or was taken too much.

    Examples
    --------
    >>> raw = np.random.default_rng(1).normal(1000, 5, (64, 16))
    >>> found = science_figures(raw, raw - 900)
    >>> round(found["level"]), round(found["noise"]), found["negative"]
    (100, 5, 0.0)
    """
    known = raw if raw.dtype.kind in "iu" else raw[np.isfinite(raw)]
    finite = np.isfinite(calibrated)
    if not finite.any() or not known.size:
        nothing = dict.fromkeys(("noise", "negative", "saturated", "residue"), 0.0)
        return {"level": math.nan, **nothing}
    level, _, noise = _flattened(calibrated)
    residues = [0.0]
    if hot_pixels is not None or pattern is not None:
        _, local, raw_noise = _flattened(raw)
        if hot_pixels is not None:
            residues.append(_residue(*hot_pixels, math.sqrt(2) * raw_noise))
        if pattern is not None:
            residues.append(_pattern_residue(local, *pattern, raw_noise))
    return {
        "level": level,
        "noise": noise,
        "negative": float(np.count_nonzero(calibrated < 0) / np.count_nonzero(finite)),
        "saturated": float(np.count_nonzero(known == known.max()) / known.size),
        "residue": max(residues),
    }


def flat_pieces(pieces: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return pieces of rows, each less its middle value, and these.

    Examples
    --------
    >>> flat_pieces(np.array([[1, 2, 9]]))
    (array([[-1.,  0.,  7.]], dtype=float32), array([2.], dtype=float32))
    """
    middle = pieces.shape[1] // 2
    levels = np.partition(pieces, middle, axis=1)[:, middle].astype("f4")
    return np.subtract(pieces, levels[:, np.newaxis], dtype="f4"), levels


def _flattened(pieces: NDArray[Any]) -> tuple[float, NDArray[np.float32], float]:
    """Return the level of pieces of rows, what they are without theirs, and their noise.

    Level and noise are those of the middle piece: stars and hot pixels are in few of them; and
    whole numbers do not make means coarse.
    """
    local, levels = flat_pieces(pieces)
    deviations = np.einsum("ij->i", np.abs(local)) / local.shape[1]
    if not (known := np.isfinite(deviations)).all():
        if not known.any():  # each has a pixel without a value
            return float(np.nanmedian(pieces)), local, 0.0
        deviations, levels = deviations[known], levels[known]
    middle = local.shape[1] // 2
    # The middle of so few pixels has its share of the noise.
    share = math.sqrt(middle / max(middle - 0.5, 0.5))
    return middle_of(levels), local, middle_of(deviations) * _OF_MEAN_DEVIATION * share


def _residue(raw: NDArray[Any], dark: NDArray[Any], noise: float) -> float:
    """Return what part of the hot pixels of a dark is left in a frame, or is missing in it."""
    left = raw - dark
    hot = dark > _WARM * noise
    n_hot = np.count_nonzero(hot)
    if not noise > 0 or n_hot < FEW_HOT:
        return 0.0
    ratio = abs(middle_of(left[hot] / dark[hot]))
    error = noise / (middle_of(dark[hot]) * math.sqrt(n_hot))
    return ratio if ratio > CERTAIN * error else 0.0


def _pattern_residue(
    local: NDArray[np.float32], pattern: NDArray[np.float32], n_frames: int, noise: float
) -> float:
    """Return what part of the pattern of a dark is not in a frame, to which it is added then.

    A dark of few frames is mostly noise, which is in no other frame: then nothing is said. Nor
    where a frame has more of it, as pixels that answer to light alike may make a lit one have.
    """
    local = without_parity(local)
    known = np.isfinite(local) & np.isfinite(pattern) & (np.abs(pattern) < HOT * noise)
    if local.shape != pattern.shape or np.count_nonzero(known) < FEW_PIXELS or not noise > 0:
        return 0.0
    expected = np.where(known, pattern, np.float32(0))
    # Piece by piece, so that a step between two amplifiers is in few of them.
    powers = np.einsum("ij,ij->i", expected, expected)
    power = float(np.sum(powers))
    real = 1 - np.count_nonzero(known) * math.pi / 2 * noise**2 / n_frames / max(power, 1e-30)
    if real < _MOSTLY_REAL:
        return 0.0
    found = np.clip(np.where(known, local, np.float32(0)), -FAR * noise, FAR * noise)
    strong = powers > 0
    if np.count_nonzero(strong) < _FEW_PIECES:
        return 0.0
    shares = np.einsum("ij,ij->i", found, expected)[strong] / powers[strong]
    missing = 1 - middle_of(shares) / real
    error = 1.25 * noise / math.sqrt(power) / real
    return missing if missing > CERTAIN * error and missing < _AS_MUCH else 0.0


def without_parity(pieces: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return pieces without what is the same in every other pixel, as colours and channels are.

    Examples
    --------
    >>> without_parity(np.array([[1, 7, 1, 8, 2, 9]], "f4")).tolist()
    [[0.0, -1.0, 0.0, 0.0, 1.0, 1.0]]
    """
    found = np.empty_like(pieces)
    for parity in range(min(pieces.shape[1], 2)):
        found[:, parity::2] = flat_pieces(pieces[:, parity::2])[0]
    return found
