"""Whether a camera file says what camera files can say; what it says wrong is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from itertools import pairwise
from typing import Any

from daskred.cameras.rules import (
    COMPUTED,
    FACTS,
    KIND_CARDS,
    WORDS,
    AmplifierRule,
    Measured,
)
from daskred.cameras.shipped import shipped_table
from daskred.model.errors import RequestError

_TABLES: dict[str, tuple[str, ...]] = {
    "facts": FACTS,
    "tolerance": ("exptime_relative", "exptime_s"),
    "limits": ("bias_exptime_s", "gain_e_per_adu"),
    "cmos": ("names",),
    "filters": ("words",),
    "kind_cards": KIND_CARDS,
    "words": WORDS,
    "targets": ("patterns",),
}


_OTHER_TABLES = (
    *("name", "program", "recognise", "units", "codes", "processed", "criterion", "detector"),
    *("amplifier", "like", "measured"),
)


def check_table(source: str, table: Mapping[str, Any]) -> None:
    """Raise RequestError for a table or key that camera files do not have."""
    known = (*_TABLES, *_OTHER_TABLES)
    criteria = _checked_criteria(source, table)
    for key in table:
        if key not in known:
            raise RequestError(f"{source}: unknown table [{key}]; there are {', '.join(known)}")
    for name, keys in _TABLES.items():
        section = table.get(name, {})
        if not isinstance(section, dict):
            raise RequestError(f"{source}: {name} must be a table: [{name}]")
        if name == "facts":
            keys = (*FACTS, *(fact for fact in criteria if fact not in COMPUTED))
        for key, value in section.items():
            if key not in keys:
                raise RequestError(
                    f"{source}: unknown key {key!r} in [{name}]; there are {', '.join(keys)}"
                )
            if name in ("tolerance", "limits"):
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise RequestError(f"{source}: {key} in [{name}] must be a number")
            elif not isinstance(value, list) or not all(
                _is_text(item, nested=name == "facts") for item in value
            ):
                raise RequestError(f"{source}: {key} in [{name}] must be a list of texts")

    codes = table.get("codes", {})
    if not isinstance(codes, dict) or not all(_is_words(words) for words in codes.values()):
        raise RequestError(f"{source}: [codes] names words for numbers: PICTTYPE.3 = 'dark'")
    signs = table.get("recognise", [])
    if not isinstance(signs, list) or not all(_is_words(entry) and entry for entry in signs):
        raise RequestError(f"{source}: [[recognise]] names cards and patterns of their values")
    if not isinstance(table.get("like", ""), str):
        raise RequestError(f"{source}: like names another camera, or its file")
    _check_measured(source, table.get("measured", {}))
    units = table.get("units", {})
    if not _is_words(units):
        raise RequestError(f"{source}: [units] names the unit of cards: EXPOINUS = 'us'")
    _check_detector(source, table)


def _is_words(table: Any) -> bool:
    return isinstance(table, dict) and all(isinstance(word, str) for word in table.values())


def _checked_criteria(source: str, table: Mapping[str, Any]) -> list[str]:
    """Return the facts that criteria go by, of a camera file and of the common rules."""
    given = table.get("criterion", [])
    if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
        raise RequestError(f"{source}: criteria are tables: [[criterion]]")
    known = {entry["name"]: entry for entry in shipped_table("default")["criterion"]}
    for entry in given:
        for key, value in entry.items():
            if key not in _CRITERION_VALUES:
                text = f"unknown key {key!r} in [[criterion]]"
                raise RequestError(f"{source}: {text}; there are {', '.join(_CRITERION_VALUES)}")
            needed, is_sound = _CRITERION_VALUES[key]
            if not is_sound(value):
                raise RequestError(f"{source}: {key} = {value!r} in [[criterion]] must be {needed}")
        if "name" not in entry or ("fact" not in entry and entry["name"] not in known):
            raise RequestError(f"{source}: a [[criterion]] needs a name, and a new one a fact")
    new = [entry["fact"] for entry in given if "fact" in entry]
    return [*(entry["fact"] for entry in known.values()), *new]


def _check_detector(source: str, table: Mapping[str, Any]) -> None:
    """Raise RequestError for what a detector's tables do not have, or have as another type."""
    detector = table.get("detector", {})
    default = shipped_table("default")["detector"]
    if not isinstance(detector, dict):
        raise RequestError(f"{source}: detector must be a table: [detector]")
    for key, value in detector.items():
        if key not in default:
            known = ", ".join(default)
            raise RequestError(f"{source}: unknown key {key!r} in [detector]; there are {known}")
        wanted = type(default[key])
        number = wanted is float and isinstance(value, int) and not isinstance(value, bool)
        sound = isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool)
        if not sound and not number:
            raise RequestError(f"{source}: {key} in [detector] must be a {wanted.__name__}")
    amplifiers = table.get("amplifier", [])
    if not isinstance(amplifiers, list) or not all(isinstance(table, dict) for table in amplifiers):
        raise RequestError(f"{source}: amplifiers are tables: [[amplifier]]")
    keys = [field.name for field in fields(AmplifierRule)]
    for amplifier in amplifiers:
        for key in amplifier:
            if key not in keys:
                text = f"unknown key {key!r} in [[amplifier]]; there are {', '.join(keys)}"
                raise RequestError(f"{source}: {text}")
        if "data" not in amplifier:
            raise RequestError(f"{source}: an [[amplifier]] needs data, a section")
        for key, value in amplifier.items():
            needed, is_valid = _AMPLIFIER_VALUES[key]
            if not is_valid(value):
                text = f"{key} = {value!r} in [[amplifier]] must be {needed}"
                raise RequestError(f"{source}: {text}")
    rows = detector.get("crosstalk", [])
    if not all(isinstance(row, list) and all(map(_is_number_or_card, row)) for row in rows):
        raise RequestError(f"{source}: crosstalk in [detector] must be rows of numbers or cards")


