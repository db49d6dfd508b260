"""The report of a night: one page that shows whether it is good, and its figures as data."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daskred import __version__
from daskred.arrays.masterfiles import data_images
from daskred.cameras.read import read_camera
from daskred.cameras.rules import Camera
from daskred.engine.progress import Progress, Silent
from daskred.fits.hdus import read_hdus
from daskred.fits.parts import Part, part_in, place
from daskred.measure.stars import can_find_stars
from daskred.measure.table import Row, as_csv, measured
from daskred.model.errors import FrameError, RequestError
from daskred.model.frame import Facts
from daskred.night.facts import facts_of
from daskred.report.figures import SHOWN, drawings_of, series_of
from daskred.report.masters import Master, shown_master
from daskred.report.records import Record, read_record, relative
from daskred.report.thumbnails import address_of, grey, side_for, small_pixels

PAGE, AS_JSON, AS_CSV = "report.html", "report.json", "report.csv"
# Somewhere at their beginnings, by which they are known.
_OURS = {
    PAGE: '<meta name="generator" content="daskred',
    AS_JSON: '{\n "version": "',
    AS_CSV: "name,kind,time,",
}


@dataclass(frozen=True)
class Science:
    """A science frame as the page shows it: its row, its picture, its cells."""

    row: Row
    picture: str
    link: str
    cells: list[tuple[str, str, str, bool]]
    masters: str
    number: int


@dataclass(frozen=True)
class Report:
    """What a report has become.

    Parameters
    ----------
    page
        The page.
    rows
        The science frames.
    """

    page: Path
    rows: tuple[Row, ...]


def write_report(
    out: str | Path,
    before: str | Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write the report of a night: ``report.html``, ``report.json`` and ``report.csv``.

    It is made of the log and of the products of the last run, so that it can be made later.

    Parameters
    ----------
    out
        The folder of products.
    before
        A folder of products of an earlier night, whose masters are compared.
    workers
        How many frames are measured at once; None for one for each processor.
    progress
        Told how far it is.

    Raises
    ------
    RequestError
        When no run has written there, or the page cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, reduce_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name + "/night", shape=(32, 32), n_darks=3, n_flats=3, n_science=2)
    >>> _ = reduce_night(open_night(folder.name + "/night"), folder.name + "/out")
    >>> report = write_report(folder.name + "/out")
    >>> report.page.name, len(report.rows)
    ('report.html', 2)
    >>> folder.cleanup()
    """
    progress = progress or Silent()
    record = read_record(out)
    if before is not None:
        read_record(before)  # it is one
    check_place(record.out)
    camera = _camera(record)
    names = [*record.masters, *record.science]
    side = side_for(len(names))
    rows, pictures = measured(
        [_row(record, name, camera) for name in names],
        workers,
        progress,
        partial(_picture, side),
    )
    n_masters = len(record.masters)
    masters = [
        shown_master(record, row, picture or "", before)
        for row, picture in zip(rows[:n_masters], pictures[:n_masters], strict=True)
    ]
    science = rows[n_masters:]
    text = _rendered(record, masters, science, pictures[n_masters:])
    _write(record.out / AS_JSON, _as_json(record, rows))
    _write(record.out / AS_CSV, as_csv(science))
    _write(record.out / PAGE, text)
    return Report(record.out / PAGE, tuple(science))


def check_place(out: Path) -> None:
    """Raise RequestError where files of others have the names of ours; best before any work."""
    for name in _OURS:
        _check_ours(out / name)


