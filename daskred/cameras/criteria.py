"""What must agree before frames belong together: one fact, compared as a value."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

WHERE_ABSENT = ("agrees", "differs")


@dataclass(frozen=True)
class Criterion:
    """What must agree before frames belong together; see ``[[criterion]]`` in ``default.toml``.

    Parameters
    ----------
    name
        In the user's words: ``gain setting``.
    fact
        Which fact it compares.
    frames
        Kinds of masters whose frames must agree in it.
    masters
        Kinds of masters that must agree in it with the frames that they calibrate.
    tolerance
        How far numbers may be apart.
    unit
        Of numbers.
    turn
        Where numbers begin anew, as 360 of angles; 0 where they never do.
    exact
        Whether texts of other cases or blanks differ.
    absent
        Whether frames whose header does not tell it agree with all others, or differ from them; or
        the value that they have.
    differs
        Whether masters that differ are refused, or used with a warning where none is nearer.
    """

    name: str
    fact: str
    frames: frozenset[str]
    masters: frozenset[str]
    tolerance: float = 0.0
    unit: str = ""
    turn: float = 0.0
    exact: bool = False
    absent: str = "agrees"
    differs: Literal["refuse", "warn"] = "refuse"

    def distance(self, first: Any, second: Any) -> float:
        """Return how far two values are apart: 0 for those that agree, of texts at most infinity.

        Examples
        --------
        >>> angle = Criterion("rotator", "rotator", frozenset(), frozenset(), 5.0, turn=360.0)
        >>> angle.distance("359", "3"), angle.distance("10", "20"), angle.distance("a", "A ")
        (0.0, 10.0, 0.0)
        """
        first_key, second_key = self.key(first), self.key(second)
        if first_key is None or second_key is None:
            apart = self.absent == "differs" and first_key is not second_key
            return math.inf if apart else 0.0
        if isinstance(first_key, float) and isinstance(second_key, float):
            apart_by = abs(first_key - second_key)
            if self.turn:
                apart_by = min(apart_by % self.turn, -apart_by % self.turn)
            return 0.0 if apart_by <= self.tolerance else apart_by
        return 0.0 if first_key == second_key else math.inf

    def text(self, value: Any) -> str:
        """Return a value as people write it.

        Examples
        --------
        >>> Criterion("t", "t", frozenset(), frozenset(), unit="C").text(-20.0)
        '-20 C'
        """
        if value is None:
            return "none"
        if isinstance(value, tuple):
            return "x".join(map(str, value))
        text = f"{value:g}" if isinstance(value, float) else str(value)
        return f"{text} {self.unit}" if self.unit else text

    def difference(self, wanted: Any, found: Any) -> str:
        """Say in what a value differs from the one that is wanted; nothing where they agree.

        Examples
        --------
        >>> Criterion("offset", "offset", frozenset(), frozenset()).difference("50", "10")
        'offset 10, not 50'
        """
        if not self.distance(wanted, found):
            return ""
        return f"{self.name} {self.text(found)}, not {self.text(wanted)}"

    def key(self, value: Any) -> Any:
        """Return a value as it is compared: numbers as numbers, texts without case and blanks."""
        if value is None and self.absent not in WHERE_ABSENT:
            value = self.absent
        if self.exact or value is None or isinstance(value, tuple):
            return value
        try:
            return float(value)
        except ValueError:
            return re.sub(r"[\s_]+", "", str(value)).casefold()
