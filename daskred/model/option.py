"""One option, told once: the command line, the configuration file and Python follow from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from daskred.model.errors import RequestError

Group = Literal[
    "night", "detector", "masters", "science", "matching", "products", "checks", "workers"
]
Changes = Literal["masters", "flats", "science"]


@dataclass(frozen=True)
class Option:
    """An option.

    Parameters
    ----------
    name
        Of the keyword in Python and of the key in a configuration file; on the command line it
        has hyphens.
    help
        What it does, for people.
    group
        Where help lists it.
    default
        What it is where nobody says otherwise; None where something else tells, such as a
        camera's file.
    type
        Makes a value of a text, or of what a configuration file holds; bool for switches.
    choices
        The values that there are; empty where any will do.
    changes
        The products whose pixels or cards depend on it: their keys hold it.
    metavar
        What help shows in the place of a value.
    common
        Whether the short help shows it.
    is_file
        Whether it names a file: products depend on the content, not on the name.
    several
        Whether it may be given more than once.
    """

    name: str
    help: str
    group: Group
    default: Any = False
    type: Callable[[Any], Any] = bool
    choices: tuple[str, ...] = ()
    changes: tuple[Changes, ...] = ()
    metavar: str | None = None
    common: bool = False
    is_file: bool = False
    several: bool = False

    @property
    def flag(self) -> str:
        """The option on the command line.

        Examples
        --------
        >>> Option("tile_rows", "height of the bands of masters", "workers").flag
        '--tile-rows'
        """
        return f"--{self.name.replace('_', '-')}"

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off."""
        return self.type is bool

    def checked(self, value: Any) -> Any:
        """Return a value as the program uses it.

        Raises
        ------
        RequestError
            When it is none that this option can have.
        """
        if value is None:
            return self.default
        if self.several:
            given = [value] if isinstance(value, str) else value
            if not isinstance(given, list | tuple) or not all(isinstance(v, str) for v in given):
                raise RequestError(f"{self.name} = {value!r}: is a text, or a list of texts")
            for entry in given:
                if self.choices and entry not in self.choices:
                    raise RequestError(f"{self.flag} {entry}: {nearest(entry, self.choices)}")
            return tuple(given)
        if self.choices:
            if value not in self.choices:
                known = ", ".join(self.choices)
                raise RequestError(f"{self.name}={value!r}: there are {known}")
            return value
        if self.is_switch:
            if not isinstance(value, bool):
                raise RequestError(f"{self.name}={value!r}: is either true or false")
            return value
        if isinstance(value, bool):
            raise RequestError(f"{self.flag} {value}: is neither true nor false; give a value")
        if self.type is str:
            if not isinstance(value, str | os.PathLike) or not str(value):
                raise RequestError(f"{self.name} = {value!r}: is a text that says something")
            return str(value)
        try:
            return self.type(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise RequestError(f"{self.flag} {value}: {error}") from error

    def words(self, value: Any) -> list[str]:
        """Return what the command line says for a value.

        Examples
        --------
        >>> Option("unit", "of the pixels", "detector", None, str).words("electron")
        ['--unit', 'electron']
        """
        if self.several:
            return [word for entry in value for word in (self.flag, str(entry))]
        if self.is_switch:
            return [self.flag if value else f"--no-{self.name.replace('_', '-')}"]
        text = str(value)
        return [f"{self.flag}={text}"] if text.startswith("-") else [self.flag, text]


def count(value: Any) -> int:
    """Return a whole number of at least 0.

    Examples
    --------
    >>> count("3")
    3
    """
    number = _whole(value)
    if number < 0:
        raise ValueError("must not be negative")
    return number


def positive(value: Any) -> int:
    """Return a whole number of at least 1."""
    number = _whole(value)
    if number < 1:
        raise ValueError("is no whole number of at least 1")
    return number


def _whole(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError) as error:
        raise ValueError("is no whole number of at least 1") from error
    if isinstance(value, float) and value != number:
        raise ValueError("is no whole number")
    return number


def limit(value: Any) -> float:
    """Return a number that is finite and not negative.

    Examples
    --------
    >>> limit("2.5")
    2.5
    """
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError("is no limit: it is positive, or zero")
    return number


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def size(value: Any) -> int:
    """Return a size in bytes: ``500MB``, ``2 GiB``, ``1e9``.

    Examples
    --------
    >>> size("500MB"), size("2GiB")
    (500000000, 2147483648)
    """
    import re

    match = re.fullmatch(r"\s*([0-9.]+(?:e\d+)?)\s*([a-z]*)\s*", str(value), re.IGNORECASE)
    try:
        found = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    except (KeyError, ValueError, OverflowError):
        found = 0
    if found <= 0:
        raise ValueError("is no size; write one like 500MB or 2GB")
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which of the names that there are is the nearest to one that there is not.

    Examples
    --------
    >>> nearest("combin", ["combine", "dtype"])
    'there is no combin; the nearest is combine'
    """
    from difflib import get_close_matches  # few runs need it

    found = get_close_matches(name, list(known), 1, 0.4)
    return f"there is no {name}" + (f"; the nearest is {found[0]}" if found else "")
