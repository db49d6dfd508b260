"""Where whole numbers pile up: the level at which a detector, or its converter, is full."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def piled_up(values: NDArray[Any]) -> tuple[float, float] | None:
    """Return where whole numbers pile up, and what part of them; None where they do not.

    Where a detector, or what turns its charge into numbers, has no more room, far more pixels have
    the largest value than the one below. It need not be a card that tells it, nor a power of two.

    Examples
    --------
    >>> values = np.minimum(np.random.default_rng(1).normal(4000, 100, 10000), 4095).astype("u2")
    >>> piled_up(values)[0], piled_up(values[values < 4095]), piled_up(np.full(100, 7))
    (4095.0, None, None)
    >>> piled_up(np.full(100, 4095))
    (4095.0, 1.0)
    """
    top = values.max(initial=0)
    n_top = np.count_nonzero(values == top)
    if values.dtype.kind not in "iu":
        return None
    if n_top == values.size:  # wholly saturated, where it is as large as a converter makes it
        return (float(top), 1.0) if n_top and _is_full_scale(int(top)) else None
    few, steep = _PILE_AT_FULL_SCALE if _is_full_scale(int(top)) else _PILE
    if n_top < few:
        return None
    below = values[values < top]
    n_next = np.count_nonzero(below == below.max())
    return (float(top), n_top / values.size) if n_top >= steep * (n_next + 1) else None


# How many pixels are a pile, and how many times those of the value below; fewer at a level where
# converters of so many bits end: 4095, 16383, or these shifted.
_PILE = 20, 10
_PILE_AT_FULL_SCALE = 4, 3
_FEWEST_BITS = 8


def _is_full_scale(top: int) -> bool:
    """Whether all bits of a number are set, but for zeros at its end.

    Examples
    --------
    >>> _is_full_scale(4095), _is_full_scale(4095 * 16), _is_full_scale(50000)
    (True, True, False)
    """
    bits = top // (top & -top) if top > 0 else 0
    return bits & (bits + 1) == 0 and bits.bit_length() >= _FEWEST_BITS
