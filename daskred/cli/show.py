"""``daskred show``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from daskred.cli.status import ALL_DONE
from daskred.model.errors import RequestError

if TYPE_CHECKING:
    from daskred.report.pictures import Limits

TEXT = "Show frames side by side, or one after the other, in grey: 24 of them at most."
EXAMPLE = "daskred show raw.fits calibrated.fits -o picture.png"


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, patterns or folders")
    parser.add_argument("-o", "--out", metavar="PNG", help="write the picture there")
    parser.add_argument(
        "--blink", action="store_true", help="two frames in turn, as a PNG, or GIF, that moves"
    )
    parser.add_argument("--zscale", action="store_true", help="grey limits as IRAF chooses them")


def run(arguments: argparse.Namespace) -> int:
    """Show frames."""
    from daskred.cli.terminal import stdout
    from daskred.report.pictures import (
        blinking,
        has_screen,
        open_window,
        panels_of,
        picture,
        save_picture,
    )
    from daskred.report.show import files_named

    files = files_named(arguments.files)
    limits: Limits = "zscale" if arguments.zscale else "percentile"
    if arguments.blink:
        if len(files) != 2:
            raise RequestError(f"--blink: shows two frames in turn; {len(files)} are named")
        target = Path(arguments.out or "daskred-show.png")
        blinking(panels_of(files)[0], limits, target)
        stdout().print(f"picture: {target}", markup=False)
        return ALL_DONE
    panels, n_more = panels_of(files)
    if n_more:
        stdout().print(f"{len(files) - n_more} frames are shown, and {n_more} more are not")
    figure = picture(panels, limits)
    if not arguments.out and has_screen() and open_window(figure):
        return ALL_DONE
    target = Path(arguments.out or "daskred-show.png")
    save_picture(figure, target)
    stdout().print(f"picture: {target}", markup=False)
    return ALL_DONE
