"""``daskred plan``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from daskred.cli.arguments import NIGHT, add_night, add_options, asked, opened
from daskred.cli.status import ALL_DONE, SOME_FAILED
from daskred.options import DETECTOR, TABLE, Options

TEXT = "Print what would be made from what, and why."
EXAMPLE = "daskred plan NIGHT"
NAMES = (
    *NIGHT,
    *DETECTOR,
    *(option.name for option in TABLE if option.group == "matching"),
    "illumination",  # which need masters of their own
    "fringe",
)


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    add_night(parser)
    add_options(parser, NAMES, show_all)
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the plan of a night."""
    options, _ = asked(arguments, NAMES)
    return print_plan(arguments, options, {})


def print_plan(arguments: argparse.Namespace, options: Options, origins: Mapping[str, str]) -> int:
    """Print a plan, and where options come from; status 1 where a frame would be missing."""
    from daskred.night.plan import make_plan
    from daskred.products.library import with_given

    plan = make_plan(with_given(opened(arguments, options), options), options)
    if arguments.json:
        print(json.dumps(plan.to_dict(), indent=1))
    else:
        from daskred.cli.tables import print_origins, print_plan
        from daskred.run.reduce import plan_memory

        used = plan.masters or plan.science
        print_plan(plan, plan_memory(plan, options) if used else None)
        print_origins(options, origins)
    return SOME_FAILED if any(entry.failed for entry in plan.left_out) else ALL_DONE
