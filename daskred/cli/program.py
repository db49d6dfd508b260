"""The program: it finds the command that is asked for, and turns errors into exit statuses."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from daskred import __version__
from daskred.cli.status import (
    IN_WORDS,
    INTERRUPTED,
    SOME_FAILED,
    TERMINATED,
    WRONG_REQUEST,
)
from daskred.kernels.compiled import kernels_in_use
from daskred.model.errors import DaskredError, RequestError
from daskred.model.text import visible

COMMANDS = (
    *("reduce", "plan", "verify", "inspect", "show", "characterize", "mask", "camera"),
    *("report", "simulate", "demo"),
)


class _Terminated(KeyboardInterrupt):
    """The system asks to stop, as Ctrl-C does."""


# Whoever asks twice at once, or whose terminal does, wants one stop: cleaning up goes on.
_AT_ONCE_S = 2.0
_asked_at: dict[int, float] = {}


def _stop(number: int, *_: object) -> None:
    now = time.monotonic()
    again = any(now - asked < _AT_ONCE_S for asked in _asked_at.values())
    _asked_at.setdefault(number, now)
    if again:
        return
    _asked_at[number] = now
    raise _Terminated if number == signal.SIGTERM else KeyboardInterrupt


_MANY = 20_000  # objects


def command_line(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a command line, with the arguments of the command that it names."""
    parser = argparse.ArgumentParser(
        prog="daskred",
        description="Turn a night of raw CCD frames into calibrated science frames.",
        epilog=f"example: daskred reduce NIGHT -o OUT\n{IN_WORDS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"daskred {__version__} ({kernels_in_use()} kernels)"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((word for word in words if word in COMMANDS), None)
    # One that is named tells what it can; of the others nobody asks.
    for name in [wanted] if wanted and words[0] == wanted else COMMANDS:
        command = import_module(f"daskred.cli.{name}")
        text: str = command.TEXT
        sub = commands.add_parser(
            name,
            help=text[0].lower() + text[1:].rstrip("."),
            description=text,
            epilog=f"example: {command.EXAMPLE}\n{IN_WORDS}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=command.run)
        if name == wanted:
            command.add_arguments(sub, show_all="--help-all" in words)
    return parser


def _tell(error: Exception) -> None:
    lines = str(error).split("\n")
    print("\n".join(map(visible, [f"daskred: {lines[0]}", *lines[1:]])), file=sys.stderr)


def run(words: Sequence[str], on_interrupt: Any) -> int:
    """Run a command line, and return its exit status; Ctrl-C is handled as told from now on."""
    try:
        parsed = command_line(words).parse_args(words)
    except RequestError as error:
        _tell(error)
        return WRONG_REQUEST
    # Workers are many already; and threads of BLAS would forbid to fork them.
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    # Little is garbage that is not freed at once; looking for it takes a twentieth of a short run.
    gc.set_threshold(_MANY)
    _asked_at.clear()
    signal.signal(signal.SIGTERM, _stop)
    if on_interrupt is signal.default_int_handler:
        on_interrupt = _stop
    try:
        signal.signal(signal.SIGINT, on_interrupt)
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except DaskredError as error:
        if signal.SIGTERM in _asked_at:
            return TERMINATED
        _tell(error)
        return WRONG_REQUEST if isinstance(error, RequestError) else SOME_FAILED
    except KeyboardInterrupt as stop:
        print("daskred: interrupted; what is done stays", file=sys.stderr)
        return TERMINATED if isinstance(stop, _Terminated) else INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more can be told to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    except OSError as error:
        _tell(error)
        return SOME_FAILED
    except (MemoryError, ImportError) as error:
        # Libraries that find no memory while they are loaded say so in many ways.
        text = str(error).strip().partition("\n")[0] or type(error).__name__
        print(f"daskred: cannot go on: {visible(text)}; is there memory left?", file=sys.stderr)
        return SOME_FAILED
    return status
