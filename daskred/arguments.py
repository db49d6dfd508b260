"""What the command line understands: commands, options, their help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from daskred import __version__

_NORMALIZE = ("mode", "exact-mode", "median", "mean")
_STATUS = """
exit status:
  0  all done
  1  done, but some frames failed; each is named with the reason
  2  the request itself was wrong, and nothing was written
  130, 143  interrupted; what is done stays, and the same command goes on from there
"""


def _positive(text: str) -> int:
    """Parse a number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return number


def _count(text: str) -> int:
    """Parse a number of at least 0."""
    return 0 if text == "0" else _positive(text)


def _shape(text: str) -> tuple[int, int]:
    """Parse rows and columns: 256 or 200x300."""
    rows, _, columns = text.partition("x")
    return _positive(rows), _positive(columns or rows)


def _add_night(parser: argparse.ArgumentParser) -> None:
    """Add what tells frames and their kinds."""
    parser.add_argument(
        "night", nargs="+", metavar="NIGHT", help="folders (with all below), files or patterns"
    )
    parser.add_argument(
        "--camera",
        metavar="FILE",
        help="rules of a camera (TOML) on top of the common ones, or the name of one that is known",
    )
    parser.add_argument(
        "--kind",
        action="append",
        default=[],
        metavar="KIND=PATTERN",
        help="settle the kind of frames by hand: dark='calib/*-d.fit'; kinds are bias, dark, flat,"
        " science and unknown",
    )


def _add_detector(parser: argparse.ArgumentParser, with_unit: bool = True) -> None:
    """Add what is done to pixels before they are calibrated; camera files tell the same."""
    group = parser.add_argument_group("the detector (what a camera file says, unless given)")
    group.add_argument(
        "--overscan",
        choices=("median", "mean", "clipped-mean", "none"),
        help="how the level of the overscan of each row is measured (median)",
    )
    group.add_argument(
        "--overscan-fit",
        choices=("none", "constant", "legendre", "chebyshev", "spline"),
        help="the curve through the levels of all rows (none)",
    )
    group.add_argument(
        "--overscan-order", type=_positive, metavar="N", help="its degree; of a spline, how close"
    )
    group.add_argument(
        "--overscan-reject-sigma",
        type=float,
        metavar="X",
        help="levels so many deviations from the curve do not count (3)",
    )
    group.add_argument(
        "--trim",
        action=argparse.BooleanOptionalAction,
        help="cut off what sees no light (yes)",
    )
    group.add_argument(
        "--assemble",
        action=argparse.BooleanOptionalAction,
        help="put amplifiers in images of their own together into one (no)",
    )
    group.add_argument(
        "--linearity",
        action=argparse.BooleanOptionalAction,
        help="make pixels linear, where the camera file tells how (yes)",
    )
    group.add_argument(
        "--crosstalk-correction",
        action=argparse.BooleanOptionalAction,
        help="take crosstalk back, where the camera file tells how much (yes)",
    )
    group.add_argument(
        "--bleed-rows",
        type=_count,
        metavar="N",
        help="how far along columns the neighbours of saturated pixels count as saturated (0)",
    )
    if with_unit:
        group.add_argument(
            "--unit", choices=("adu", "electron"), help="of the products' pixels (adu)"
        )


