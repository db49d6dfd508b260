"""The response of a detector made linear."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.scratch import scratch

Signal = NDArray[np.float64]


def linear_by_table(
    signal: Signal, table: Sequence[tuple[float, float]], saturated: NDArray[np.bool_]
) -> float:
    """Make a signal linear by a table, in place; return the highest signal that is not saturated.

    Parameters
    ----------
    signal
        ADU above the bias.
    table
        Pairs of measured and linear ADU, rising, in between straight lines.
    saturated
        Where the signal tells nothing.

    Examples
    --------
    >>> signal = np.array([-2.0, 0.0, 50.0])
    >>> linear_by_table(signal, [(0.0, 0.0), (100.0, 150.0)], np.zeros(3, bool)), signal.tolist()
    (50.0, [-2.0, 0.0, 75.0])
    """
    measured, linear = np.array(table).T
    highest = np.max(signal, where=~saturated & np.isfinite(signal), initial=-np.inf)
    # Below the table, as noise around zero is, one ADU stays one ADU.
    below = signal + (linear[0] - measured[0])
    inside = np.interp(signal, measured, linear)
    np.copyto(signal, np.where(signal < measured[0], below, inside))
    return float(highest)


def linear_by_polynomial(signal: Signal, coefficients: Sequence[float]) -> None:
    """Make a signal linear by ``c1 * x + c2 * x**2 + ...``, in place.

    Examples
    --------
    >>> signal = np.array([10.0])
    >>> linear_by_polynomial(signal, [1.0, 0.01])
    >>> signal.tolist()
    [11.0]
    """
    total = scratch("linear signal", signal.shape, "f8")
    total[...] = 0.0
    for coefficient in reversed(coefficients):
        total += coefficient
        total *= signal
    signal[...] = total
