"""``daskred report``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from daskred.cli.arguments import positive
from daskred.cli.status import ALL_DONE

if TYPE_CHECKING:
    from daskred.engine.progress import Progress

TEXT = "Write a page that shows whether a night is good: masters, frames, figures, what stands out."
EXAMPLE = "daskred report OUT"


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    parser.add_argument("out", metavar="OUT", help="folder of the products")
    parser.add_argument(
        "--before", metavar="OUT", help="products of an earlier night, to compare its masters"
    )
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="how many frames at once (all processors)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the report."""
    from daskred.cli.terminal import TerminalProgress

    report(arguments.out, arguments.before, arguments.workers, TerminalProgress())
    return ALL_DONE


def report(
    out: str, before: str | None, workers: int | None, progress: Progress, is_told: bool = True
) -> None:
    """Write the report, and say where it is, unless stdout is for something else."""
    from daskred.cli.terminal import stdout, typed
    from daskred.report.page import write_report

    found = write_report(out, before, workers, progress)
    if is_told:
        stdout().print(f"report: {typed(found.page)}", markup=False)
