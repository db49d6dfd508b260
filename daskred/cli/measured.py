"""What the commands have in common that measure a detector from a night."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from daskred.cli.arguments import NIGHT, WORKERS, add_night, add_options, asked, opened
from daskred.cli.status import ALL_DONE, SOME_FAILED
from daskred.model.errors import RequestError
from daskred.options import DETECTOR, Options

if TYPE_CHECKING:
    from daskred.model.plan import LeftOut
    from daskred.night.open import Night

# A detector is measured in ADU.
NAMES = (*NIGHT, *(name for name in DETECTOR if name != "unit"), *WORKERS)


def add_measured(parser: argparse.ArgumentParser, show_all: bool, gives: str) -> None:
    """Add the arguments of a command that measures."""
    add_night(parser)
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help=f"folder of {gives}")
    add_options(parser, NAMES, show_all)
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")


def open_measured(arguments: argparse.Namespace) -> tuple[Night, Options]:
    """Open a night whose detector is measured, in ADU."""
    if not arguments.out:
        raise RequestError("-o: an empty name is no folder")
    options, _ = asked(arguments, NAMES)
    return opened(arguments, options.but(unit="adu")), options


def told_failed(failed: Sequence[LeftOut], is_data: bool) -> int:
    """Print the frames that could not be used, and return the status.

    Where data goes to stdout, they are told on stderr.
    """
    from daskred.cli.tables import left_out_table
    from daskred.cli.terminal import stderr, stdout

    if not failed:
        return ALL_DONE
    (stderr() if is_data else stdout()).print(left_out_table(failed))
    return SOME_FAILED
