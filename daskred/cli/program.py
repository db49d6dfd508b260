"""The program: it finds the command that is asked for, and turns errors into exit statuses."""

from __future__ import annotations

import argparse
import gc
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from daskred import __version__
from daskred.cli.status import (
    IN_WORDS,
    SOME_FAILED,
    STOPPED,
    TERMINATED,
    WRONG_REQUEST,
    Terminated,
    status_of,
)
from daskred.kernels.compiled import kernels_in_use
from daskred.model.errors import DaskredError, RequestError
from daskred.model.text import visible

COMMANDS = (
    *("reduce", "plan", "verify", "inspect", "show", "characterize", "mask", "camera"),
    *("report", "watch", "library", "simulate", "demo", "doctor", "completion"),
)


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
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


_MANY = 20_000  # objects
FIRST_WORDS = """daskred turns a night of raw CCD frames into calibrated science frames. Type
  daskred demo                          to see it work
  daskred plan NIGHT                    to see what would be made from what
  daskred reduce NIGHT -o OUT --report  to make it, and a page that shows whether it is good
  daskred COMMAND --help                to see what else there is: daskred --help lists it"""


class _Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong with a word, and which one is nearest."""

    known: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        from difflib import get_close_matches

        wrong = re.search(r"unrecognized arguments: (\S+)|invalid choice: '([^']*)'", message)
        word = next((group for group in wrong.groups() if group), "") if wrong else ""
        text = message
        if word.startswith("-"):
            text = f"there is no option {word.partition('=')[0]}"
        elif wrong and "argument COMMAND" in message:
            text = f"there is no command {word}"
        choices = re.findall("'([^']*)'", message.partition("choose from")[2])
        near = get_close_matches(word.partition("=")[0], choices or self.known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        print(f"daskred: {visible(text)}{hint} ({self.prog} --help)", file=sys.stderr)
        raise SystemExit(WRONG_REQUEST)


def command_line(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a command line, with the arguments of the command that it names."""
    parser = _Parser(
        prog="daskred",
        description="Turn a night of raw CCD frames into calibrated science frames.",
        epilog=f"example: daskred reduce NIGHT -o OUT\n{IN_WORDS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    version = f"daskred {__version__} ({kernels_in_use()} kernels)"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((word for word in words if word in COMMANDS), None)
    parser.known = COMMANDS
    # One that is named tells what it can; of the others nobody asks.
    for name in [wanted] if wanted and words[0] == wanted else COMMANDS:
        command = _add_command(commands, name)
        if name == wanted:
            _module_of(name).add_arguments(command, show_all="--help-all" in words)
            # What follows a command is told by the parser of all.
            parser.known = command.known = sorted(command._option_string_actions)
            parser.prog = command.prog
    return parser


def whole_command_line() -> argparse.ArgumentParser:
    """Return the parser of all commands, with all that each of them can."""
    parser = _Parser(prog="daskred", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        _module_of(name).add_arguments(_add_command(commands, name), show_all=True)
    return parser


def _module_of(name: str) -> Any:
    return import_module(f"daskred.cli.{name}")


def _add_command(commands: Any, name: str) -> _Parser:
    command = _module_of(name)
    text: str = command.TEXT
    parser: _Parser = commands.add_parser(
        name,
        help=text[0].lower() + text[1:].rstrip("."),
        description=text,
        epilog=f"example: {command.EXAMPLE}\n{IN_WORDS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=command.run)
    return parser


def _tell(error: Exception) -> None:
    lines = str(error).split("\n")
    print("\n".join(map(visible, [f"daskred: {lines[0]}", *lines[1:]])), file=sys.stderr)


def run(words: Sequence[str], on_interrupt: Any) -> int:
    """Run a command line, and return its exit status; Ctrl-C is handled as told from now on."""
    if not words:
        print(FIRST_WORDS)
        return WRONG_REQUEST
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
        return status_of(error)
    except KeyboardInterrupt as stop:
        print("daskred: interrupted; what is done stays", file=sys.stderr)
        return status_of(stop)
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more can be told to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    except OSError as error:
        _tell(error)
        return STOPPED
    except (MemoryError, ImportError) as error:
        # Libraries that find no memory while they are loaded say so in many ways.
        text = str(error).strip().partition("\n")[0] or type(error).__name__
        print(f"daskred: cannot go on: {visible(text)}; is there memory left?", file=sys.stderr)
        return STOPPED
    return status
