"""``daskred mask``."""

from __future__ import annotations

import argparse
import json

from daskred.cli.measured import add_measured, open_measured, told_failed

TEXT = "Find hot, unstable, dead and non-linear pixels, and write them as a mask."
EXAMPLE = "daskred mask NIGHT -o OUT"


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    add_measured(parser, show_all, "BadPixels.fits")


def run(arguments: argparse.Namespace) -> int:
    """Find bad pixels."""
    from daskred.cli.tables import print_bad_pixels
    from daskred.cli.terminal import TerminalProgress
    from daskred.measure.bad_pixels import find_bad_pixels

    night, options = open_measured(arguments)
    found = find_bad_pixels(night, arguments.out, options, TerminalProgress())
    if arguments.json:
        print(json.dumps(found.to_dict(), indent=1))
    else:
        print_bad_pixels(found)
    return told_failed(found.failed, is_data=arguments.json)
