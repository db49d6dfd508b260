"""``daskred inspect``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from daskred.cli.arguments import positive
from daskred.cli.status import ALL_DONE, SOME_FAILED

if TYPE_CHECKING:
    from daskred.measure.table import Row
    from daskred.model.frame import Frame
    from daskred.night.open import Night

TEXT = "Print frames in numbers: of one all that is known, of several a table."
EXAMPLE = "daskred inspect NIGHT --csv > night.csv"


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    parser.add_argument("night", nargs="+", metavar="FILE", help="files, patterns or folders")
    parser.add_argument("--camera", metavar="FILE", help="rules of a camera (TOML)")
    parser.add_argument("--details", action="store_true", help="all that is known of each frame")
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--json", action="store_true", help="the table as JSON")
    data.add_argument("--csv", action="store_true", help="the table as CSV")
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="how many frames at once (all processors)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what frames are."""
    from daskred.cli.terminal import escape, stderr
    from daskred.night.open import camera_of, open_night
    from daskred.options import Options

    options = Options(camera=arguments.camera)
    night = open_night(*arguments.night, camera=camera_of(options, arguments.night))
    as_data = arguments.json or arguments.csv
    if (arguments.details or len(night.frames) == 1) and not as_data:
        failed = _print_details(night.frames)
    else:
        failed = _print_numbers(night, arguments)
    for entry in night.left_out:
        stderr().print(escape(f"{entry.name}: {entry.reason}"))
        failed |= all(frame.path != entry.path for frame in night.frames)
    return SOME_FAILED if failed else ALL_DONE


def _print_details(frames: Sequence[Frame]) -> bool:
    """Print all that is known of frames; return whether one could not be read."""
    from rich.table import Table

    from daskred.cli.terminal import escape, stderr, stdout
    from daskred.measure.inspection import inspect_frame
    from daskred.model.errors import FrameError

    failed = False
    for frame in frames:
        try:
            sections = inspect_frame(frame)
        except FrameError as error:
            stderr().print(escape(str(error)))
            failed = True
            continue
        stdout().print(f"[bold]{escape(frame.name)}[/bold]")
        for title, rows in sections:
            table = Table(title=escape(title) or None, title_justify="left", show_header=False)
            for label, value in rows:
                table.add_row(label, escape(value))
            stdout().print(table)
    return failed


def _print_numbers(night: Night, arguments: argparse.Namespace) -> bool:
    """Print frames as a table, or as data; return whether one could not be read."""
    from daskred.cli.terminal import TerminalProgress, escape, stderr, stdout
    from daskred.measure.stars import can_find_stars
    from daskred.measure.table import as_csv, as_json, measured, row_of

    rows, _ = measured(
        [row_of(frame) for frame in night.frames], arguments.workers, TerminalProgress()
    )
    if arguments.json or arguments.csv:
        sys.stdout.write(as_csv(rows) if arguments.csv else f"{as_json(rows)}\n")
    elif rows:
        stdout().print(_table(rows))
        for row in rows:
            for text in row.stands_out.values():
                stdout().print(escape(f"{row.name} stands out: {text}"))
    if not can_find_stars():
        stderr().print("stars were not looked for: pip install 'daskred[stars]' does")
    for row in rows:
        if row.error:
            stderr().print(escape(f"{row.name}: {row.error}"))
    return any(row.error for row in rows)


def _table(rows: Sequence[Row]) -> object:
    """Return frames as a table, a row for each."""
    from rich.table import Table

    from daskred.cli.terminal import escape

    table = Table()
    for title in ("frame", "kind", "s", "filter"):
        table.add_column(title, no_wrap=title != "frame", overflow="fold")
    for title in ("level", "noise", "full", "< 0", "stars", "width", "shape"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        known = row.numbers
        if row.error:
            table.add_row(escape(row.name), row.kind)
            continue
        figures = [
            _told(known["level"], "{:.6g}"),
            _told(known["noise"], "{:.4g}"),
            _told(known["saturated"], "{:.1%}"),
            _told(known["negative"], "{:.1%}"),
            _told(known["n_stars"], "{}"),
            _told(known["fwhm_pixels"], "{:.1f}"),
            _told(known["ellipticity"], "{:.2f}"),
        ]
        facts = [row.kind, _told(row.exptime_s, "{:g}"), escape(row.filter or "")]
        style = "bold" if row.stands_out else None
        table.add_row(escape(row.name), *facts, *figures, style=style)
    return table


def _told(value: object, style: str) -> str:
    return "" if value is None else style.format(value)
