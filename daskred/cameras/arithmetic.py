"""Whole numbers that camera files compute from cards, as in ``NAXIS1 - 2 * OVERSCAN``.

A parser of their own, since texts of files are nothing to be run: it knows numbers, cards,
``+ - * /`` and brackets, and is bounded in length and in size.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import lru_cache

_LONGEST = 200  # letters
_LARGEST = 2**40  # no image has so many pixels along an axis
_TOKEN = re.compile(r"\s*(?:(\d+)|([A-Za-z_]\w*)|(//|[-+*/()]))\s*", re.ASCII)
_MISSING = "cannot be computed: a number or an operator is missing"
_OPERATORS: dict[str, tuple[int, Callable[[int, int], int]]] = {
    "+": (1, operator.add),
    "-": (1, operator.sub),
    "*": (2, operator.mul),
    "/": (2, operator.floordiv),
    "//": (2, operator.floordiv),
}


def compute(text: str, card: Callable[[str], int]) -> int:
    """Return what a text comes to.

    Parameters
    ----------
    text
        The sum.
    card
        Returns the value of a card.

    Raises
    ------
    ValueError
        Saying what is wrong with the text, or with what comes of it.

    Examples
    --------
    >>> compute("(NAXIS1 - 64) / 2", {"NAXIS1": 1064}.__getitem__)
    500
    """
    values: list[int] = []
    for step in _steps(text):
        if isinstance(step, int):
            values.append(step)
        elif step in _OPERATORS:
            right, left = values.pop(), values.pop()
            if right == 0 and "/" in step:
                raise ValueError("cannot be computed: it divides by zero")
            values.append(_OPERATORS[step][1](left, right))
        else:
            values.append(card(step))
        if abs(values[-1]) > _LARGEST:
            raise ValueError("cannot be computed: it gets too large")
    return values.pop()


@lru_cache(maxsize=256)
def _steps(text: str) -> tuple[int | str, ...]:
    """Return numbers, cards and operators, each operator behind the two that it joins."""
    if len(text) > _LONGEST:
        raise ValueError(f"has more than {_LONGEST} letters")
    text = text.strip()
    steps: list[int | str] = []
    waiting: list[str] = []
    place, wants_value = 0, True
    while place < len(text) or wants_value:
        match = _TOKEN.match(text, place)
        if match is None and place == len(text):
            raise ValueError(_MISSING)
        if match is None:
            raise ValueError("can have whole numbers, cards, + - * / and brackets only")
        place = match.end()
        number, name, sign = match.groups()
        if wants_value != (sign is None or sign == "("):
            raise ValueError(_MISSING)
        if number or name:
            steps.append(int(number) if number else name)
            wants_value = False
        elif sign == "(":
            waiting.append(sign)
        else:
            _pop(waiting, steps, 1 if sign == ")" else _OPERATORS[sign][0])
            if sign != ")":
                waiting.append(sign)
            elif not waiting:
                raise ValueError("cannot be computed: a bracket is missing")
            else:
                waiting.pop()
            wants_value = sign != ")"
    _pop(waiting, steps, 1)
    if waiting:
        raise ValueError("cannot be computed: a bracket is missing")
    return tuple(steps)


def _pop(waiting: list[str], steps: list[int | str], rank: int) -> None:
    """Take the operators that are done before one of a rank."""
    while waiting and waiting[-1] != "(" and _OPERATORS[waiting[-1]][0] >= rank:
        steps.append(waiting.pop())