def _add_combining(parser: argparse.ArgumentParser) -> None:
    """Add how frames are combined, and what stands beside them."""
    group = parser.add_argument_group("combining, masks and uncertainties")
    group.add_argument(
        "--combine",
        choices=("median", "mean", "clipped-mean", "sum", "lower-median"),
        default="median",
        help="how the frames of a master are combined (median)",
    )
    group.add_argument(
        "--reject",
        choices=("none", "sigma", "winsorized", "minmax", "percentile", "noise"),
        default="none",
        help="which values are left out before (none)",
    )
    group.add_argument(
        "--reject-low",
        type=float,
        metavar="X",
        help="below the centre: deviations (3), numbers of values (1), or parts of it (0.1)",
    )
    group.add_argument("--reject-high", type=float, metavar="X", help="the same above the centre")
    group.add_argument(
        "--reject-iterations",
        type=_positive,
        default=5,
        metavar="N",
        help="rounds of rejection at most (5)",
    )
    group.add_argument(
        "--reject-centre",
        choices=("median", "mean"),
        default="median",
        help="what sigma is measured from (median)",
    )
    group.add_argument(
        "--reject-scale",
        choices=("mad", "std"),
        default="mad",
        help="what sigma is: the scaled MAD, or the standard deviation (mad)",
    )
    for name, choices, text in (
        ("scale", ("none", "level", "exposure"), "bring bias frames and darks to the first one's"),
        (
            "zero-level",
            ("none", "level"),
            "subtract from bias frames and darks what they have more",
        ),
        ("weight", ("none", "level", "exposure"), "weight frames of means and sums by it"),
    ):
        group.add_argument(f"--{name}", choices=choices, default="none", help=f"{text} (none)")
    group.add_argument("--mask", action="store_true", help="write the extension MASK")
    group.add_argument("--uncertainty", action="store_true", help="write the extension UNCERT")
    group.add_argument(
        "--counts", action="store_true", help="of masters, write the extensions NUSED and REJECTED"
    )
    group.add_argument(
        "--compress",
        choices=("none", "gzip", "rice", "lossless"),
        default="none",
        help="pack calibrated frames: .gz whole, or .fz by tiles, floats in steps of a sixteenth of"
        " their noise (rice) or as they are (lossless)",
    )
    group.add_argument("--bad-pixels", metavar="FILE", help="an image of bad pixels, for the mask")
    group.add_argument(
        "--cosmics",
        choices=("no", "flag", "clean"),
        default="no",
        help="look for cosmic rays (no); needs daskred[cosmics]",
    )


def _add_allowances(parser: argparse.ArgumentParser) -> None:
    """Add what is done only on request."""
    parser.add_argument(
        "--missing-dark",
        action="store_true",
        help="calibrate frames without a matching dark by the bias alone, or by nothing",
    )
    parser.add_argument(
        "--missing-flat", action="store_true", help="calibrate frames without a matching flat"
    )
    parser.add_argument(
        "--scale-dark-up",
        action="store_true",
        help="scale a shorter dark up by exposure time, where there is a bias",
    )
    parser.add_argument(
        "--dark-model",
        action="store_true",
        help="where no dark has the exposure time, fit a line through those that there are",
    )


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=_positive, metavar="N", help="how many tasks at once (all processors)"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--processes", action="store_true", help="workers are processes (usual)")
    kind.add_argument("--threads", action="store_true", help="workers are threads")
    kind.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="work on a running dask cluster: tcp://HOST:PORT, or its scheduler file",
    )
    parser.add_argument(
        "--time-limit",
        type=_positive,
        default=600,
        metavar="SECONDS",
        help="a task that takes longer is given to another worker (600)",
    )
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        help="what the whole run may have, as 500MB (half of what is free)",
    )
    parser.add_argument(
        "--tile-rows", type=_positive, metavar="N", help="height of the bands of masters (fits)"
    )


