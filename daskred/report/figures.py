"""Which figures of frames a report shows: each is drawn through the night, and has a column."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daskred.measure.quality import Quality
from daskred.measure.table import Row
from daskred.night.times import mjd_of
from daskred.report.plots import Drawing, Point, drawing


@dataclass(frozen=True)
class Figure:
    """A figure that is drawn through the night, and has a column of the table.

    Parameters
    ----------
    name
        Of the figure.
    title, short
        What it is; and that in a column's head.
    style
        How it is written.
    rules
        Of those that tell what stands out, these are of it.
    value
        Its number; NaN where there is none.
    """

    name: str
    title: str
    short: str
    style: str
    rules: tuple[str, ...]
    value: Callable[[Quality], float]


def _named(name: str) -> Callable[[Quality], float]:
    def value(quality: Quality) -> float:
        found = getattr(quality, name)
        return math.nan if found is None else float(found)

    return value


SHOWN = (
    Figure("level", "level of the sky", "sky", "{:.5g}", ("level",), _named("level")),
    Figure("noise", "noise of a pixel", "noise", "{:.3g}", ("noise",), _named("noise")),
    Figure("n_stars", "number of stars", "stars", "{:.0f}", ("stars",), _named("n_stars")),
    Figure(
        "starlight",
        "light of the stars, over that of the first frame",
        "light",
        "{:.2f}",
        ("starlight",),
        _named("starlight"),
    ),
    Figure("fwhm", "width of stars (pixels)", "width", "{:.2f}", ("width",), _named("fwhm_pixels")),
    Figure(
        "ellipticity",
        "ellipticity of stars",
        "shape",
        "{:.2f}",
        ("ellipticity",),
        _named("ellipticity"),
    ),
    Figure(
        "shift",
        "shift from the first frame (pixels)",
        "shift",
        "{:.1f}",
        ("shift",),
        lambda quality: math.hypot(quality.shift_y_pixels, quality.shift_x_pixels),
    ),
    Figure("saturated", "saturated part", "full", "{:.2%}", ("saturated",), _named("saturated")),
    Figure("negative", "negative part", "< 0", "{:.1%}", ("negative",), _named("negative")),
)


def drawings_of(rows: Sequence[Row]) -> tuple[list[Drawing], list[str]]:
    """Return each figure through the night, where frames differ in it; and what the series are."""
    rows = [row for row in rows if not row.error]
    hours = [mjd_of(row.time) for row in rows]
    by_time = bool(rows) and all(hour is not None for hour in hours)
    first = math.floor(min((hour for hour in hours if hour is not None), default=0.0))
    ordered = sorted(
        zip(rows, hours, strict=True), key=lambda found: (found[1] or 0.0, found[0].name)
    )
    series = sorted({series_of(row) for row in rows})
    found = []
    for figure in SHOWN:
        points = [
            Point(
                x=(hour - first) * 24 if by_time and hour is not None else number + 1.0,
                y=figure.value(row.quality),
                series=series.index(series_of(row)),
                name=row.name,
                stands_out=any(name in row.stands_out for name in figure.rules),
            )
            for number, (row, hour) in enumerate(ordered)
        ]
        points = [point for point in points if math.isfinite(point.y)]
        # What is the same in all of them shows nothing.
        if len({point.y for point in points}) > 1:
            found.append(drawing(figure.title, points, by_time, figure.style))
    return found, series


def series_of(row: Row) -> str:
    """Return the filter and exposure time of a frame in words: what is drawn as one line."""
    words = [row.filter or "no filter told"]
    words += [f"{row.exptime_s:g} s"] if row.exptime_s is not None else []
    return ", ".join(words)
