"""From header cards to the facts that matter, by a camera's rules."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from daskred.cameras.rules import Camera
from daskred.fits.header import Header, Value
from daskred.model.errors import FrameError
from daskred.model.frame import Facts

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[ED][+-]?\d+)?)\s*([a-z]*)\.?\s*", re.I)
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0}
_SECONDS |= {"ms": 1e-3, "msec": 1e-3, "min": 60.0, "m": 60.0}
_DEGREES = frozenset({"", "c", "degc", "deg", "celsius"})
# What a filter wheel says of a hole.
_NO_FILTER = re.compile(r"(none|air|clear|open|empty|free|hole|no|blank|null)?[\d-]*", re.I)
_MILLISECONDS = re.compile(r"\b(ms|msec|millisec\w*)\b", re.I)
_KELVIN = 273.15


def present(headers: Sequence[Header], keyword: str) -> Iterator[Value]:
    """Yield every value of a keyword in several headers that is there and not blank."""
    for header in headers:
        if keyword not in header:  # nearly always, and asked a thousand times a frame
            continue
        for value in header.values(keyword):
            if value is not None and not (isinstance(value, str) and not value.strip()):
                yield value


def _alternatives(
    headers: Sequence[Header], camera: Camera, fact: str
) -> Iterator[tuple[str, tuple[Value, ...]]]:
    """Yield the cards, and their values, of each alternative that is there whole."""
    for cards in camera.facts.get(fact, ()):
        if not any(card in header for header in headers for card in cards):
            continue
        values = tuple(next(present(headers, card), None) for card in cards)
        if any(value is not None for value in values):
            yield "/".join(cards), values


def _text(headers: Sequence[Header], camera: Camera, fact: str) -> str | None:
    for _, values in _alternatives(headers, camera, fact):
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


def exposure_time(path: str, headers: Sequence[Header], camera: Camera) -> float | None:
    """Return the exposure time in seconds; None where no card tells it.

    Raises
    ------
    FrameError
        When the cards that are there are no times, or negative ones.
    """
    unreadable = ""
    for card, (value, *_) in _alternatives(headers, camera, "exptime_s"):
        number = parse_number(value)
        if number is None or number[1] not in _SECONDS or number[0] < 0:
            unreadable = unreadable or f"{card} = {value!r} is no exposure time in seconds"
            continue
        unit = _SECONDS[number[1]]
        if not number[1] and any(_MILLISECONDS.search(h.comment(card)) for h in headers):
            unit = _SECONDS["ms"]
        return number[0] * unit
    if unreadable:
        raise FrameError(path, unreadable)
    return None


def positive(headers: Sequence[Header], camera: Camera, fact: str) -> float | None:
    """Return the first value that is a positive number: gains of 0.0 mean that nobody knew."""
    for card, *_ in camera.facts.get(fact, ()):
        for value in present(headers, card):
            number = parse_number(value)
            if number and number[0] > 0:
                return number[0]
    return None


def _temperature(headers: Sequence[Header], camera: Camera, fact: str) -> float | None:
    for _, (value, *_) in _alternatives(headers, camera, fact):
        number = parse_number(value)
        if number and number[1] in _DEGREES:
            # No detector is hotter than boiling water: such numbers are kelvin.
            return number[0] if number[0] < 100 else number[0] - _KELVIN
    return None


def _binning(headers: Sequence[Header], camera: Camera) -> tuple[int, int] | None:
    """Read binning from a card for each axis, or from one text like ``2 2``, ``2x2`` or ``2``."""
    for _, values in _alternatives(headers, camera, "binning"):
        text = " ".join(str(value) for value in values if value is not None)
        factors = [int(float(factor)) for factor in re.findall(r"\d+(?:\.0*)?", text)]
        if len(factors) in (1, 2) and min(factors) > 0:
            return factors[0], factors[-1]
    return None


def _filter(headers: Sequence[Header], camera: Camera) -> str | None:
    for _, values in _alternatives(headers, camera, "filter"):
        names = [str(value).strip() for value in values if value is not None]
        real = [name for name in names if len(names) == 1 or not _NO_FILTER.fullmatch(name)]
        return "+".join(real) if real else names[0]
    return None


def _time(headers: Sequence[Header], camera: Camera) -> str | None:
    date = _text(headers, camera, "time_obs")
    if date is None or "T" in date or not re.fullmatch(r"[\d/-]+", date):
        return date
    time = _text(headers, camera, "time_of_day")
    return f"{date}T{time}" if time else date


def facts_of(path: str, headers: Sequence[Header], camera: Camera) -> Facts:
    """Return what the headers of a frame say.

    Parameters
    ----------
    path
        The frame's file, for errors.
    headers
        The primary header, then that of the first image where it is an extension.
    camera
        Which cards mean what.

    Raises
    ------
    FrameError
        When the exposure time is no number.
    """
    return Facts(
        exptime_s=exposure_time(path, headers, camera),
        filter=_filter(headers, camera),
        binning=_binning(headers, camera),
        time_obs=_time(headers, camera),
        gain_e_per_adu=positive(headers, camera, "gain_e_per_adu"),
        set_temp_c=_temperature(headers, camera, "set_temp_c"),
        ccd_temp_c=_temperature(headers, camera, "ccd_temp_c"),
        camera=_text(headers, camera, "camera"),
        readout=_text(headers, camera, "readout"),
        gain_setting=_text(headers, camera, "gain_setting"),
        window=_text(headers, camera, "window"),
        object=_text(headers, camera, "object"),
        saturation_adu=positive(headers, camera, "saturation_adu"),
        read_noise_e=positive(headers, camera, "read_noise_e"),
    )
