"""The arithmetic of one frame: subtract the dark, divide by the flat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.floating[Any]]


def effective_dark(dark: Pixels | None, bias: Pixels | None, scale: float) -> Pixels | None:
    """Return what is subtracted from a frame: the dark, the bias, or a dark scaled by time.

    Parameters
    ----------
    dark, bias
        Masters of shape ``(y, x)``, ADU, or None.
    scale
        Exposure time of the frame over that of the dark. Where it is not 1, the dark current is
        scaled, ``bias + scale * (dark - bias)``, in float64.

    Examples
    --------
    >>> effective_dark(np.array([130.0]), np.array([100.0]), 0.5)
    array([115.])
    """
    if dark is None or scale == 1:
        return bias if dark is None else dark
    if bias is None:
        raise ValueError("a dark can only be scaled where there is a bias")
    current = np.subtract(dark, bias, dtype="f8")
    current *= scale
    current += bias
    return current


def sum_of_terms(planes: Sequence[Pixels], factors: Sequence[float]) -> Pixels:
    """Return the sum of masters times factors, in float64.

    Examples
    --------
    >>> sum_of_terms([np.array([100.0]), np.array([130.0])], [0.5, 0.5])
    array([115.])
    """
    total = np.zeros(planes[0].shape)
    for plane, factor in zip(planes, factors, strict=True):
        total += np.multiply(plane, factor, dtype="f8")
    return total


def effective_sigma(dark: Pixels | None, bias: Pixels | None, scale: float) -> Pixels | None:
    """Return the uncertainty of what `effective_dark` returns, of those of dark and bias.

    Examples
    --------
    >>> effective_sigma(np.array([4.0]), np.array([6.0]), 0.5)
    array([3.60555128])
    """
    if dark is None or scale == 1:
        return bias if dark is None else dark
    if bias is None:
        return scale * dark
    return np.asarray(np.hypot(scale * dark, (1 - scale) * bias, dtype="f8"))


def divisor(flat: Pixels, in_place: bool = False) -> Pixels:
    """Return a flat to divide by: NaN where it is not positive, so that nothing becomes infinite.

    Parameters
    ----------
    flat
        The master flat.
    in_place
        Whether it may be overwritten.

    Examples
    --------
    >>> divisor(np.array([1.0, 0.0, -0.1]))
    array([ 1., nan, nan])
    """
    own = flat if in_place else flat.copy()
    own[~(flat > 0)] = np.nan
    return own


def calibrate(
    raw: NDArray[Any], dark: Pixels | None, flat_divisor: Pixels | None, out: Pixels
) -> Pixels:
    """Return ``(raw - dark) / flat``.

    Parameters
    ----------
    raw
        Shape ``(..., y, x)``, ADU, any type; integers never wrap.
    dark
        Shape ``(y, x)``, ADU, or None. Its precision is that of the subtraction.
    flat_divisor
        Shape ``(y, x)``, as `divisor` returns it, or None.
    out
        Shape of ``raw``, float32 or float64; overwritten.

    Returns
    -------
    ndarray
        ``out``.

    Examples
    --------
    >>> raw = np.array([[10, 200]], dtype="u2")
    >>> calibrate(raw, np.array([[100.0, 100.0]]), np.array([[1.0, 0.5]]), np.empty((1, 2)))
    array([[-90., 200.]])
    """
    exact = raw.dtype.kind in "iu" and raw.dtype.itemsize <= 2
    if dark is None:
        out[...] = raw
    elif exact and dark.dtype == out.dtype:
        # Small integers are exact in any float, and two steps of one type are faster than one.
        out[...] = raw
        np.subtract(out, dark, out=out)
    else:
        np.subtract(raw, dark, out=out, casting="same_kind")
    if flat_divisor is not None:
        np.divide(out, flat_divisor, out=out, casting="same_kind")
    return out