def command_line(
    commands_run: Mapping[str, Callable[[argparse.Namespace], int]],
) -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Parameters
    ----------
    commands_run
        For each command what it does, given its arguments; returns the exit status.
    """
    parser = argparse.ArgumentParser(
        prog="daskred",
        description="Turn a night of raw CCD frames into calibrated science frames.",
        epilog="example: daskred reduce NIGHT -o OUT\n" + _STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"daskred {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, text: str, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text[0].lower() + text[1:].rstrip("."),
            description=text,
            epilog=f"example: {example}\n{_STATUS}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=commands_run[name])
        return sub

    sub = command(
        "reduce",
        "Make masters, and calibrate the science frames.",
        "daskred reduce NIGHT -o OUT",
    )
    _add_night(sub)
    _add_detector(sub)
    _add_combining(sub)
    sub.add_argument("-o", "--out", required=True, metavar="OUT", help="folder of the products")
    sub.add_argument(
        "--normalize",
        choices=_NORMALIZE,
        default="mode",
        help="how the level of a flat is measured (mode: the peak of a smoothed histogram)",
    )
    sub.add_argument(
        "--normalize-amplifiers",
        action="store_true",
        help="divide master flats by the level of each amplifier, not of the whole detector",
    )
    sub.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="pixels of products"
    )
    sub.add_argument("--processed-by", metavar="NAME", help="leave a name in the headers")
    _add_allowances(sub)
    sub.add_argument("--masters-only", action="store_true", help="calibrate no science frames")
    sub.add_argument("--overwrite", action="store_true", help="make anew what is done already")
    _add_workers(sub)
    sub.add_argument("--quiet", action="store_true", help="print nothing but what went wrong")
    sub.add_argument(
        "--log-level",
        choices=("debug", "info", "warning"),
        default="info",
        help="what the log in OUT tells: phases too, each frame, or what failed (info)",
    )
    sub.add_argument("--dry-run", action="store_true", help="print the plan, and do nothing")
    sub.add_argument("--json", action="store_true", help="with --dry-run: the plan as JSON")

    sub = command("plan", "Print what would be made from what, and why.", "daskred plan NIGHT")
    _add_night(sub)
    _add_detector(sub)
    _add_allowances(sub)
    sub.add_argument("--json", action="store_true", help="as JSON")

    sub = command(
        "verify",
        "Check every product of a run, and print what mends what is wrong.",
        "daskred verify OUT",
    )
    sub.add_argument("out", metavar="OUT", help="folder of the products")
    sub.add_argument(
        "--workers", type=_positive, metavar="N", help="how many tasks at once (all processors)"
    )

    sub = command(
        "inspect",
        "Print type, shape, exposure, kind and statistics of frames.",
        "daskred inspect dark/dark_10s-01.fits",
    )
    sub.add_argument("night", nargs="+", metavar="FILE", help="files, patterns or folders")
    sub.add_argument("--camera", metavar="FILE", help="rules of a camera (TOML)")

    sub = command(
        "show",
        "Show frames side by side, in grey from the 5th to the 95th percentile.",
        "daskred show raw.fits calibrated.fits -o picture.png",
    )
    sub.add_argument("files", nargs="+", metavar="FILE", help="files, patterns or folders")
    sub.add_argument("-o", "--out", metavar="PNG", help="write the picture there")
    sub.add_argument("--zscale", action="store_true", help="grey limits as IRAF chooses them")

    for name, text, gives in (
        (
            "characterize",
            "Measure a detector: gain, read noise, dark current, hot pixels, linearity.",
            "characterization.json, DarkModel.fits and a picture",
        ),
        (
            "mask",
            "Find hot, unstable, dead and non-linear pixels, and write them as a mask.",
            "BadPixels.fits",
        ),
    ):
        sub = command(name, text, f"daskred {name} NIGHT -o OUT")
        _add_night(sub)
        _add_detector(sub, with_unit=False)
        sub.add_argument("-o", "--out", required=True, metavar="OUT", help=f"folder of {gives}")
        _add_workers(sub)

    sub = command(
        "camera",
        "Draft a camera file from sample frames, or list the cameras that are known by name.",
        "daskred camera new bias.fits flat.fits science.fits -o mycamera.toml",
    )
    sub.add_argument("action", choices=("new", "list"), help="what to do")
    sub.add_argument("files", nargs="*", metavar="FILE", help="sample frames")
    sub.add_argument("-o", "--out", metavar="TOML", help="write the draft there, not to stdout")

    sub = command(
        "simulate",
        "Write a synthetic night with known truth.",
        "daskred simulate NIGHT --size 512x768 --science 20 --seed 7",
    )
    sub.add_argument("night", metavar="NIGHT", help="a new folder")
    sub.add_argument(
        "--size", type=_shape, default=(256, 256), metavar="ROWSxCOLUMNS", help="(256x256)"
    )
    for name, default, text in (
        ("bias", 0, "bias frames"),
        ("darks", 61, "darks of 10 s, and as many of 3 s"),
        ("flats", 61, "flats of 3 s"),
        ("science", 60, "science frames of 10 s"),
    ):
        sub.add_argument(
            f"--{name}", type=_count, default=default, metavar="N", help=f"{text} ({default})"
        )
    sub.add_argument("--seed", type=_count, default=1, metavar="N", help="of random numbers (1)")
    sub.add_argument(
        "--two-amplifiers",
        action="store_true",
        help="of unlike gain, with overscans; their rules are written as NIGHT/camera.toml",
    )
    sub.add_argument(
        "--nonlinearity",
        type=float,
        default=0.0,
        metavar="X",
        help="of two amplifiers: linear = measured + X * measured**2, as 2e-6 (0)",
    )

    sub = command(
        "demo",
        "Simulate a night, reduce it, compare it with the truth, and draw it.",
        "daskred demo -o daskred-demo",
    )
    sub.add_argument("-o", "--out", default="daskred-demo", metavar="FOLDER", help="(daskred-demo)")
    return parser
