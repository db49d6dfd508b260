"""``daskred show``."""

from __future__ import annotations

import argparse
from pathlib import Path

from daskred.cli.status import ALL_DONE
from daskred.model.errors import RequestError

TEXT = "Show frames side by side, in grey from the 5th to the 95th percentile."
EXAMPLE = "daskred show raw.fits calibrated.fits -o picture.png"


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, patterns or folders")
    parser.add_argument("-o", "--out", metavar="PNG", help="write the picture there")
    parser.add_argument("--zscale", action="store_true", help="grey limits as IRAF chooses them")


def run(arguments: argparse.Namespace) -> int:
    """Show frames."""
    from daskred.cli.terminal import stdout
    from daskred.night.files import find_files
    from daskred.report.pictures import has_screen, open_window, panels_of, picture, save_picture

    files = [path for path, _ in find_files(arguments.files)]
    if not files:
        raise RequestError(f"no frames found below {', '.join(arguments.files)}")
    figure = picture(panels_of(files), "zscale" if arguments.zscale else "percentile")
    if not arguments.out and has_screen() and open_window(figure):
        return ALL_DONE
    target = Path(arguments.out or "daskred-show.png")
    save_picture(figure, target)
    stdout().print(f"picture: {target}", markup=False)
    return ALL_DONE
