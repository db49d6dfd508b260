"""``daskred reduce``."""

from __future__ import annotations

import argparse
import contextlib
import json
from typing import TYPE_CHECKING

from daskred.cli.arguments import add_night, add_options, asked, opened
from daskred.cli.plan import print_plan
from daskred.cli.status import ALL_DONE, SOME_FAILED, status_of
from daskred.model.errors import RequestError, RunError
from daskred.model.paths import absolute
from daskred.options import BY_NAME

if TYPE_CHECKING:
    from daskred.run.summary import Summary

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
    parser.add_argument(
        "--json", action="store_true", help="print what was done (--dry-run: the plan) as JSON"
    )
    parser.add_argument(
        "--metrics", metavar="FILE", help="leave figures of the run for Prometheus there"
    )


def run(arguments: argparse.Namespace) -> int:
    """Reduce a night."""
    if arguments.dry_run:
        return print_plan(arguments, *asked(arguments, NAMES))
    if not arguments.metrics:
        return _reduced(arguments)[0]

    from daskred.run.metrics import check_metrics, write_metrics

    metrics = absolute(arguments.metrics)
    check_metrics(metrics)
    try:
        status, summary = _reduced(arguments)
    except BaseException as error:
        with contextlib.suppress(RunError):  # what has ended the run is told
            write_metrics(metrics, status_of(error), None)
        raise
    write_metrics(metrics, status, summary)
    return status


def _reduced(arguments: argparse.Namespace) -> tuple[int, Summary]:
    if not arguments.out:
        raise RequestError("-o: an empty name is no folder")
    options, _ = asked(arguments, NAMES)
    needed_next = ["daskred.run.reduce", "daskred.cli.tables"]
    if arguments.report:
        needed_next.append("daskred.report.page")
    night = opened(arguments, options, needed_next)
    if arguments.report:
        from daskred.report.page import check_place

        check_place(arguments.out)

    from daskred.cli.tables import print_failed, print_summary
    from daskred.cli.terminal import TerminalProgress
    from daskred.engine.progress import Silent
    from daskred.run.reduce import reduce_night

    progress = Silent() if arguments.quiet else TerminalProgress()
    summary = reduce_night(night, arguments.out, options, progress)
    if arguments.json:
        print(json.dumps(summary.to_dict(), indent=1))
    elif arguments.quiet:
        print_failed(summary)
    else:
        print_summary(summary)
    if arguments.report:
        from daskred.cli.report import report

        report(arguments.out, None, options.workers, progress, is_told=not arguments.json)
    return SOME_FAILED if summary.failed else ALL_DONE, summary
