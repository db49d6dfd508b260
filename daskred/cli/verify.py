"""``daskred verify``."""

from __future__ import annotations

import argparse
import json

from daskred.cli.arguments import positive
from daskred.cli.status import ALL_DONE, SOME_FAILED

TEXT = "Check every product of a run, and print what mends what is wrong."
EXAMPLE = "daskred verify OUT"


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    parser.add_argument("out", metavar="OUT", help="folder of the products")
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="how many tasks at once (all processors)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check the products of a run."""
    from daskred.cli.tables import print_verification
    from daskred.cli.terminal import TerminalProgress
    from daskred.run.verify import verify

    found = verify(arguments.out, arguments.workers, TerminalProgress())
    if arguments.json:
        print(json.dumps(found.to_dict(), indent=1))
    else:
        print_verification(found)
    return SOME_FAILED if found.findings or found.frames else ALL_DONE
