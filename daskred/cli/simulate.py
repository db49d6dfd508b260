"""``daskred simulate``."""

from __future__ import annotations

import argparse

from daskred.cli.arguments import count, positive
from daskred.cli.status import ALL_DONE
from daskred.model.errors import RequestError

TEXT = "Write a synthetic night with known truth."
EXAMPLE = "daskred simulate NIGHT --size 512x768 --science 20 --seed 7"


def _shape(text: str) -> tuple[int, int]:
    """Parse rows and columns: 256 or 200x300."""
    rows, _, columns = text.partition("x")
    return positive(rows), positive(columns or rows)


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    parser.add_argument("night", metavar="NIGHT", help="a new folder")
    parser.add_argument(
        "--size", type=_shape, default=(256, 256), metavar="ROWSxCOLUMNS", help="(256x256)"
    )
    for name, default, text in (
        ("bias", 0, "bias frames"),
        ("darks", 61, "darks of 10 s, and as many of 3 s"),
        ("flats", 61, "flats of 3 s"),
        ("science", 60, "science frames of 10 s"),
    ):
        parser.add_argument(
            f"--{name}", type=count, default=default, metavar="N", help=f"{text} ({default})"
        )
    parser.add_argument("--seed", type=count, default=1, metavar="N", help="of random numbers (1)")
    parser.add_argument(
        "--two-amplifiers",
        action="store_true",
        help="of unlike gain, with overscans; their rules are written as NIGHT/camera.toml",
    )
    parser.add_argument(
        "--nonlinearity",
        type=float,
        default=0.0,
        metavar="X",
        help="of two amplifiers: linear = measured + X * measured**2, as 2e-6 (0)",
    )
    parser.add_argument(
        "--pulsation",
        type=float,
        default=0.0,
        metavar="PART",
        help="a star in the middle gets brighter and fainter by so much, every 200 s, as 0.03 (0)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Simulate a night."""
    from daskred.cli.terminal import TerminalProgress, stdout
    from daskred.simulation import TRUTH_FILE, SimulatedReadout, simulate

    if arguments.nonlinearity and not arguments.two_amplifiers:
        raise RequestError("--nonlinearity goes with --two-amplifiers")
    readout = (
        SimulatedReadout(nonlinearity=arguments.nonlinearity) if arguments.two_amplifiers else None
    )
    simulate(
        arguments.night,
        shape=arguments.size,
        n_bias=arguments.bias,
        n_darks=arguments.darks,
        n_flats=arguments.flats,
        n_science=arguments.science,
        seed=arguments.seed,
        readout=readout,
        pulsation=arguments.pulsation,
        progress=TerminalProgress(),
    )
    stdout().print(f"{arguments.night}: frames, and the truth in {TRUTH_FILE}", markup=False)
    return ALL_DONE
