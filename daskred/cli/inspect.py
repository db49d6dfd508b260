"""``daskred inspect``."""

from __future__ import annotations

import argparse

from daskred.cli.status import ALL_DONE, SOME_FAILED
from daskred.options import Options

TEXT = "Print type, shape, exposure, kind and statistics of frames."
EXAMPLE = "daskred inspect dark/dark_10s-01.fits"


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    parser.add_argument("night", nargs="+", metavar="FILE", help="files, patterns or folders")
    parser.add_argument("--camera", metavar="FILE", help="rules of a camera (TOML)")


def run(arguments: argparse.Namespace) -> int:
    """Print what frames are."""
    from rich.table import Table

    from daskred.cli.terminal import escape, stderr, stdout
    from daskred.measure.inspection import inspect_frame
    from daskred.model.errors import FrameError
    from daskred.night.open import camera_of, open_night

    options = Options(camera=arguments.camera)
    night = open_night(*arguments.night, camera=camera_of(options, arguments.night))
    console, messages = stdout(), stderr()
    failed = False
    for frame in night.frames:
        try:
            sections = inspect_frame(frame)
        except FrameError as error:
            messages.print(escape(str(error)))
            failed = True
            continue
        console.print(f"[bold]{escape(frame.name)}[/bold]")
        for title, rows in sections:
            table = Table(title=escape(title) or None, title_justify="left", show_header=False)
            for label, value in rows:
                table.add_row(label, escape(value))
            console.print(table)
    for entry in night.left_out:
        messages.print(escape(f"{entry.name}: {entry.reason}"))
        failed |= all(frame.path != entry.path for frame in night.frames)
    return SOME_FAILED if failed else ALL_DONE
