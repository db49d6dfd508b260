"""``daskred watch``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from daskred.cli.arguments import add_night, add_options, asked, opened, positive
from daskred.cli.status import ALL_DONE, SOME_FAILED
from daskred.model.errors import RequestError, RunError
from daskred.model.paths import absolute
from daskred.options import BY_NAME
from daskred.products.log import LOG_NAME

TEXT = "Reduce a night while its frames arrive, until Ctrl-C."
EXAMPLE = "daskred watch NIGHT -o OUT --report"
# What is done already is the very thing that a watch knows.
NAMES = tuple(name for name in BY_NAME if name != "overwrite")
# A page of many frames takes a while: so much of the time goes into it at most.
_REPORT_SHARE = 0.1
_REPORT_EVERY_S = 20.0


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    add_night(parser)
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help="folder of the products")
    parser.add_argument(
        "--settle",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="frames of a master are complete when none has come for so long (30)",
    )
    parser.add_argument(
        "--complete",
        action="append",
        default=[],
        metavar="KIND=N",
        help="or when there are so many: bias=31, dark=61, flat=61",
    )
    parser.add_argument(
        "--end-after",
        type=_seconds,
        metavar="SECONDS",
        help="end when nothing has come for so long",
    )
    parser.add_argument("--report", action="store_true", help="keep OUT/report.html up to date")
    add_options(parser, NAMES, show_all)


def _seconds(text: str) -> float:
    """Parse a time."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Watch a night."""
    from daskred.cli.tables import print_summary
    from daskred.cli.terminal import escape, stderr, stdout, typed
    from daskred.night.known import Known
    from daskred.run.watch import Patience, watch_night

    if not arguments.out:
        raise RequestError("-o: an empty name is no folder")
    out = absolute(arguments.out)
    options, _ = asked(arguments, NAMES)
    patience = Patience(arguments.settle, _complete(arguments.complete), arguments.end_after)
    messages, known = stderr(), Known()

    def tell(text: str) -> None:
        messages.print(escape(f"{time.strftime('%H:%M:%S')} {text}"))

    if arguments.report:
        from daskred.report.page import check_place

        check_place(out)
    reports = _Reports(out, options.workers, tell) if arguments.report else None
    summary = watch_night(
        lambda: opened(arguments, options, known=known),
        arguments.night,
        out,
        options,
        patience,
        tell,
        reports.refresh if reports else None,
    )
    if summary is None:
        stdout().print("nothing has come")
        return ALL_DONE
    print_summary(summary)
    if reports:
        stdout().print(f"report: {typed(reports.write())}", markup=False)
    return SOME_FAILED if summary.failed else ALL_DONE


class _Reports:
    """Keeps the report up to date, but not all the time."""

    def __init__(self, out: Path, workers: int | None, tell: Callable[[str], None]) -> None:
        self._out, self._workers, self._tell = out, workers, tell
        self._next = 0.0
        self._size = 0  # of the log, when the page was made

    def refresh(self) -> None:
        """Write the report, where the last one is old, and something was done since."""
        try:
            if self._log_size() != self._size and time.monotonic() >= self._next:
                self.write()
                self._size = self._log_size()  # to which the report may have added
        except (RequestError, RunError, OSError) as error:  # frames are worth more than the page
            if time.monotonic() >= self._next:
                self._tell(str(error))
                self._next = time.monotonic() + _REPORT_EVERY_S

    def _log_size(self) -> int:
        log = self._out / LOG_NAME
        return log.stat().st_size if log.exists() else 0

    def write(self) -> Path:
        """Write the report; return the page."""
        from daskred.engine.progress import Silent
        from daskred.report.page import write_report

        start = time.monotonic()
        found = write_report(self._out, None, self._workers, Silent())
        end = time.monotonic()
        self._next = end + max(_REPORT_EVERY_S, (end - start) / _REPORT_SHARE)
        return found.page


def _complete(words: list[str]) -> dict[str, int]:
    """Parse how many frames make a set complete, by kind."""
    found = {}
    for word in words:
        kind, _, number = word.partition("=")
        if kind not in ("bias", "dark", "flat"):
            raise RequestError(f"--complete {word}: the kind is bias, dark or flat, as dark=61")
        try:
            found[kind] = positive(number)
        except argparse.ArgumentTypeError as error:
            raise RequestError(f"--complete {word}: {error}") from error
    return found
