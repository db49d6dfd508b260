"""From header cards to the facts that matter, by a camera's rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from daskred.cameras.rules import COMPUTED, Camera
from daskred.fits.header import COMMENTARY, Header, Value
from daskred.model.errors import FrameError
from daskred.model.frame import Facts
from daskred.night.times import seconds_between
from daskred.night.values import (
    SECONDS,
    alternatives,
    first_positive,
    parse_number,
    positive,
    present,
    seconds_of_unit,
    text_of_fact,
)

_DEGREES = frozenset({"", "c", "degc", "deg", "celsius"})
# What a filter wheel says of a hole.
_NO_FILTER = re.compile(
    r"(none|air|clear|open|empty|free|hole|no([ _-]?filter)?|blank|null)?[\d-]*", re.I
)
_NOT_KNOWN = ("unknown", "undefined", "unspecified", "n/a")
_PER_ADU = re.compile(r"\be(lectrons?|-)?\s*(/|per)\s*(adu|dn|count|data)|electrons", re.I)
# Cards that nobody knows, told by what their comments say.
_EXPOSURE = re.compile(
    r"\W*(light |shutter |camera |integration |actual |total )*exp(osure|\.)?"
    r"([ _-]*(time|length|duration))?\s*([(\[,]|in\b|$)",
    re.I,
)
_EXPOSURE_TEXT = re.compile(r"exp(osure)?[ ._-]*time\s*[=:]\s*([0-9.]+)\s*([a-z]*)", re.I)
_FILTER_CARD = re.compile(r".*(FILT|FLTR|FLT).*")
_FILTER_COMMENT = re.compile(
    r"\bfilter\b(?!\s*(wheel|number|position|pos|temp|focus|offset))", re.I
)
_KELVIN = 273.15
_EXPOSURES = ("EXPTIME", "EXPOSURE")
_FIELDS = frozenset(field.name for field in fields(Facts))


def exposure_time(path: str, headers: Sequence[Header], camera: Camera) -> float | None:
    """Return the exposure time in seconds; None where no card tells it.

    Where no card of the camera's rules tells it, cards are asked whose comment says that they do.

    Raises
    ------
    FrameError
        When the cards that are there are no times, or negative ones.
    """
    unreadable = ""
    for cards, values in alternatives(headers, camera, "exptime_s"):
        if len(values) > 1:  # begin and end
            if (seconds := seconds_between(*map(str, values))) is not None:
                return seconds
            continue
        number = parse_number(values[0]) or _as_people_write(values[0])
        if number is None or number[1] not in SECONDS or number[0] < 0:
            told = f"--exptime '{Path(path).name}'=SECONDS tells it"
            text = f"{cards} = {values[0]!r} is no exposure time in seconds; {told}"
            unreadable = unreadable or text
            continue
        if not number[0] and cards in _EXPOSURES and (other := first_positive(headers, _EXPOSURES)):
            return other  # nobody has filled the first one in
        return number[0] * seconds_of_unit(headers, camera, cards, number[1])
    found = set(_commented_times(headers, camera))
    if len(found) == 1:
        return found.pop()
    if unreadable:
        raise FrameError(path, unreadable)
    return None


def _as_people_write(value: Value) -> tuple[float, str] | None:
    """Return seconds of texts as ``60,5``, ``1/30`` and ``00:01:00``; None for others.

    Examples
    --------
    >>> [_as_people_write(text) for text in ("60,5", "1/4", "0:01:30", "long")]
    [(60.5, ''), (0.25, ''), (90.0, ''), None]
    """
    text = str(value).strip()
    if match := re.fullmatch(r"(\d+),(\d{1,2})", text):
        return float(f"{match[1]}.{match[2]}"), ""
    if (match := re.fullmatch(r"(\d+)/(\d+)", text)) and int(match[2]):
        return int(match[1]) / int(match[2]), ""
    if match := re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d*)?)", text):
        return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]), ""
    return None


def _commented_times(headers: Sequence[Header], camera: Camera) -> Iterator[float]:
    """Yield exposure times of cards whose comments say so, and of comments that tell one."""
    for header in headers:
        for card in header.keywords:
            if card in COMMENTARY:
                for text in header.values(card):
                    match = _EXPOSURE_TEXT.search(str(text))
                    number = parse_number(match[2]) if match else None
                    if match and number and match[3].lower() in SECONDS:
                        yield number[0] * SECONDS[match[3].lower()]
            elif _EXPOSURE.match(header.comment(card)):
                value = header.get(card)
                number = parse_number(value) if not isinstance(value, str) else None
                if number and number[0] >= 0:
                    yield number[0] * seconds_of_unit([header], camera, card, "")


def _dark_time(headers: Sequence[Header], camera: Camera, exptime_s: float | None) -> float | None:
    """Return how long dark current has gathered, seconds.

    Most cameras add to DARKTIME what it takes to begin and to read out; that is no other time.
    """
    told = positive(headers, camera, "dark_time_s")
    if told is None or exptime_s is None or exptime_s <= told <= 1.05 * exptime_s + 2:
        return told if exptime_s is None else exptime_s
    return told if told > exptime_s else exptime_s


def gain_of(headers: Sequence[Header], camera: Camera) -> float | None:
    """Return the gain, electrons per ADU: the first card that tells one, and no setting."""
    for card, *_ in camera.facts["gain_e_per_adu"]:
        for header in headers:
            for value in present([header], card):
                number = parse_number(value)
                if number and number[0] > 0 and not _is_setting(headers, header, card, camera):
                    return number[0]
    return None


def _is_setting(headers: Sequence[Header], header: Header, card: str, camera: Camera) -> bool:
    """Whether a card GAIN tells what the camera was set to, and not electrons per ADU."""
    if card != "GAIN" or _PER_ADU.search(header.comment(card)):
        return False
    number = parse_number(header.get(card))
    if number and (number[0] > camera.gain_limit_e_per_adu or number[1]):
        return not number[1].startswith("e")
    cards = [name for (name, *_) in camera.facts["camera"]]
    names = [str(value) for name in cards for value in present(headers, name)]
    if any(pattern.search(name) for pattern in camera.cmos for name in names):
        return True
    return any(
        next(present(headers, name), None) is not None for (name, *_) in camera.facts["offset"]
    )


def _temperature(headers: Sequence[Header], camera: Camera, fact: str) -> float | None:
    for _, (value, *_) in alternatives(headers, camera, fact):
        number = parse_number(value)
        if number and number[1] in _DEGREES and number[0] > -_KELVIN:  # -999 means that nobody knew
            # No detector is hotter than boiling water: such numbers are kelvin.
            return number[0] if number[0] < 100 else number[0] - _KELVIN
    return None


def _binning(headers: Sequence[Header], camera: Camera) -> tuple[int, int] | None:
    """Read binning from a card for each axis, or from one text like ``2 2``, ``2x2`` or ``2``."""
    for _, values in alternatives(headers, camera, "binning"):
        text = " ".join(str(value) for value in values if value is not None)
        factors = [int(float(factor)) for factor in re.findall(r"\d+(?:\.0*)?", text)]
        if len(factors) in (1, 2) and min(factors) > 0:
            return factors[0], factors[-1]
    return None


def _filter(headers: Sequence[Header], camera: Camera) -> str | None:
    holes: list[str] = []
    for _, values in alternatives(headers, camera, "filter"):
        names = [str(value).strip() for value in values if value is not None]
        names = [name for name in names if name.lower() not in _NOT_KNOWN]
        real = [name for name in names if not _NO_FILTER.fullmatch(name)]
        if real:
            return "+".join(real)
        if all(name.isdigit() for name in names):  # places of wheels, which no card names
            real = names
        holes = holes or real or names[:1]
    if holes:
        return "+".join(holes)
    # A card that nobody knows is told by its name or comment, and by its value.
    texts = ["".join(header.cards).upper() for header in headers]
    if not any("FILT" in text or "FLT" in text for text in texts):
        return None
    unknown = {
        value.strip()
        for header in headers
        for card in header.keywords
        if _FILTER_CARD.fullmatch(card) or _FILTER_COMMENT.search(header.comment(card))
        for value in header.values(card)
        if isinstance(value, str) and camera.filter_words.fullmatch(value.strip())
    }
    return unknown.pop() if len(unknown) == 1 else None


def _settings(headers: Sequence[Header], camera: Camera) -> tuple[tuple[str, str], ...]:
    """Return what the camera's criteria compare, as texts; numbers of one value are one text."""
    found = []
    # Of some fifty facts a header tells few: it is asked for those that its cards may tell.
    places, of_card = camera.compared
    cards = {card for header in headers for card in header.keywords if card in of_card}
    told = {fact for card in cards for fact in of_card[card]} - _FIELDS - set(COMPUTED)
    for fact in sorted(told, key=places.__getitem__):
        for _, values in alternatives(headers, camera, fact):
            first, *others = (_setting_text(value) for value in values if value is not None)
            # Beside a name, as that of a Bayer pattern, offsets of zero are none.
            counts = _is_number(first) or any(other != "0" for other in others)
            found.append((fact, " ".join([first, *others]) if counts else first))
            break
    return tuple(found)


