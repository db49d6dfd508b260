"""What is settled by hand: kinds, exposure times and filters of frames, by patterns of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import PurePath
from typing import Any, TypeVar

from daskred.model.errors import RequestError
from daskred.model.frame import KINDS, Kind

_Value = TypeVar("_Value")


def parse_kinds(choices: Iterable[str]) -> list[tuple[Kind, str]]:
    """Parse choices like ``dark=calib/*-d.fit``.

    Raises
    ------
    RequestError
        When one is no kind, an equals sign and a pattern.

    Examples
    --------
    >>> parse_kinds(["dark=calib/*-d.fit"])
    [('dark', 'calib/*-d.fit')]
    """
    parsed: list[tuple[Kind, str]] = []
    for choice in choices:
        kind, equals, pattern = choice.partition("=")
        if not equals or not pattern or kind not in KINDS:
            kinds = ", ".join(KINDS)
            raise RequestError(
                f"--kind {choice}: write KIND=PATTERN, as dark='calib/*-d.fit'; kinds are {kinds}"
            )
        parsed.append((kind, pattern))
    return parsed


def parse_exptimes(choices: Iterable[str]) -> list[tuple[float, str]]:
    """Parse choices like ``darks/*=10``: exposure times in seconds.

    Raises
    ------
    RequestError
        When one is no pattern, an equals sign and a number that is not negative.

    Examples
    --------
    >>> parse_exptimes(["darks/*=10"])
    [(10.0, 'darks/*')]
    """
    parsed = []
    for choice in choices:
        pattern, _, text = choice.rpartition("=")
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not pattern or not 0 <= seconds < float("inf"):
            text = f"--exptime {choice}: write PATTERN=SECONDS, as 'darks/*'=10"
            raise RequestError(text)
        parsed.append((seconds, pattern))
    return parsed


def parse_filters(choices: Iterable[str]) -> list[tuple[str, str]]:
    """Parse choices like ``flats/*-v*=V``.

    Raises
    ------
    RequestError
        When one is no pattern, an equals sign and a name.

    Examples
    --------
    >>> parse_filters(["flats/*=V"])
    [('V', 'flats/*')]
    """
    parsed = []
    for choice in choices:
        pattern, _, name = choice.rpartition("=")
        if not pattern or not name.strip():
            raise RequestError(f"--filter {choice}: write PATTERN=NAME, as 'flats/*'=V")
        parsed.append((name.strip(), pattern))
    return parsed


class Choices:
    """What is settled by hand of a night.

    Parameters
    ----------
    kinds, exptimes, filters
        A value, and the pattern of the names or paths that it is for; the last one that matches
        counts.

    Examples
    --------
    >>> choices = Choices(exptimes=[(10.0, "darks/*")])
    >>> choices.exptime_s("darks/a.fits", "/n/darks/a.fits"), choices.kind("b.fits", "/n/b.fits")
    (10.0, None)
    """

    def __init__(
        self,
        kinds: Iterable[tuple[Kind, str]] = (),
        exptimes: Iterable[tuple[float, str]] = (),
        filters: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.kinds, self.exptimes, self.filters = tuple(kinds), tuple(exptimes), tuple(filters)

    @classmethod
    def of(cls, words: Mapping[str, Iterable[str]]) -> Choices:
        """Parse what the options of their names say; see `words`."""
        return cls(
            parse_kinds(words["kind"]),
            parse_exptimes(words["exptime"]),
            parse_filters(words["filter"]),
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of `open_night`."""
        return {"kinds": self.kinds, "exptimes": self.exptimes, "filters": self.filters}

    def kind(self, name: str, path: str) -> tuple[Kind, str] | None:
        """Return the kind of a frame, and the pattern that settles it."""
        return _chosen(self.kinds, name, path)

    def exptime_s(self, name: str, path: str) -> float | None:
        """Return the exposure time of a frame."""
        chosen = _chosen(self.exptimes, name, path)
        return chosen[0] if chosen else None

    def filter(self, name: str, path: str) -> str | None:
        """Return the filter of a frame."""
        chosen = _chosen(self.filters, name, path)
        return chosen[0] if chosen else None

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """What the options say for them."""
        return {
            "kind": tuple(f"{kind}={pattern}" for kind, pattern in self.kinds),
            "exptime": tuple(f"{pattern}={seconds:g}" for seconds, pattern in self.exptimes),
            "filter": tuple(f"{pattern}={name}" for name, pattern in self.filters),
        }

    def check_used(self, frames: Iterable[tuple[str, str]]) -> None:
        """Raise RequestError where a pattern matches no frame, of which names and paths are given.

        Examples
        --------
        >>> Choices(filters=[("V", "flats/*")]).check_used([("flats/a.fits", "/n/flats/a.fits")])
        """
        flags = {"--kind": self.kinds, "--exptime": self.exptimes, "--filter": self.filters}
        places = list(frames) if any(flags.values()) else []
        for flag, choices in flags.items():
            for chosen, pattern in choices:
                if any(_matches(pattern, name, path) for name, path in places):
                    continue
                shown = f"{chosen:g}" if isinstance(chosen, float) else chosen
                text = f"{shown}='{pattern}'" if flag == "--kind" else f"'{pattern}'={shown}"
                raise RequestError(f"{flag} {text} matches no frame of the night")


def _chosen(
    choices: Sequence[tuple[_Value, str]], name: str, path: str
) -> tuple[_Value, str] | None:
    """Return the last choice whose pattern a frame's path or name matches."""
    matching = (choice for choice in reversed(choices) if _matches(choice[1], name, path))
    return next(matching, None)


def _matches(pattern: str, name: str, path: str) -> bool:
    names = (name, path) if "/" in pattern else (PurePath(name).name,)
    return name == pattern or any(fnmatch(name_of_frame, pattern) for name_of_frame in names)
