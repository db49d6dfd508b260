"""What a camera's headers mean: rules as data, one TOML file per camera, and a default.

The tables and keys are those of ``default.toml``, which explains them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from daskred.cameras.check import check_table
from daskred.cameras.criteria import Criterion
from daskred.cameras.rules import (
    AmplifierRule,
    Camera,
    DetectorRules,
    Measured,
    ProcessedRule,
    frozen,
)
from daskred.cameras.shipped import shipped_cameras, shipped_table
from daskred.model.errors import RequestError
from daskred.model.paths import absolute, with_home

_PATTERNS = ("lamp_switch", "flat_lamp", "arc_lamp")


def _criteria(entries: Sequence[Mapping[str, Any]]) -> tuple[Criterion, ...]:
    """Return criteria; of entries of one name a later one changes what an earlier one says."""
    merged: dict[str, dict[str, Any]] = {}
    for entry in entries:
        merged[entry["name"]] = {**merged.get(entry["name"], {}), **entry}
    for entry in merged.values():
        entry |= {key: frozenset(entry.get(key, ())) for key in ("frames", "masters")}
    return tuple(Criterion(**entry) for entry in merged.values())


def _compile(source: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise RequestError(f"{source}: {pattern!r} is no regular expression: {error}") from error


def _processed_rule(source: str, rule: Mapping[str, Any]) -> ProcessedRule:
    keys = ("card", "cards", "pattern", "file", "folder", "means")
    if not isinstance(rule, dict) or any(key not in keys for key in rule):
        raise RequestError(f"{source}: a [[processed]] rule has the keys {', '.join(keys)}")
    meanings = ("calibrated", "master", "product")
    if rule.get("means") not in meanings:
        raise RequestError(f"{source}: [[processed]] means one of {', '.join(meanings)}")
    cards = (*rule.get("cards", ()), *([rule["card"]] if "card" in rule else ()))
    if not cards and "file" not in rule and "folder" not in rule:
        raise RequestError(f"{source}: a [[processed]] rule names cards, a file or a folder")
    pattern, file, folder = (
        _compile(source, rule[key]) if key in rule else None
        for key in ("pattern", "file", "folder")
    )
    cards = tuple(map(str.upper, cards))
    return ProcessedRule(cards, pattern, file, folder, rule["means"])


def _word_pattern(group: str, words: list[str]) -> re.Pattern[str]:
    """Return the pattern of a group's words; of elements, two or more run together."""
    any_of = "|".join(word.replace("*", "[a-z]*").replace("?", "[a-z]") for word in words)
    return re.compile(f"(?:{any_of}){'{2,}' if group == 'elements' else ''}")


def _camera(source: str, table: Mapping[str, Any]) -> Camera:
    """Make a camera from a complete table."""
    return Camera(
        name=str(table["name"]),
        facts={
            key: tuple(
                tuple(map(str.upper, item if isinstance(item, list) else [item])) for item in value
            )
            for key, value in table["facts"].items()
        },
        kind_cards={
            key: tuple(map(str.upper, cards))
            for key, cards in table["kind_cards"].items()
            if key not in _PATTERNS
        },
        codes={card.upper(): words for card, words in table["codes"].items()},
        lamps={
            key: tuple(_compile(source, pattern) for pattern in table["kind_cards"][key])
            for key in _PATTERNS
        },
        words={key: _word_pattern(key, value) for key, value in table["words"].items()},
        elements=frozenset(table["words"]["elements"]),
        targets=tuple(_compile(source, pattern) for pattern in table["targets"]["patterns"]),
        processed=tuple(_processed_rule(source, rule) for rule in table["processed"]),
        exptime_relative=float(table["tolerance"]["exptime_relative"]),
        exptime_tolerance_s=float(table["tolerance"]["exptime_s"]),
        criteria=_criteria(table["criterion"]),
        bias_exptime_s=float(table["limits"]["bias_exptime_s"]),
        gain_limit_e_per_adu=float(table["limits"]["gain_e_per_adu"]),
        units={card.upper(): unit for card, unit in table["units"].items()},
        cmos=tuple(_compile(source, pattern) for pattern in table["cmos"]["names"]),
        filter_words=re.compile("|".join(f"(?:{word})" for word in table["filters"]["words"])),
        detector=DetectorRules.of(table["detector"]),
        amplifiers=tuple(
            AmplifierRule(**{key: frozen(value) for key, value in amplifier.items()})
            for amplifier in table.get("amplifier", ())
        ),
        measured={name: Measured(**known) for name, known in table.get("measured", {}).items()},
    )


def read_camera(path: str | Path | None = None) -> Camera:
    """Read a camera file on top of the default rules.

    Parameters
    ----------
    path
        The file, or the name of a camera that comes with daskred; None, or ``none``, for the
        default rules alone.

    Raises
    ------
    RequestError
        When the file cannot be read, or has a table or key that does not exist.

    Examples
    --------
    >>> read_camera().same_exptime(300, 300.1)
    True
    """
    if path is None or str(path) == "none":
        return _camera("the default camera", shipped_table("default"))
    source = f"camera file {path}"
    table = _table_of(str(path), ())
    try:
        camera = _camera(source, table)
    except RequestError as error:
        raise RequestError(f"{source}: {error}".replace(f"{source}: {source}", source)) from error
    shipped = str(path) in shipped_cameras()
    return replace(camera, source=str(path) if shipped else str(absolute(path)))


def _table_of(path: str, above: tuple[str, ...]) -> dict[str, Any]:
    """Return the rules of a camera file, on top of those that it is like, or the default ones."""
    source = f"camera file {path}"
    given = _given_by(path)
    check_table(source, given)
    like = given.get("like")
    if like and like not in shipped_cameras():
        like = str(absolute(path).parent / with_home(like))
        if not Path(like).is_file():
            text = f"is like {like}, and there is no such file"
            raise RequestError(f"{source}: {text}; known: {', '.join(shipped_cameras())}")
    if like in above:
        raise RequestError(f"{source}: is like {like}, which is like this one")
    table = _table_of(like, (*above, like)) if like else dict(shipped_table("default"))
    for key, value in given.items():
        if key in ("recognise", "program", "like"):
            continue  # which are asked before a camera is chosen
        if key in ("processed", "criterion"):
            # Further ones are added: a camera's own never make the common ones untrue.
            table[key] = [*table[key], *(value if isinstance(value, list) else [value])]
        elif key == "measured":
            before = table.get(key, {})
            table[key] = {**before, **{n: {**before.get(n, {}), **v} for n, v in value.items()}}
        else:
            table[key] = {**table.get(key, {}), **value} if isinstance(value, dict) else value
    return table


def _given_by(path: str) -> dict[str, Any]:
    """Return what a camera file says, as plain data."""
    if path in shipped_cameras():
        return shipped_table(path)
    try:
        return tomllib.loads(absolute(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        names = ", ".join(shipped_cameras())
        raise RequestError(
            f"camera file {path}: cannot be read: {error}; cameras that are known by name: {names}"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"camera file {path}: is no TOML: {error}") from error
