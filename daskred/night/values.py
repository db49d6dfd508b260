"""Values of cards: which cards are there, and the numbers and units in them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence

from daskred.cameras.rules import Camera
from daskred.fits.header import Header, Value, stands_in

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[ED][+-]?\d+)?)\s*([a-z]*)\.?\s*", re.I)
# Units of time, in seconds.
SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0}
SECONDS |= {"ms": 1e-3, "msec": 1e-3, "min": 60.0, "m": 60.0, "minutes": 60.0}
SECONDS |= {"us": 1e-6, "usec": 1e-6, "ns": 1e-9, "h": 3600.0, "hours": 3600.0}
# What comments of cards say of units; the longer words first.
_UNIT_WORDS = (
    (re.compile(r"\b(us|usec|microsec\w*)\b|\u00b5s", re.I), 1e-6),
    (re.compile(r"\b(ms|msec|millisec\w*)\b", re.I), 1e-3),
    (re.compile(r"[\[(]\s*min(utes?)?\s*[\])]|\bin min(utes?)?\b|\bminutes\b", re.I), 60.0),
    (re.compile(r"[\[(]\s*h(ours?)?\s*[\])]|\bin hours\b", re.I), 3600.0),
)
_NO_CARDS: frozenset[str] = frozenset()


def present(headers: Sequence[Header], keyword: str) -> Iterator[Value]:
    """Yield every value of a keyword in several headers that is there and not blank."""
    for header in headers:
        if keyword not in header:  # nearly always, and asked a thousand times a frame
            continue
        for value in header.values(keyword):
            if value is not None and not (isinstance(value, str) and not value.strip()):
                yield value


def alternatives(
    headers: Sequence[Header], camera: Camera, fact: str
) -> Iterator[tuple[str, tuple[Value, ...]]]:
    """Yield the cards, and their values, of each alternative that is there whole."""
    if all(header.lacks(camera.cards.get(fact, _NO_CARDS)) for header in headers):  # nearly always
        return
    for cards in camera.facts.get(fact, ()):
        if len(cards) == 1 and not stands_in(headers, cards[0]):
            continue
        values = tuple(next(present(headers, card), None) for card in cards)
        if any(value is not None for value in values):
            yield "/".join(cards), values


def text_of_fact(headers: Sequence[Header], camera: Camera, fact: str) -> str | None:
    """Return a fact as text; None where no card tells it."""
    for _, values in alternatives(headers, camera, fact):
        return " ".join(str(value).strip() for value in values if value is not None)
    return None


def parse_number(value: Value) -> tuple[float, str] | None:
    """Return a number and the unit behind it, in lower case; None for what is no number.

    Examples
    --------
    >>> parse_number("11 C"), parse_number(300), parse_number("long")
    ((11.0, 'c'), (300.0, ''), None)
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return (float(value), "") if math.isfinite(value) else None
    match = _NUMBER.fullmatch(value)
    if not match:
        return None
    return float(match.group(1).upper().replace("D", "E")), match.group(2).lower()


def seconds_of_unit(headers: Sequence[Header], camera: Camera, card: str, told: str) -> float:
    """Return the seconds of a unit, told by the value, by the comment, or by the rules."""
    if told:
        return SECONDS[told]
    comments = [header.comment(card) for header in headers if card in header]
    for words, seconds in _UNIT_WORDS:
        if any(words.search(comment) for comment in comments):
            return seconds
    return SECONDS[camera.units.get(card, "")]


def positive(headers: Sequence[Header], camera: Camera, fact: str) -> float | None:
    """Return the first value of a fact that is a positive number."""
    return first_positive(headers, [card for card, *_ in camera.facts.get(fact, ())])


def first_positive(headers: Sequence[Header], cards: Iterable[str]) -> float | None:
    """Return the first value that is a positive number: gains of 0.0 mean that nobody knew."""
    for card in cards:
        for value in present(headers, card):
            number = parse_number(value)
            if number and number[0] > 0:
                return number[0]
    return None
