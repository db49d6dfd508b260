"""The command line. Nothing scientific is imported before a command needs it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from daskred.arguments import command_line
from daskred.errors import DaskredError, RequestError

if TYPE_CHECKING:
    from daskred.kernels.reject import Rejection
    from daskred.night import LeftOut, Night
    from daskred.options import Options
    from daskred.plan import Allowances

ALL_DONE, SOME_FAILED, WRONG_REQUEST, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


class _Terminated(KeyboardInterrupt):
    """The system asks to stop, as Ctrl-C does."""


_asked_to_stop = False


def _terminate(*_: object) -> NoReturn:
    global _asked_to_stop
    _asked_to_stop = True
    raise _Terminated


def _worker_kind(arguments: argparse.Namespace) -> Literal["auto", "processes", "threads"]:
    if arguments.processes:
        return "processes"
    return "threads" if arguments.threads else "auto"


def _open(arguments: argparse.Namespace) -> Night:
    """Open the night that the arguments name."""
    from daskred.cameras import DETECTOR_OPTIONS, read_camera
    from daskred.night import open_night, parse_kinds

    camera = read_camera(arguments.camera)
    given = {name: getattr(arguments, name, None) for name in DETECTOR_OPTIONS}
    changed = {name: value for name, value in given.items() if value is not None}
    return open_night(
        *arguments.night,
        camera=replace(camera, detector=replace(camera.detector, **changed)),
        kinds=parse_kinds(getattr(arguments, "kind", ())),
    )


def _allowances(arguments: argparse.Namespace) -> Allowances:
    from daskred.plan import Allowances

    return Allowances(
        missing_dark=arguments.missing_dark,
        missing_flat=arguments.missing_flat,
        scale_dark_up=arguments.scale_dark_up,
        dark_model=arguments.dark_model,
    )


def _rejection(arguments: argparse.Namespace) -> Rejection:
    from daskred.kernels.reject import USUAL_LIMITS, Rejection

    usual = Rejection()
    low, high = USUAL_LIMITS.get(arguments.reject, (usual.low, usual.high))
    try:
        return Rejection(
            arguments.reject,
            low if arguments.reject_low is None else arguments.reject_low,
            high if arguments.reject_high is None else arguments.reject_high,
            arguments.reject_iterations,
            arguments.reject_centre,
            arguments.reject_scale,
        )
    except ValueError as error:
        raise RequestError(f"--reject: {error}") from error


def _options(arguments: argparse.Namespace) -> Options:
    """Return how a night is to be reduced."""
    from daskred.execute import Workers
    from daskred.memory import parse_size
    from daskred.options import Options
    from daskred.planes import Extras

    return Options(
        normalize=arguments.normalize,
        normalize_amplifiers=arguments.normalize_amplifiers,
        dtype=arguments.dtype,
        processed_by=arguments.processed_by,
        allow=_allowances(arguments),
        masters_only=arguments.masters_only,
        overwrite=arguments.overwrite,
        tile_rows=arguments.tile_rows,
        workers=Workers(
            arguments.workers, _worker_kind(arguments), arguments.scheduler, arguments.time_limit
        ),
        memory_bytes=parse_size(arguments.memory) if arguments.memory else None,
        combine=arguments.combine,
        rejection=_rejection(arguments),
        extras=Extras(
            arguments.mask,
            arguments.uncertainty,
            str(Path(arguments.bad_pixels).absolute()) if arguments.bad_pixels else None,
            arguments.cosmics,
        ),
        scale=arguments.scale,
        zero_level=arguments.zero_level,
        weight=arguments.weight,
        counts=arguments.counts,
        compress=arguments.compress,
        log_level=arguments.log_level,
    )


def _print_plan(arguments: argparse.Namespace, night: Night, options: Options) -> int:
    """Print the plan; status 1 where a frame would be missing."""
    from daskred.planning import make_plan

    plan = make_plan(night, options.allow)
    if arguments.json:
        print(json.dumps(plan.to_dict(), indent=1))
    else:
        from daskred.reduce import plan_memory
        from daskred.terminal import print_plan

        used = plan.masters or plan.science
        print_plan(plan, plan_memory(plan, options) if used else None)
    return SOME_FAILED if any(entry.failed for entry in plan.left_out) else ALL_DONE


def _plan(arguments: argparse.Namespace) -> int:
    from daskred.options import Options

    return _print_plan(arguments, _open(arguments), Options(allow=_allowances(arguments)))


def _reduce(arguments: argparse.Namespace) -> int:
    if arguments.json and not arguments.dry_run:
        raise RequestError("--json goes with --dry-run: it prints the plan")
    if not arguments.out:
        raise RequestError("-o: an empty name is no folder")
    night = _open(arguments)
    if arguments.dry_run:
        return _print_plan(arguments, night, _options(arguments))

    from daskred.progress import Silent
    from daskred.reduce import reduce_night
    from daskred.terminal import TerminalProgress, print_failed, print_summary

    options = _options(arguments)
    progress = Silent() if arguments.quiet else TerminalProgress()
    summary = reduce_night(night, arguments.out, options, progress)
    if arguments.quiet:
        print_failed(summary)
    else:
        print_summary(summary)
    return SOME_FAILED if summary.failed else ALL_DONE


def _verify(arguments: argparse.Namespace) -> int:
    from daskred.execute import Workers
    from daskred.terminal import TerminalProgress, print_verification
    from daskred.verification import verify

    found = verify(arguments.out, Workers(arguments.workers), TerminalProgress())
    print_verification(found)
    return SOME_FAILED if found.findings or found.frames else ALL_DONE


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
    from daskred.simulation import TRUTH_FILE, Readout, simulate
    from daskred.terminal import TerminalProgress, stdout

    if arguments.nonlinearity and not arguments.two_amplifiers:
        raise RequestError("--nonlinearity goes with --two-amplifiers")
    readout = Readout(nonlinearity=arguments.nonlinearity) if arguments.two_amplifiers else None
    simulate(
        arguments.night,
        shape=arguments.size,
        n_bias=arguments.bias,
        n_darks=arguments.darks,
        n_flats=arguments.flats,
        n_science=arguments.science,
        seed=arguments.seed,
        readout=readout,
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


def _measured(arguments: argparse.Namespace) -> tuple[Night, Options]:
    """Open a night whose detector is measured, in ADU."""
    from daskred.execute import Workers
    from daskred.memory import parse_size
    from daskred.options import Options

    if not arguments.out:
        raise RequestError("-o: an empty name is no folder")
    arguments.unit = "adu"
    workers = Workers(
        arguments.workers, _worker_kind(arguments), arguments.scheduler, arguments.time_limit
    )
    memory = parse_size(arguments.memory) if arguments.memory else None
    return _open(arguments), Options(
        workers=workers, memory_bytes=memory, tile_rows=arguments.tile_rows
    )


def _characterize(arguments: argparse.Namespace) -> int:
    from daskred.characterization import RESULTS, characterize
    from daskred.display import characterization_picture, save_picture
    from daskred.terminal import TerminalProgress, print_characterization, stdout

    night, options = _measured(arguments)
    found = characterize(night, arguments.out, options, TerminalProgress())
    print_characterization(found)
    out = Path(arguments.out)
    target = out / "characterization.png"
    save_picture(characterization_picture(found), target)
    stdout().print(f"table: {out / RESULTS}; picture: {target}", markup=False)
    return _told_failed(found.failed)


def _mask(arguments: argparse.Namespace) -> int:
    from daskred.badpixels import find_bad_pixels
    from daskred.terminal import TerminalProgress, print_bad_pixels

    night, options = _measured(arguments)
    found = find_bad_pixels(night, arguments.out, options, TerminalProgress())
    print_bad_pixels(found)
    return _told_failed(found.failed)


def _told_failed(failed: Sequence[LeftOut]) -> int:
    """Print the frames that could not be used, and return the status."""
    from daskred.terminal import left_out_table, stdout

    if not failed:
        return ALL_DONE
    stdout().print(left_out_table(failed))
    return SOME_FAILED


def _camera(arguments: argparse.Namespace) -> int:
    from daskred.cameras import shipped_cameras
    from daskred.draft import draft_camera
    from daskred.files import find_files

    if arguments.action == "list":
        print("\n".join(shipped_cameras()))
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


_COMMANDS = {
    "reduce": _reduce,
    "plan": _plan,
    "verify": _verify,
    "inspect": _inspect,
    "show": _show,
    "characterize": _characterize,
    "mask": _mask,
    "camera": _camera,
    "simulate": _simulate,
    "demo": _demo,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status."""
    parsed = command_line(_COMMANDS).parse_args(arguments)
    # Workers are many already; and threads of BLAS would forbid to fork them.
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except DaskredError as error:
        if _asked_to_stop:
            return TERMINATED
        print(f"daskred: {error}", file=sys.stderr)
        return WRONG_REQUEST if isinstance(error, RequestError) else SOME_FAILED
    except KeyboardInterrupt as stop:
        print("daskred: interrupted; what is done stays", file=sys.stderr)
        return TERMINATED if isinstance(stop, _Terminated) else INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more can be told to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    except OSError as error:
        print(f"daskred: {error}", file=sys.stderr)
        return SOME_FAILED
    finally:
        signal.signal(signal.SIGTERM, previous)
    return status


if __name__ == "__main__":
    sys.exit(main())
