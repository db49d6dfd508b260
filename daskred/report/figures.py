"""Which figures of frames a report shows: each is drawn through the night, and has a column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from daskred.measure.table import Row
from daskred.night.times import mjd_of
from daskred.report.plots import Drawing, Point, drawing


@dataclass(frozen=True)
class Figure:
    """A figure that is drawn through the night, and has a column of the table.

    Parameters
    ----------
    name
        That of its number: see `daskred.measure.quality.Quality.figure`.
    title, short
        What it is; and that in a column's head.
    style
        How it is written.
    rule
        The one that tells whether it stands out: see `daskred.measure.outliers.RULES`.
    """

    name: str
    title: str
    short: str
    style: str
    rule: str


SHOWN = (
    Figure("level", "level of the sky", "sky", "{:.5g}", "level"),
    Figure("noise", "noise of a pixel", "noise", "{:.3g}", "noise"),
    Figure("n_stars", "number of stars", "stars", "{:.0f}", "stars"),
    Figure(
        "starlight",
        "light of the stars, over that of the first frame",
        "light",
        "{:.2f}",
        "starlight",
    ),
    Figure("fwhm_pixels", "width of stars (pixels)", "width", "{:.2f}", "width"),
    Figure("ellipticity", "ellipticity of stars", "shape", "{:.2f}", "ellipticity"),
    Figure("shift_pixels", "shift from the first frame (pixels)", "shift", "{:.1f}", "shift"),
    Figure("saturated", "saturated part", "full", "{:.2%}", "saturated"),
    Figure("negative", "negative part", "< 0", "{:.1%}", "negative"),
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
                y=row.quality.figure(figure.name),
                series=series.index(series_of(row)),
                name=row.name,
                stands_out=figure.rule in row.stands_out,
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
