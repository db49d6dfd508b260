"""Figures through the night, as drawings that a page holds in itself: SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 10, 26
_N_TICKS = 4
_N_COLOURS = 6


@dataclass(frozen=True)
class Point:
    """A frame in a drawing.

    Parameters
    ----------
    x, y
        Hours, or its number; and its figure.
    series
        Which of the night's filters, from 0.
    name
        Of the frame.
    stands_out
        Whether the figure does.
    """

    x: float
    y: float
    series: int
    name: str
    stands_out: bool


@dataclass(frozen=True)
class Mark:
    """A point as it is drawn."""

    left: float
    top: float
    colour: int
    text: str
    name: str
    stands_out: bool


@dataclass(frozen=True)
class Tick:
    """A number at an axis, and where it stands."""

    place: float
    text: str


@dataclass(frozen=True)
class Drawing:
    """A figure through the night, as it is drawn.

    Parameters
    ----------
    title
        What is drawn.
    marks
        A point for each frame.
    lines
        For each series, its colour and the points of a line through it.
    x_ticks, y_ticks
        Of the axes.
    """

    title: str
    marks: list[Mark]
    lines: list[tuple[int, str]]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    bottom: int = HEIGHT - _BOTTOM
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two others.

    Examples
    --------
    >>> ticks(0, 10), ticks(1.2, 1.9)
    ([0.0, 5.0, 10.0], [1.2, 1.4, 1.6, 1.8])
    """
    rough = (high - low) / _N_TICKS
    scale = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next(scale * times for times in (1, 2, 5, 10) if scale * times >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def clock(hours: float) -> str:
    """Return hours since a midnight as a time of day.

    Examples
    --------
    >>> clock(25.5), clock(3)
    ('01:30', '03:00')
    """
    minutes = round(hours * 60) % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def drawing(title: str, points: Sequence[Point], by_time: bool, style: str = "{:.4g}") -> Drawing:
    """Lay out a figure through the night.

    Parameters
    ----------
    title
        What it is, with its unit.
    points
        The frames, in the order of time; at least one.
    by_time
        Whether ``x`` are hours; else numbers.
    style
        How a figure is written.
    """
    xs, ys = [point.x for point in points], [point.y for point in points]
    x_low, x_high = _range(min(xs), max(xs))
    y_low, y_high = _range(min(ys), max(ys))

    def across(x: float) -> float:
        return round(_LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT), 1)

    def down(y: float) -> float:
        part = (y - y_low) / (y_high - y_low)
        return round(HEIGHT - _BOTTOM - part * (HEIGHT - _BOTTOM - _TOP), 1)

    marks = [
        Mark(
            across(point.x),
            down(point.y),
            point.series % _N_COLOURS,
            f"{point.name}: {style.format(point.y)}",
            point.name,
            point.stands_out,
        )
        for point in points
    ]
    lines: dict[int, list[str]] = {}
    for point in points:
        lines.setdefault(point.series, []).append(f"{across(point.x)},{down(point.y)}")
    return Drawing(
        title,
        marks,
        [(series % _N_COLOURS, " ".join(places)) for series, places in lines.items()],
        [Tick(across(x), clock(x) if by_time else f"{x:g}") for x in ticks(x_low, x_high)],
        [Tick(down(y), f"{y:g}") for y in ticks(y_low, y_high)],
    )


def _range(low: float, high: float) -> tuple[float, float]:
    """Return what an axis shows: a little more than what there is."""
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin
