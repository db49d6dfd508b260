"""``daskred camera``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from daskred.cli.status import ALL_DONE
from daskred.model.errors import RequestError

TEXT = "Draft a camera file from sample frames, or list the cameras that are known by name."
EXAMPLE = "daskred camera new bias.fits flat.fits science.fits -o mycamera.toml"


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    parser.add_argument("action", choices=("new", "list"), help="what to do")
    parser.add_argument("files", nargs="*", metavar="FILE", help="sample frames")
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    parser.add_argument("-o", "--out", metavar="TOML", help="write the draft there, not to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Draft a camera file, or list what there is."""
    from daskred.cameras.shipped import shipped_cameras
    from daskred.night.draft import draft_camera
    from daskred.night.files import find_files

    if arguments.action == "list":
        known = list(shipped_cameras())
        print(json.dumps(known, indent=1) if arguments.json else "\n".join(known))
        return ALL_DONE
    if not arguments.files:
        raise RequestError("camera new: name sample frames, best one of each kind")
    text = draft_camera([path for path, _ in find_files(arguments.files)])
    if not arguments.out:
        print(text, end="")
        return ALL_DONE
    target = Path(arguments.out)
    if target.exists():
        raise RequestError(f"-o {target}: is there already; name another file")
    target.write_text(text)
    return ALL_DONE
