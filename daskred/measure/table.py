"""Frames in numbers, as a table: a row for each, which people, JSON and CSV can have."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from daskred.arrays.frames import TASK_PIXELS, frame_tasks
from daskred.engine.executor import Executor, Workers, open_pool
from daskred.engine.progress import Progress
from daskred.measure.outliers import beside_the_first, standing_out
from daskred.measure.quality import Quality, quality_of
from daskred.model.errors import FrameError
from daskred.model.frame import Frame, Image
from daskred.night.times import mjd_of

# What a row holds beside the frame's facts, and how many digits of it mean something.
FIGURES: Mapping[str, int] = {
    **{"level": 5, "noise": 4, "saturated": 3, "negative": 3, "missing": 3},
    **{"n_stars": 6, "fwhm_pixels": 3, "ellipticity": 2},
    **{"shift_y_pixels": 4, "shift_x_pixels": 4, "starlight": 3},
}
_PER_TASK = 8


@dataclass(frozen=True)
class Row:
    """A frame, and what was measured of it.

    Parameters
    ----------
    name, kind, time, exptime_s, filter, target
        Facts of its header; None where it tells none.
    path, images
        Its file, and what is measured in it.
    saturation_adu
        From which on a pixel is saturated; None where nothing tells it.
    quality
        Its numbers.
    stands_out
        In what it differs from others of its kind, filter, exposure time and target, by the names
        of rules: sentences.
    error
        Why it could not be measured; empty where it was.
    """

    name: str
    kind: str
    time: str | None
    exptime_s: float | None
    filter: str | None
    target: str | None
    path: str
    images: tuple[Image, ...]
    saturation_adu: float | None = None
    quality: Quality = field(default_factory=Quality)
    stands_out: Mapping[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def numbers(self) -> dict[str, Any]:
        """The row as plain data: None where nothing is known."""
        found: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "time": self.time,
            "exptime_s": self.exptime_s,
            "filter": self.filter,
            "object": self.target,
        }
        for name, digits in FIGURES.items():
            value = self.quality.figure(name)
            found[name] = float(f"{value:.{digits}g}") if math.isfinite(value) else None
        if found["n_stars"] is not None:
            found["n_stars"] = int(found["n_stars"])
        found["columns"] = [column + 1 for column in self.quality.columns]
        found["stands_out"] = dict(self.stands_out)
        found["error"] = self.error or None
        return found


def row_of(frame: Frame) -> Row:
    """Return the row of a raw frame, before anything is measured."""
    limits = [amplifier.saturation_adu for amplifier in frame.readout.amplifiers]
    told = [limit for limit in limits if limit is not None]
    facts = frame.facts
    return Row(
        name=frame.name,
        kind=frame.kind,
        time=facts.time_obs,
        exptime_s=facts.exptime_s,
        filter=facts.filter,
        target=facts.object,
        path=frame.path,
        images=frame.images,
        saturation_adu=min(told) if told else None,
    )


def measured(
    rows: Sequence[Row],
    workers: int | None,
    progress: Progress,
    also: Callable[[Row], Any] | None = None,
) -> tuple[list[Row], list[Any]]:
    """Measure frames, many at once; return their rows, and what else was asked of each.

    Parameters
    ----------
    rows
        Not measured yet; those with an error are left as they are.
    workers
        How many at once; None for one for each processor.
    progress
        Told how far it is.
    also
        Called with each row that was measured, by a worker; None where it could not be.
    """
    if not rows:
        return [], []
    found: dict[str, tuple[Row, Any]] = {}
    n_pixels = max(sum(image.n_pixels for image in row.images) for row in rows)
    n_each = max(1, min(_PER_TASK, TASK_PIXELS // max(n_pixels, 1)))
    paths = [row.path for row in rows]
    tasks = frame_tasks("numbers", rows, paths, n_each, partial(_measure, also))
    with Executor(open_pool(Workers(workers))) as executor:
        progress.begin("Frames in numbers", len(rows), "frames")
        for task, results in executor.run(tasks):
            for row, result in zip(task.items, results, strict=True):
                given_up = isinstance(result, FrameError)
                found[row.path] = (replace(row, error=result.reason), None) if given_up else result
            progress.advance(len(results))
        progress.end()
    ordered = [found[row.path] for row in rows]
    return with_outliers([row for row, _ in ordered]), [other for _, other in ordered]


def _measure(also: Callable[[Row], Any] | None, rows: Sequence[Row]) -> list[tuple[Row, Any]]:
    found: list[tuple[Row, Any]] = []
    for row in rows:
        if row.error:
            found.append((row, None))
            continue
        try:
            quality = quality_of(row.path, row.images, row.saturation_adu, row.kind == "science")
            known = replace(row, quality=quality)
            found.append((known, also(known) if also else None))
        except FrameError as error:
            found.append((replace(row, error=error.reason), None))
    return found


def with_outliers(rows: Sequence[Row]) -> list[Row]:
    """Return rows with what is told by the frames beside them: shifts, and what stands out."""
    groups: dict[object, list[int]] = {}
    for number, row in enumerate(rows):
        shapes = tuple(image.shape for image in row.images)
        alike = (row.kind, row.filter, row.exptime_s, row.target, shapes)
        if not row.error:
            groups.setdefault(alike, []).append(number)
    found = list(rows)
    for numbers in groups.values():
        numbers.sort(key=lambda number: mjd_of(rows[number].time) or 0.0)
        group = beside_the_first([rows[number].quality for number in numbers])
        for number, quality, texts in zip(numbers, group, standing_out(group), strict=True):
            found[number] = replace(rows[number], quality=quality, stands_out=texts)
    return found


def as_json(rows: Sequence[Row]) -> str:
    """Return rows as JSON."""
    return json.dumps([row.numbers for row in rows], indent=1, allow_nan=False)


def as_csv(rows: Sequence[Row]) -> str:
    """Return rows as CSV: lists and sentences with semicolons between them."""
    text = io.StringIO()
    numbers = [row.numbers for row in rows]
    names = list(numbers[0]) if numbers else []
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in numbers:
        columns, reasons = row["columns"], row["stands_out"]
        row["columns"] = ";".join(map(str, columns))
        writer.writerow(row | {"stands_out": ";".join(reasons.values())})
    return text.getvalue()
