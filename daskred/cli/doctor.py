"""``daskred doctor``."""

from __future__ import annotations

import argparse
import json

from daskred.cli.status import ALL_DONE

TEXT = "Say what this machine has, and what is missing: versions, kernels, memory, disk."
EXAMPLE = "daskred doctor OUT"


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "folder",
        nargs="?",
        default=".",
        metavar="FOLDER",
        help="whose disk is tried, with a file of 64 MB that goes again (this one)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Look at the machine."""
    from rich.table import Table

    from daskred.cli.terminal import escape, stdout
    from daskred.measure.machine import look_at_machine

    found = look_at_machine(arguments.folder)
    if arguments.json:
        print(json.dumps(found.to_dict(), indent=1))
        return ALL_DONE
    table = Table(show_header=False)
    packages = [f"{name} {version}" for name, version in found.packages.items() if version]
    rows = [", ".join(packages[at : at + 4]) for at in range(0, len(packages), 4)]
    for label, value in (
        ("daskred", f"{found.daskred}, {found.kernels} kernels"),
        ("Python", f"{found.python} on {found.system}"),
        ("processors", str(found.processors)),
        ("free memory", f"{found.free_memory_bytes / 1e9:.1f} GB, of which a run takes half"),
        ("disk", f"{found.folder}: {found.free_disk_bytes / 1e9:.1f} GB free"),
        ("writing", f"{found.write_bytes_per_s / 1e6:.0f} MB a second until they are safe"),
        ("packages", ",\n".join(rows)),
    ):
        table.add_row(label, "\n".join(map(escape, value.split("\n"))))
    stdout().print(table)
    for remark in found.remarks:
        stdout().print(escape(remark))
    if not found.remarks:
        stdout().print("nothing is missing")
    return ALL_DONE
