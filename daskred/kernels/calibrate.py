"""The arithmetic of calibration: what is subtracted from a frame, and what divides it."""

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
    divisor = flat if in_place else flat.copy()
    divisor[~(flat > 0)] = np.nan
    return divisor


def subtract_dark(pixels: NDArray[Any], dark: Pixels, out: Pixels) -> None:
    """Write pixels less a dark; integers never wrap.

    Parameters
    ----------
    pixels
        Shape ``(..., y, x)``, ADU, any type; may be ``out``.
    dark
        Shape ``(y, x)``, ADU. Its precision is that of the subtraction.
    out
        Shape of ``pixels``, float32 or float64; overwritten.

    Examples
    --------
    >>> out = np.empty(2, "f4")
    >>> subtract_dark(np.array([10, 200], "u2"), np.array([100.0, 100.0]), out)
    >>> out.tolist()
    [-90.0, 100.0]
    """
    exact = pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2
    if exact and dark.dtype == out.dtype:
        # Small integers are exact in any float, and two steps of one type are faster than one.
        out[...] = pixels
        np.subtract(out, dark, out=out)
    else:
        np.subtract(pixels, dark, out=out, casting="same_kind")


def divide_by_flat(pixels: NDArray[Any], flat_divisor: Pixels, out: Pixels) -> None:
    """Write pixels over a flat, as `divisor` returns it.

    Parameters
    ----------
    pixels
        Shape ``(..., y, x)``, any type; may be ``out``.
    flat_divisor
        Shape ``(y, x)``.
    out
        Shape of ``pixels``, float32 or float64; overwritten.

    Examples
    --------
    >>> out = np.empty(2)
    >>> divide_by_flat(np.array([10, 20], "u2"), np.array([1.0, 0.5]), out)
    >>> out.tolist()
    [10.0, 40.0]
    """
    if pixels is not out:
        out[...] = pixels
    np.divide(out, flat_divisor, out=out, casting="same_kind")
