"""The command line. Nothing scientific is imported before a command needs it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from daskred import __version__
from daskred.errors import DaskredError, RequestError

if TYPE_CHECKING:
    from daskred.night import Night
    from daskred.plan import Allowances

ALL_DONE, SOME_FAILED, WRONG_REQUEST, INTERRUPTED = 0, 1, 2, 130
_NORMALIZE = ("mode", "exact-mode", "median", "mean")
_STATUS = """
exit status:
  0  all done
  1  done, but some frames failed; each is named with the reason
  2  the request itself was wrong, and nothing was written
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
        "--camera", metavar="FILE", help="rules of a camera (TOML), on top of the common ones"
    )
    parser.add_argument(
        "--kind",
        action="append",
        default=[],
        metavar="KIND=PATTERN",
        help="settle the kind of frames by hand: dark='calib/*-d.fit'; kinds are bias, dark, flat,"
        " science and unknown",
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


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=_positive, metavar="N", help="how many tasks at once (all processors)"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--processes", action="store_true", help="workers are processes (usual)")
    kind.add_argument("--threads", action="store_true", help="workers are threads")
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        help="what the whole run may have, as 500MB (half of what is free)",
    )
    parser.add_argument(
        "--tile-rows", type=_positive, metavar="N", help="height of the bands of masters (fits)"
    )


