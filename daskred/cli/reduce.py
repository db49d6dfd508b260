"""``daskred reduce``."""

from __future__ import annotations

import argparse
from pathlib import Path

from daskred.cli.arguments import add_night, add_options, asked, opened
from daskred.cli.plan import print_plan
from daskred.cli.status import ALL_DONE, SOME_FAILED
from daskred.model.errors import RequestError
from daskred.options import BY_NAME

TEXT = "Make masters, and calibrate the science frames."
EXAMPLE = "daskred reduce NIGHT -o OUT"
NAMES = tuple(BY_NAME)


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    add_night(parser)
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help="folder of the products")
    add_options(parser, NAMES, show_all)
    parser.add_argument("--quiet", action="store_true", help="print nothing but what went wrong")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan and the options, and do nothing"
    )
    parser.add_argument(
        "--report", action="store_true", help="write OUT/report.html too: is the night good?"
    )
    parser.add_argument("--json", action="store_true", help="with --dry-run: the plan as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Reduce a night."""
    if arguments.json and not arguments.dry_run:
        raise RequestError("--json goes with --dry-run: it prints the plan")
    if not arguments.out:
        raise RequestError("-o: an empty name is no folder")
    options, origins = asked(arguments, NAMES)
    if arguments.dry_run:
        return print_plan(arguments, options, origins)

    if arguments.report:
        from daskred.report.page import check_place

        check_place(Path(arguments.out))
    night = opened(arguments, options, ("daskred.run.reduce", "daskred.cli.tables"))

    from daskred.cli.tables import print_failed, print_summary
    from daskred.cli.terminal import TerminalProgress
    from daskred.engine.progress import Silent
    from daskred.run.reduce import reduce_night

    progress = Silent() if arguments.quiet else TerminalProgress()
    summary = reduce_night(night, arguments.out, options, progress)
    if arguments.quiet:
        print_failed(summary)
    else:
        print_summary(summary)
    if arguments.report:
        from daskred.cli.report import report

        report(arguments.out, None, options.workers, progress)
    return SOME_FAILED if summary.failed else ALL_DONE