def _check_measured(source: str, table: Any) -> None:
    """Raise RequestError for what cannot be measured of an amplifier."""
    keys = [field.name for field in fields(Measured)]
    if not isinstance(table, dict) or not all(isinstance(known, dict) for known in table.values()):
        raise RequestError(f"{source}: [measured] has a table for each amplifier: [measured.left]")
    for name, known in table.items():
        for key, value in known.items():
            if key not in keys or not _is_positive(value):
                text = f"{key} = {value!r} in [measured.{name}]"
                raise RequestError(f"{source}: {text}: {', '.join(keys)} are positive numbers")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_number_or_card(value: Any) -> bool:
    return isinstance(value, str) or _is_number(value)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _are(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(is_valid, value))


def _is_rising_table(value: Any) -> bool:
    if not isinstance(value, list) or len(value) < 2:
        return False
    if not all(_are(_is_number)(row) and len(row) == 2 for row in value):
        return False
    return all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(value))


_AMPLIFIER_VALUES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "data": ("a section, as text", _is_string),
    "name": ("a text", _is_string),
    "place": ("a section, as text", _is_string),
    "image": ("a number, 0 for the first", lambda value: type(value) is int and value >= 0),
    "overscan": ("a list of sections", _are(_is_string)),
    "gain_e_per_adu": ("a positive number", _is_positive),
    "read_noise_e": ("a positive number", _is_positive),
    "saturation_adu": ("a positive number", _is_positive),
    "linearity": ("a list of coefficients", _are(_is_number)),
    "linearity_table": ("pairs of measured and linear ADU, both rising", _is_rising_table),
}


def _is_kinds(value: Any) -> bool:
    return isinstance(value, list) and all(entry in ("bias", "dark", "flat") for entry in value)


def _choice_of(*choices: str) -> tuple[str, Callable[[Any], bool]]:
    return f"one of {', '.join(choices)}", lambda value: value in choices


_CRITERION_VALUES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a text", _is_string),
    "fact": ("a text", _is_string),
    "frames": ("kinds of masters: bias, dark, flat", _is_kinds),
    "masters": ("kinds of masters: bias, dark, flat", _is_kinds),
    "tolerance": ("a number that is not negative", lambda v: _is_number(v) and v >= 0),
    "unit": ("a text", _is_string),
    "turn": ("a number that is not negative", lambda v: _is_number(v) and v >= 0),
    "exact": ("true or false", lambda value: isinstance(value, bool)),
    "absent": ("agrees, differs, or the value that it has then", _is_string),
    "differs": _choice_of("refuse", "warn"),
}


def _is_text(item: Any, nested: bool) -> bool:
    """Whether an item of a list is a text or, where that is allowed, a list of texts."""
    if nested and isinstance(item, list):
        return bool(item) and all(isinstance(part, str) for part in item)
    return isinstance(item, str)