def _parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="daskred",
        description="Turn a night of raw CCD frames into calibrated science frames.",
        epilog="example: daskred reduce NIGHT -o OUT\n" + _STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"daskred {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str, example: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text[0].lower() + text[1:].rstrip("."),
            description=text,
            epilog=f"example: {example}\n{_STATUS}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run)
        return sub

    sub = command(
        "reduce",
        _reduce,
        "Make masters, and calibrate the science frames.",
        "daskred reduce NIGHT -o OUT",
    )
    _add_night(sub)
    sub.add_argument("-o", "--out", required=True, metavar="OUT", help="folder of the products")
    sub.add_argument(
        "--normalize",
        choices=_NORMALIZE,
        default="mode",
        help="how the level of a flat is measured (mode: the peak of a smoothed histogram)",
    )
    sub.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="pixels of products"
    )
    sub.add_argument("--processed-by", metavar="NAME", help="leave a name in the headers")
    _add_allowances(sub)
    sub.add_argument("--masters-only", action="store_true", help="calibrate no science frames")
    sub.add_argument("--overwrite", action="store_true", help="make anew what is done already")
    _add_workers(sub)
    sub.add_argument("--dry-run", action="store_true", help="print the plan, and do nothing")
    sub.add_argument("--json", action="store_true", help="with --dry-run: the plan as JSON")

    sub = command(
        "plan", _plan, "Print what would be made from what, and why.", "daskred plan NIGHT"
    )
    _add_night(sub)
    _add_allowances(sub)
    sub.add_argument("--json", action="store_true", help="as JSON")

    sub = command(
        "inspect",
        _inspect,
        "Print type, shape, exposure, kind and statistics of frames.",
        "daskred inspect dark/dark_10s-01.fits",
    )
    sub.add_argument("night", nargs="+", metavar="FILE", help="files, patterns or folders")
    sub.add_argument("--camera", metavar="FILE", help="rules of a camera (TOML)")

    sub = command(
        "show",
        _show,
        "Show frames side by side, in grey from the 5th to the 95th percentile.",
        "daskred show raw.fits calibrated.fits -o picture.png",
    )
    sub.add_argument("files", nargs="+", metavar="FILE", help="files, patterns or folders")
    sub.add_argument("-o", "--out", metavar="PNG", help="write the picture there")
    sub.add_argument("--zscale", action="store_true", help="grey limits as IRAF chooses them")

    sub = command(
        "simulate",
        _simulate,
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

    sub = command(
        "demo",
        _demo,
        "Simulate a night, reduce it, compare it with the truth, and draw it.",
        "daskred demo -o daskred-demo",
    )
    sub.add_argument("-o", "--out", default="daskred-demo", metavar="FOLDER", help="(daskred-demo)")
    return parser


def _worker_kind(arguments: argparse.Namespace) -> Literal["auto", "processes", "threads"]:
    if arguments.processes:
        return "processes"
    return "threads" if arguments.threads else "auto"


def _open(arguments: argparse.Namespace) -> Night:
    """Open the night that the arguments name."""
    from daskred.cameras import read_camera
    from daskred.night import open_night, parse_kinds

    return open_night(
        *arguments.night,
        camera=read_camera(arguments.camera),
        kinds=parse_kinds(getattr(arguments, "kind", ())),
    )


def _allowances(arguments: argparse.Namespace) -> Allowances:
    from daskred.plan import Allowances

    return Allowances(
        missing_dark=arguments.missing_dark,
        missing_flat=arguments.missing_flat,
        scale_dark_up=arguments.scale_dark_up,
    )


def _print_plan(arguments: argparse.Namespace, night: Night) -> int:
    """Print the plan; status 1 where a frame would be missing."""
    from daskred.planning import make_plan

    plan = make_plan(night, _allowances(arguments))
    if arguments.json:
        print(json.dumps(plan.to_dict(), indent=1))
    else:
        from daskred.options import Options
        from daskred.reduce import plan_memory
        from daskred.terminal import print_plan

        used = plan.masters or plan.science
        print_plan(plan, plan_memory(plan, Options(allow=_allowances(arguments))) if used else None)
    return SOME_FAILED if any(entry.failed for entry in plan.left_out) else ALL_DONE


def _plan(arguments: argparse.Namespace) -> int:
    return _print_plan(arguments, _open(arguments))


def _reduce(arguments: argparse.Namespace) -> int:
    from daskred.execute import Workers

    if arguments.json and not arguments.dry_run:
        raise RequestError("--json goes with --dry-run: it prints the plan")
    if not arguments.out:
        raise RequestError("-o: an empty name is no folder")
    night = _open(arguments)
    if arguments.dry_run:
        return _print_plan(arguments, night)

    from daskred.memory import parse_size
    from daskred.options import Options
    from daskred.reduce import reduce_night
    from daskred.terminal import TerminalProgress, print_summary

    options = Options(
        normalize=arguments.normalize,
        dtype=arguments.dtype,
        processed_by=arguments.processed_by,
        allow=_allowances(arguments),
        masters_only=arguments.masters_only,
        overwrite=arguments.overwrite,
        tile_rows=arguments.tile_rows,
        workers=Workers(arguments.workers, _worker_kind(arguments)),
        memory_bytes=parse_size(arguments.memory) if arguments.memory else None,
    )
    summary = reduce_night(night, arguments.out, options, TerminalProgress())
    print_summary(summary)
    return SOME_FAILED if summary.failed else ALL_DONE


def _inspect(arguments: argparse.Namespace) -> int:
    from rich.markup import escape
    from rich.table import Table

    from daskred.errors import FrameError
    from daskred.inspection import inspect_frame
    from daskred.terminal import stderr, stdout

    night = _open(arguments)
    console, messages = stdout(), stderr()
    failed = False
    for frame in night.frames:
        try:
            sections = inspect_frame(frame)
        except FrameError as error:
            messages.print(escape(str(error)))
            failed = True
            continue
        console.print(f"[bold]{escape(frame.name)}[/bold]")
        for title, rows in sections:
            table = Table(title=escape(title) or None, title_justify="left", show_header=False)
            for label, value in rows:
                table.add_row(label, escape(value))
            console.print(table)
    for entry in night.left_out:
        messages.print(escape(f"{entry.name}: {entry.reason}"))
        failed |= all(frame.path != entry.path for frame in night.frames)
    return SOME_FAILED if failed else ALL_DONE


def _show(arguments: argparse.Namespace) -> int:
    from daskred.display import has_screen, open_window, panels_of, picture, save_picture
    from daskred.files import find_files
    from daskred.terminal import stdout

    files = [path for path, _ in find_files(arguments.files)]
    if not files:
        raise RequestError(f"no frames found below {', '.join(arguments.files)}")
    figure = picture(panels_of(files), "zscale" if arguments.zscale else "percentile")
    if not arguments.out and has_screen() and open_window(figure):
        return ALL_DONE
    target = Path(arguments.out or "daskred-show.png")
    save_picture(figure, target)
    stdout().print(f"picture: {target}", markup=False)
    return ALL_DONE


def _simulate(arguments: argparse.Namespace) -> int:
    from daskred.simulation import TRUTH_FILE, simulate
    from daskred.terminal import TerminalProgress, stdout

    simulate(
        arguments.night,
        shape=arguments.size,
        n_bias=arguments.bias,
        n_darks=arguments.darks,
        n_flats=arguments.flats,
        n_science=arguments.science,
        seed=arguments.seed,
        progress=TerminalProgress(),
    )
    stdout().print(f"{arguments.night}: frames, and the truth in {TRUTH_FILE}", markup=False)
    return ALL_DONE


def _demo(arguments: argparse.Namespace) -> int:
    from daskred.demo import PICTURE, run_demo
    from daskred.terminal import TerminalProgress, print_summary, stdout

    if not arguments.out:
        raise RequestError("-o: an empty name is no folder")
    folder = Path(arguments.out)
    summary, found = run_demo(folder, TerminalProgress())
    print_summary(summary)
    console = stdout()
    console.print("compared with the truth (scatter over all pixels):")
    console.print(f"  master dark of 10 s  {found.dark_adu:.2f} ADU")
    console.print(f"  master flat          {found.flat:.3%}")
    console.print(f"  calibrated frame     {found.science:.2f} of the noise that photons leave")
    console.print(f"picture: {folder / PICTURE}", markup=False)
    return SOME_FAILED if summary.failed else ALL_DONE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status."""
    parsed = _parser().parse_args(arguments)
    # Workers are many already; and threads of BLAS would forbid to fork them.
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    try:
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except DaskredError as error:
        print(f"daskred: {error}", file=sys.stderr)
        return WRONG_REQUEST if isinstance(error, RequestError) else SOME_FAILED
    except KeyboardInterrupt:
        print("daskred: interrupted; what is done stays", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more can be told to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    except OSError as error:
        print(f"daskred: {error}", file=sys.stderr)
        return SOME_FAILED
    return status


if __name__ == "__main__":
    sys.exit(main())
