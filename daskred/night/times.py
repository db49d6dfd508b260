"""When exposures were made: dates as headers write them, and the nights that they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from daskred.model.frame import Frame

# Exposures further apart belong to two nights; of dates without a time of day, further than a day.
_GAP_DAYS = 8 / 24
_GAP_OF_DATES = 1.01
_MJD_0 = datetime(1858, 11, 17)
_DATE = re.compile(r"(\d{4})([-/.]?)(\d{1,2})\2(\d{1,2})(?:[T ](.*))?")
_DAY_FIRST = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{2}|\d{4})(?:[T ](.*))?")  # FITS until 1999
_CLOCK = re.compile(
    r"(\d{1,2}):(\d{1,2})(?::(\d{1,2}(?:\.\d*)?))? ?(?:Z|UTC?|GMT)?([+-]\d{2}:?\d{2})?", re.I
)


def _clock_days(text: str | None) -> float | None:
    """Return a time of day in days, in universal time where it tells its zone."""
    match = _CLOCK.fullmatch((text or "").strip())
    if not match:
        return None
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3] or 0)
    if zone := (match[4] or "").replace(":", ""):
        ahead = int(zone[1:3]) * 3600 + int(zone[3:]) * 60
        seconds -= ahead if zone[0] == "+" else -ahead
    return seconds / 86400


def mjd_of(text: str | None) -> float | None:
    """Return the modified Julian date of a date, of a Julian or a modified Julian date.

    Examples
    --------
    >>> mjd_of("2024-01-01T12:00:00"), mjd_of("2460311.0"), mjd_of("31/12/98"), mjd_of("soon")
    (60310.5, 60310.5, 51178.0, None)
    >>> mjd_of("2024-01-01T12:00:00+06:00"), mjd_of("01/01/2024 06:00 UTC"), mjd_of("20240101")
    (60310.25, 60310.25, 60310.0)
    """
    text = (text or "").strip()
    if match := _DATE.fullmatch(text):
        year, month, day = int(match[1]), int(match[3]), int(match[4])
        clock = match[5]
    elif match := _DAY_FIRST.fullmatch(text):
        day, month, year = (int(part) for part in match.groups()[:3])
        year += 1900 if year < 100 else 0
        if month > 12:
            day, month = month, day
        clock = match[4]
    else:
        try:
            number = float(text)
        except ValueError:
            return None
        number -= 2400000.5 if number > 2400000 else 0
        return number if 10000 < number < 200000 else None
    try:
        whole = datetime(year, month, day) - _MJD_0
    except ValueError:
        return None
    return whole.days + (_clock_days(clock) or 0.0)


def date_text(mjd: float) -> str:
    """Return a modified Julian date as headers write it.

    Examples
    --------
    >>> date_text(60310.5)
    '2024-01-01T12:00:00.000'
    """
    moment = _MJD_0 + timedelta(days=mjd) + timedelta(microseconds=500)
    return moment.isoformat(timespec="milliseconds")


def seconds_between(begin: str, end: str) -> float | None:
    """Return the seconds between two dates, times of day, or numbers of seconds.

    Examples
    --------
    >>> seconds_between("23:59:55.0", "00:00:05.0"), seconds_between("3600.0", "3610.0")
    (10.0, 10.0)
    """
    clocks = _clock_days(begin), _clock_days(end)
    dates = mjd_of(begin), mjd_of(end)
    try:
        if clocks[0] is not None and clocks[1] is not None:
            seconds = (clocks[1] - clocks[0]) % 1 * 86400
        elif dates[0] is not None and dates[1] is not None:
            seconds = (dates[1] - dates[0]) * 86400
        else:
            seconds = float(end) - float(begin)
    except ValueError:
        return None
    # Dates and times of day are told to a millisecond at best.
    return round(seconds, 3) if 0 < seconds < 86400 else None


@dataclass(frozen=True)
class Dates:
    """The nights in which frames were exposed.

    Parameters
    ----------
    nights
        By path, the number of the night, from 0; frames that tell no date are not in it.
    begins
        When the first exposure of each night began, as a modified Julian date.
    """

    nights: Mapping[str, int]
    begins: tuple[float, ...]

    def night_of(self, frame: Frame) -> int | None:
        """Return the number of a frame's night; None where nobody can know it."""
        return self.nights.get(frame.path, 0 if len(self.begins) < 2 else None)

    def days_between(self, first: int | None, second: int | None) -> float:
        """Return how far two nights are apart; 0 where one is not known."""
        if first is None or second is None or first == second:
            return 0.0
        return abs(self.begins[first] - self.begins[second])

    def date(self, night: int) -> str:
        """Return the date on which a night began."""
        return date_text(self.begins[night])[:10]


ALL_ONE = Dates({}, ())


def dates_of(frames: Iterable[Frame]) -> Dates:
    """Return the nights of frames, in the order in which the frames stand.

    A night ends where nothing was exposed for eight hours.
    """
    dated: list[tuple[float, bool, int, str]] = []
    for place, frame in enumerate(frames):
        mjd = mjd_of(frame.facts.time_obs)
        if mjd is not None:
            has_time = mjd % 1 != 0 or ":" in str(frame.facts.time_obs)
            dated.append((mjd, has_time, place, frame.path))
    dated.sort()
    nights: list[list[tuple[float, bool, int, str]]] = []
    for entry in dated:
        before = nights[-1][-1] if nights else None
        gap = _GAP_DAYS if entry[1] and before and before[1] else _GAP_OF_DATES
        if before is None or entry[0] - before[0] > gap:
            nights.append([])
        nights[-1].append(entry)
    nights.sort(key=lambda night: min(place for _, _, place, _ in night))
    return Dates(
        {path: number for number, night in enumerate(nights) for *_, path in night},
        tuple(night[0][0] for night in nights),
    )


def span_of(frames: Sequence[Frame]) -> tuple[float, float] | None:
    """Return when the first exposure of some began, and when the last ended; None if undated."""
    times = [
        (mjd, mjd + (frame.facts.exptime_s or 0.0) / 86400)
        for frame in frames
        if (mjd := mjd_of(frame.facts.time_obs)) is not None
    ]
    if not times:
        return None
    return min(begin for begin, _ in times), max(end for _, end in times)
