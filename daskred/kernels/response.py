"""How a detector answers to light of known times: proportionally, or along a bent line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_FEW_FOR_DELAY = 4  # times
_ROUNDS = 20


class Response(NamedTuple):
    """How levels grow with the exposure time.

    Parameters
    ----------
    deviations
        Of each time the deviation of the level from the straight line through zero that faint
        levels follow, parts.
    shutter_delay_s
        By how much longer exposures are than they say; 0 where too few times tell it.
    """

    deviations: tuple[float, ...]
    shutter_delay_s: float


def response_of(times_s: Sequence[float], levels: Sequence[float]) -> Response:
    """Return how levels deviate from being proportional to the time that the shutter was open.

    A delay of the shutter bends the faint end and the detector the bright one, so that both are
    found together: level = rate * (time + delay) * (1 + bend * level).

    Parameters
    ----------
    times_s
        Different exposure times, seconds; at least three.
    levels
        The mean level of each, ADU.

    Examples
    --------
    >>> times = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    >>> linear = 1000 * (times + 0.05)
    >>> found = response_of(times, linear * (1 - 2e-6 * linear))
    >>> round(found.shutter_delay_s, 3), round(found.deviations[-1], 3)
    (0.05, -0.032)
    """
    times, found = np.asarray(times_s, "f8"), np.asarray(levels, "f8")
    if not (np.isfinite(found) & (found > 0)).all():  # an amplifier without light
        return Response(tuple([math.nan] * len(times)), 0.0)
    with_delay = len(times) >= _FEW_FOR_DELAY
    # Levels are known to a part of themselves: of each the ratio to what is expected counts.
    rate, delay, bend = float(np.median(found / times)), 0.0, 0.0
    for _ in range(_ROUNDS):
        open_s = times + delay
        expected = rate * open_s * (1 + bend * rate * open_s)
        linear = rate * open_s
        columns = [linear * (1 + 2 * bend * linear) / rate / expected, linear**2 / expected]
        if with_delay:
            columns.append(rate * (1 + 2 * bend * linear) / expected)
        terms = np.stack(columns, axis=1)
        size = np.sqrt(np.sum(terms**2, axis=0))
        steps, *_ = np.linalg.lstsq(terms / size, found / expected - 1, rcond=None)
        steps = steps / size
        rate, bend = rate + float(steps[0]), bend + float(steps[1])
        delay += float(steps[2]) if with_delay else 0.0
        if abs(steps[0]) < 1e-10 * abs(rate):
            break
    return Response(tuple((found / (rate * (times + delay)) - 1).tolist()), delay)
