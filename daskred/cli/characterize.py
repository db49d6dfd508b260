"""``daskred characterize``."""

from __future__ import annotations

import argparse
from pathlib import Path

from daskred.cli.measured import add_measured, open_measured, told_failed

TEXT = "Measure a detector: gain, read noise, dark current, linearity, charge transfer and more."
EXAMPLE = "daskred characterize NIGHT -o OUT"


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    add_measured(parser, show_all, "characterization.json, DarkModel.fits and a picture")


def run(arguments: argparse.Namespace) -> int:
    """Measure a detector."""
    from daskred.cli.tables import print_characterization
    from daskred.cli.terminal import TerminalProgress, stdout
    from daskred.measure.camera_file import CAMERA_FILE
    from daskred.measure.characterization import characterize
    from daskred.measure.results import RESULTS, as_json
    from daskred.report.pictures import characterization_picture, save_picture

    night, options = open_measured(arguments)
    found = characterize(night, arguments.out, options, TerminalProgress())
    out = Path(arguments.out)
    target = out / "characterization.png"
    save_picture(characterization_picture(found), target)
    if arguments.json:
        print(as_json(found))
    else:
        print_characterization(found)
        told = f"table: {out / RESULTS}; camera file: {out / CAMERA_FILE}; picture: {target}"
        stdout().print(told, markup=False)
    return told_failed(found.failed, is_data=arguments.json)