def _check_ours(path: Path) -> None:
    """Raise RequestError where somebody else's file has the name of one of ours."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            begin = file.read(1000)
            if begin.strip() and _OURS[path.name] not in begin:
                raise RequestError(f"{path}: stands there already, and daskred did not make it")
    except FileNotFoundError:
        return
    except OSError as error:
        raise RequestError(f"{path}: cannot be read: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    part = part_in(path.parent)
    try:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
        place([Part(part, path)], sync=False)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RequestError(f"{path}: cannot be written: {error.strerror}") from error


def _camera(record: Record) -> Camera:
    """Return the rules that the run went by; the common ones where they are gone."""
    try:
        return read_camera(record.request.get("camera"))
    except RequestError:
        return read_camera()


def _row(record: Record, name: str, camera: Camera) -> Row:
    """Return the row of a product, before anything is measured."""
    line, path = record.products[name], str(record.out / name)
    is_master = name in record.masters
    shown = Path(name).stem if is_master else str(line.get("source", name))
    try:
        headers = [hdu.header for hdu in read_hdus(path)[:2]]
        facts = facts_of(path, headers, camera)
        images, error = tuple(data_images(path)), ""
    except FrameError as problem:
        facts, images, error = Facts(), (), problem.reason
    return Row(
        name=shown,
        kind="master" if is_master else "science",
        time=facts.time_obs,
        exptime_s=facts.exptime_s,
        filter=facts.filter,
        target=facts.object,
        path=path,
        images=images,
        error=error,
    )


def _picture(side: int, row: Row) -> str:
    is_flat = row.kind == "master" and "Flat" in row.name
    small = small_pixels(row.path, row.images, side)
    return address_of(grey(small, stretched=not is_flat), side)


def _as_json(record: Record, rows: Sequence[Row]) -> str:
    return json.dumps(
        {
            "version": __version__,
            "outcome": record.outcome,
            "time": record.time,
            "command": record.command,
            "notes": list(record.notes),
            "left_out": [
                {"name": entry.name, "reason": entry.reason, "failed": entry.failed}
                for entry in record.left_out
            ],
            "frames": [row.numbers for row in rows],
        },
        indent=1,
        allow_nan=False,
    )


def _science(record: Record, number: int, row: Row, picture: str | None) -> Science:
    cells = []
    for figure in SHOWN:
        value = figure.value(row.quality)
        known = math.isfinite(value)
        out = any(name in row.stands_out for name in figure.rules)
        told = figure.style.format(value) if known else ""
        cells.append((figure.short, told, f"{value:.8g}" if known else "", out))
    masters = _masters_of(row.path) if not row.error else ""
    return Science(row, picture or "", relative(Path(row.path), record.out), cells, masters, number)


def _masters_of(path: str) -> str:
    header = read_hdus(path)[0].header
    cards = ("ZEROCOR", "DARKCOR", "FLATCOR", "FRINGCOR", "ILLUMCOR")
    return ", ".join(str(header.get(card)).strip() for card in cards if header.get(card))


def _rendered(
    record: Record,
    masters: Sequence[Master],
    science: Sequence[Row],
    pictures: Sequence[str | None],
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    drawings, series = drawings_of(science)
    environment = Environment(
        loader=PackageLoader("daskred.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    frames = [
        _science(record, number, row, picture)
        for number, (row, picture) in enumerate(zip(science, pictures, strict=True), start=1)
    ]
    named = [f"{frame.row.name} stands out" for frame in frames if frame.row.stands_out]
    return environment.get_template("page.html.j2").render(
        version=__version__,
        record=record,
        notes=[text for text in record.notes if not any(text.startswith(f) for f in named)],
        title=", ".join(Path(source).name for source in record.request.get("sources", ())),
        masters=masters,
        frames=frames,
        figures=SHOWN,
        drawings=drawings,
        series=series,
        failed=[entry for entry in record.left_out if entry.failed],
        passed_over=[entry for entry in record.left_out if not entry.failed],
        standing_out=[frame for frame in frames if frame.row.stands_out],
        stretches=_stretches(frames),
        can_find_stars=can_find_stars(),
        units=_units(science),
    )


def _stretches(frames: Sequence[Science]) -> list[list[Science]]:
    """Return frames that follow each other and stand out in the same, as clouds make them."""
    found: list[list[Science]] = []
    before: object = None
    ordered = sorted(frames, key=lambda f: (series_of(f.row), f.row.time or "", f.row.name))
    for frame in ordered:
        alike = series_of(frame.row), frozenset(frame.row.stands_out)
        if frame.row.stands_out and alike == before:
            found[-1].append(frame)
        elif frame.row.stands_out:
            found.append([frame])
        before = alike
    return found


def _units(rows: Sequence[Row]) -> str:
    """Return the unit of the pixels, of the first frame that tells it."""
    for row in rows:
        if not row.error:
            header = read_hdus(row.path)[0].header
            return str(header.get("BUNIT") or "").strip()
    return ""