def _is_number(text: str) -> bool:
    return parse_number(text) is not None


def _setting_text(value: Value) -> str:
    number = parse_number(value)
    if number and not number[1]:
        return f"{number[0]:g}"
    return " ".join(str(value).split())


def _time(headers: Sequence[Header], camera: Camera) -> str | None:
    date = text_of_fact(headers, camera, "time_obs")
    if date is None or "T" in date or not re.fullmatch(r"[\d/-]+", date):
        return date
    time = text_of_fact(headers, camera, "time_of_day")
    return f"{date}T{time}" if time else date


def facts_of(
    path: str,
    headers: Sequence[Header],
    camera: Camera,
    exptime_s: float | None = None,
    filter_name: str | None = None,
) -> Facts:
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
    if exptime_s is None:
        exptime_s = exposure_time(path, headers, camera)
        dark_time_s = _dark_time(headers, camera, exptime_s)
    else:
        dark_time_s = exptime_s
    return Facts(
        exptime_s=exptime_s,
        dark_time_s=dark_time_s,
        filter=filter_name or _filter(headers, camera),
        binning=_binning(headers, camera),
        time_obs=_time(headers, camera),
        gain_e_per_adu=gain_of(headers, camera),
        set_temp_c=_temperature(headers, camera, "set_temp_c"),
        ccd_temp_c=_temperature(headers, camera, "ccd_temp_c"),
        camera=text_of_fact(headers, camera, "camera"),
        object=text_of_fact(headers, camera, "object"),
        saturation_adu=positive(headers, camera, "saturation_adu"),
        read_noise_e=positive(headers, camera, "read_noise_e"),
        settings=_settings(headers, camera),
    )
