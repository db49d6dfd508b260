"""The command line: one file for each command, and what they show.

It may import everything; nothing imports it. Nothing scientific is imported before a command needs
it, so that help is there at once. It offers `main`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from daskred import __version__
from daskred.cli.status import (
    IN_WORDS,
    INTERRUPTED,
    SOME_FAILED,
    TERMINATED,
    WRONG_REQUEST,
)
from daskred.model.errors import DaskredError, RequestError

COMMANDS = (
    *("reduce", "plan", "verify", "inspect", "show", "characterize", "mask", "camera"),
    *("simulate", "demo"),
)


class _Terminated(KeyboardInterrupt):
    """The system asks to stop, as Ctrl-C does."""


_asked_to_stop = False


def _terminate(*_: object) -> NoReturn:
    global _asked_to_stop
    _asked_to_stop = True
    raise _Terminated


def command_line(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a command line, with the arguments of the command that it names."""
    parser = argparse.ArgumentParser(
        prog="daskred",
        description="Turn a night of raw CCD frames into calibrated science frames.",
        epilog=f"example: daskred reduce NIGHT -o OUT\n{IN_WORDS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"daskred {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((word for word in words if word in COMMANDS), None)
    for name in COMMANDS:
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    parsed = command_line(words).parse_args(words)
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
