"""The report of a night: one page that shows whether it is good, and its figures as data."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daskred import __version__
from daskred.arrays.masterfiles import images_in
from daskred.cameras.read import read_camera
from daskred.cameras.rules import Camera
from daskred.engine.progress import Progress, Silent
from daskred.fits.hdus import read_hdus
from daskred.fits.parts import write_whole
from daskred.fits.remote import is_remote
from daskred.measure.stars import can_find_stars
from daskred.measure.table import Row, as_csv, measured
from daskred.model.errors import FrameError, RequestError
from daskred.model.frame import Facts
from daskred.model.paths import absolute
from daskred.night.facts import facts_of
from daskred.products.places import products_at
from daskred.products.provenance import check_own_text
from daskred.report.figures import SHOWN, drawings_of, series_of
from daskred.report.masters import Master, shown_master, told_by
from daskred.report.records import Record, is_master, read_record, relative, tell_numbers
from daskred.report.thumbnails import address_of, grey, side_for, small_pixels

PAGE, AS_JSON, AS_CSV = "report.html", "report.json", "report.csv"
_OF_MASTERS = ("ZEROCOR", "DARKCOR", "FLATCOR", "FRINGCOR", "ILLUMCOR")
_CARDS = ("BUNIT", "COMBINE", "REJECT", *_OF_MASTERS)
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

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name + "/night", shape=(16, 16), n_darks=3, n_flats=2)
    >>> _ = daskred.reduce_night(folder.name + "/night", folder.name + "/out")
    >>> daskred.write_report(folder.name + "/out").page.name
    'report.html'
    >>> folder.cleanup()
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
        The folder of products, or their address.
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
    with products_at(out, progress) as place:
        report = _reported(place.folder, before, workers, progress)
        for name in _OURS:
            place.put(name)
        return report


def _reported(
    out: Path, before: str | Path | None, workers: int | None, progress: Progress
) -> Report:
    record = read_record(out)
    if before is not None:
        read_record(before)  # it is one
    check_place(record.out)
    camera = _camera(record)
    names = [*record.masters, *record.science]
    opened = [_opened(record, name, camera) for name in names]
    work = partial(_picture, side_for(len(names)))
    rows, pictures = measured([row for row, _ in opened], workers, progress, work)
    shown = [
        (row, cards, picture or "")
        for row, (_, cards), picture in zip(rows, opened, pictures, strict=True)
    ]
    n_masters = len(record.masters)
    masters = [shown_master(record, *known, before) for known in shown[:n_masters]]
    frames = [
        _science(record, number, *known) for number, known in enumerate(shown[n_masters:], start=1)
    ]
    # That of the first frame that tells it.
    units = next((cards["BUNIT"] for _, cards, _ in shown[n_masters:] if "BUNIT" in cards), "")
    text = _rendered(record, masters, frames, units)
    science = rows[n_masters:]
    tell_numbers(record, science)
    _write(record.out / AS_JSON, _as_json(record, rows))
    _write(record.out / AS_CSV, as_csv(science))
    _write(record.out / PAGE, text)
    return Report(record.out / PAGE, tuple(science))


def check_place(out: str | Path) -> None:
    """Raise RequestError where files of others have the names of ours; best before any work.

    What stands at an address is seen when it is fetched.
    """
    if is_remote(str(out)):
        return
    out = absolute(out)
    for name, mark in _OURS.items():
        check_own_text(out / name, mark)


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text.encode(errors="backslashreplace"), sync=False)
    except OSError as error:
        raise RequestError(f"{path}: cannot be written: {error.strerror}") from error


def _camera(record: Record) -> Camera:
    """Return the rules that the run went by; the common ones where they are gone."""
    try:
        return read_camera(record.request.get("camera"))
    except RequestError:
        return read_camera()


def _opened(record: Record, name: str, camera: Camera) -> tuple[Row, dict[str, str]]:
    """Return the row of a product, before anything is measured, and cards that are shown."""
    line, path = record.products[name], str(record.out / name)
    shown = Path(name).stem if is_master(name) else str(line.get("source", name))
    cards: dict[str, str] = {}
    try:
        hdus = read_hdus(path)
        facts = facts_of(path, [hdu.header for hdu in hdus[:2]], camera)
        images, error = tuple(images_in(path, hdus)), ""
        texts = {card: str(hdus[0].header.get(card) or "").strip() for card in _CARDS}
        cards = {card: text for card, text in texts.items() if text}
    except FrameError as problem:
        facts, images, error = Facts(), (), problem.reason
    row = Row(
        name=shown,
        kind="master" if is_master(name) else "science",
        time=facts.time_obs,
        exptime_s=facts.exptime_s,
        filter=facts.filter,
        target=facts.object,
        path=path,
        images=images,
        error=error,
    )
    return row, cards


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


def _science(record: Record, number: int, row: Row, cards: dict[str, str], picture: str) -> Science:
    cells = []
    for figure in SHOWN:
        value = row.quality.figure(figure.name)
        known = math.isfinite(value)
        told = figure.style.format(value) if known else ""
        is_out = figure.rule in row.stands_out
        cells.append((figure.short, told, f"{value:.8g}" if known else "", is_out))
    masters = told_by(cards, *_OF_MASTERS)
    return Science(row, picture, relative(Path(row.path), record.out), cells, masters, number)


def _rendered(
    record: Record,
    masters: Sequence[Master],
    frames: Sequence[Science],
    units: str,
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    drawings, series = drawings_of([frame.row for frame in frames])
    environment = Environment(
        loader=PackageLoader("daskred.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
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
        units=units,
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
