"""How the light of stars in a frame differs from that in the frames beside it.

A cloud takes light away, a jump of the telescope moves it, a trail or a satellite brings light to
where there was none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import medians

_BESIDE = 4  # frames, before and after
_FEW_BESIDE = 3  # of fewer nobody knows which is the odd one
_ALIKE = 0.6  # correlation of the light of two frames of one field
_FEW_BINS = 12  # with stars: of fewer nothing is said
_MUCH_MORE = 1.3  # times what any frame beside it has there
_MOST = 0.8  # of bins
_COSMIC = 2  # bins that one cosmic ray can fill


@dataclass(frozen=True)
class Comparison:
    """A frame beside those before and after it.

    Parameters
    ----------
    like
        The correlation of their light, from -1 to 1.
    share
        What part of the light of their stars it has at most, but for a few: a cloud dims all.
    more
        How much light it has where they have none, as a part of theirs.
    is_between
        Whether frames of one field are before and after it.
    """

    like: float
    share: float
    more: float
    is_between: bool


def compared(maps: Sequence[NDArray[Any]]) -> list[Comparison | None]:
    """Compare the light of each frame with that of the frames beside it.

    Parameters
    ----------
    maps
        For each frame that of its light, see `daskred.kernels.stars`, in the order of time.

    Returns
    -------
    list
        None where too few of the frames beside it are of one field, or they have hardly any stars.

    Examples
    --------
    >>> field = np.random.default_rng(1).pareto(1, 128)
    >>> fields = [field, field, field / 2, field, field[::-1], field, field]
    >>> found = compared(fields)
    >>> [round(found[n].share, 2) for n in (1, 2)], [round(found[n].like) for n in (2, 4)]
    ([1.0, 0.25], [1, 0])
    """
    light = np.array(maps, "f8")
    likes = _Likes(light)
    fields = [_field(likes, number, len(light)) for number in range(len(light))]
    found: list[Comparison | None] = [None] * len(light)
    for size in range(_FEW_BESIDE, _BESIDE + 1):
        numbers = [number for number, field in enumerate(fields) if len(field) == size]
        if numbers:
            beside = [fields[number] for number in numbers]
            for number, comparison in zip(numbers, _beside(light, numbers, beside), strict=True):
                found[number] = comparison
    return found


class _Likes:
    """How like each other maps of light are: their correlations, none of which is asked for twice.

    A level map is like no other.
    """

    def __init__(self, light: NDArray[np.float64]) -> None:
        unit, n = _unit(light), len(light)
        # Those that are compared are near each other.
        self._near = [
            np.sum(unit[: n - step] * unit[step:], axis=1).tolist()
            for step in range(min(n, 2 * _BESIDE + 1))
        ]

    def of(self, first: int, second: int) -> float:
        """Return the correlation of two maps that are near each other."""
        step = abs(first - second)
        return float(self._near[step][min(first, second)])


def _field(likes: _Likes, number: int, n_frames: int) -> list[int]:
    """Return the frames beside one that show its field, or that most of them show."""
    # As many before as after, where there are.
    first = max(0, min(number - _BESIDE // 2, n_frames - _BESIDE - 1))
    near = [n for n in range(first, min(first + _BESIDE + 1, n_frames)) if n != number]
    its = [n for n in near if likes.of(number, n) > _ALIKE]
    if its:
        return its
    fields = [[m for m in near if m == n or likes.of(n, m) > _ALIKE] for n in near]
    return max(fields, key=len, default=[])


def _beside(
    light: NDArray[np.float64], numbers: Sequence[int], fields: Sequence[Sequence[int]]
) -> Iterator[Comparison | None]:
    """Compare frames with fields of as many frames each."""
    own, others = light[numbers], light[np.array(fields)]
    usual = medians(others, 1)
    largest = others.max(axis=1)
    # Stars may drift into the next bin; what one cosmic ray can bring is little.
    theirs = largest.copy()
    np.maximum(theirs[:, 1:], largest[:, :-1], out=theirs[:, 1:])
    np.maximum(theirs[:, :-1], largest[:, 1:], out=theirs[:, :-1])
    more = np.sort(np.clip(own - _MUCH_MORE * theirs, 0, None), axis=1)[:, :-_COSMIC].sum(axis=1)
    total = usual.sum(axis=1)
    likes = np.sum(_unit(own) * _unit(usual), axis=1)
    for place, number in enumerate(numbers):
        if np.count_nonzero(usual[place]) < _FEW_BINS:
            yield None
            continue
        yield Comparison(
            float(likes[place]),
            _share(own[place], usual[place]),
            float(more[place] / total[place]),
            min(fields[place]) < number < max(fields[place]),
        )


def _share(own: NDArray[np.float64], usual: NDArray[np.float64]) -> float:
    """Return the ratio of the light of two maps, that of the bins in which most is left."""
    ratios = np.sort(own[usual > 0] / usual[usual > 0])
    return float(ratios[int(_MOST * (len(ratios) - 1))] ** 2)


def _unit(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return maps as vectors whose products are correlations; zeros of a level map."""
    above = light - light.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.sum(above**2, axis=1, keepdims=True))
    return np.asarray(np.divide(above, lengths, out=np.zeros_like(above), where=lengths > 0))
