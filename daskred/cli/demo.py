"""``daskred demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from daskred.cli.status import ALL_DONE, SOME_FAILED
from daskred.model.errors import RequestError

TEXT = "Simulate a night, reduce it, compare it with the truth, and draw it."
EXAMPLE = "daskred demo -o daskred-demo"


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "-o", "--out", default="daskred-demo", metavar="FOLDER", help="(daskred-demo)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Show what daskred does."""
    from daskred.cli.tables import print_summary
    from daskred.cli.terminal import TerminalProgress, stdout
    from daskred.report.demo import PICTURE, run_demo

    if not arguments.out:
        raise RequestError("-o: an empty name is no folder")
    folder = Path(arguments.out)
    summary, found = run_demo(folder, TerminalProgress())
    print_summary(summary)
    console = stdout()
    console.print("compared with the truth (scatter over all pixels):")
    console.print(f"  master dark of 10 s  {found.dark_adu:.2f} ADU")
    console.print(f"  master flat          {found.flat:.3%}")
    console.print(f"  calibrated frame     {found.science:.2f} of the noise that photons leave")
    console.print(f"picture: {folder / PICTURE}", markup=False)
    return SOME_FAILED if summary.failed else ALL_DONE
