"""From the table of options to arguments, and from arguments to options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskred.night.configuration import configuration_of, find_configuration
from daskred.options import BY_NAME, GROUPS, TABLE, Options

if TYPE_CHECKING:
    from daskred.model.option import Option
    from daskred.night.known import Known
    from daskred.night.open import Night

WORKERS = (
    "workers",
    "processes",
    "threads",
    "scheduler",
    "time_limit",
    "memory",
    "tile_rows",
    "sync",
)
NIGHT = ("camera", "kind", "exptime", "filter", "tell_apart")


def positive(text: str) -> int:
    """Parse a number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return number


def count(text: str) -> int:
    """Parse a number of at least 0."""
    return 0 if text == "0" else positive(text)


def add_night(parser: argparse.ArgumentParser) -> None:
    """Add the frames, and the file that tells options."""
    parser.add_argument(
        "night", nargs="+", metavar="NIGHT", help="folders (with all below), files or patterns"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="options as TOML (daskred.toml in or beside the night); the command line wins",
    )


def add_options(parser: argparse.ArgumentParser, names: Sequence[str], show_all: bool) -> None:
    """Add options of the table; the rare ones are shown on request only."""
    groups: dict[str, Any] = {}
    for option in TABLE:
        if option.name not in names:
            continue
        group = groups.get(option.group)
        if group is None:
            title = GROUPS[option.group] if show_all else None
            group = parser.add_argument_group(title) if title else parser
            groups[option.group] = group
        _add(group, option, hidden=not (show_all or option.common))
    rare = [name for name in names if not BY_NAME[name].common]
    if rare:
        parser.add_argument("--help-all", action="help", help="show all options, in groups")


def _add(parser: Any, option: Option, hidden: bool) -> None:
    text = argparse.SUPPRESS if hidden else _help(option)
    common: dict[str, Any] = {"dest": option.name, "default": argparse.SUPPRESS, "help": text}
    if option.is_switch:
        parser.add_argument(option.flag, action="store_true", **common)
        off = f"--no-{option.flag.removeprefix('--')}"
        # What is usual without being asked for can be switched off; so can what a file asks for.
        if option.default in (None, True) and not hidden:
            common["help"] = f"the contrary of {option.flag}"
        else:
            common["help"] = argparse.SUPPRESS
        parser.add_argument(off, action="store_false", **common)
    elif option.several:
        parser.add_argument(option.flag, action="append", metavar=option.metavar, **common)
    else:
        choices = {"choices": option.choices} if option.choices else {"metavar": option.metavar}
        parser.add_argument(option.flag, **choices, **common)


def _help(option: Option) -> str:
    default = option.default
    shown = (
        ""
        if option.is_switch or default in (None, 0, ())
        else f" ({default:g})"
        if isinstance(default, float)
        else f" ({default})"
    )
    return option.help.replace("%", "%%") + shown


def asked(arguments: argparse.Namespace, names: Sequence[str]) -> tuple[Options, Mapping[str, str]]:
    """Return the options that were asked for, and where each that is not as usual comes from.

    Parameters
    ----------
    arguments
        As they were parsed.
    names
        The options that the command has; a configuration file may have others too.

    Raises
    ------
    RequestError
        When the configuration file, or an option, is wrong.
    """
    path = Path(arguments.config) if arguments.config else find_configuration(arguments.night)
    told = {
        name: v for name, v in (configuration_of(path) if path else {}).items() if name in names
    }
    given = {name: value for name, value in vars(arguments).items() if name in names}
    # Of things of which one only goes, the command line's takes the place of the file's.
    if any(given.get(name) for name in _WHERE):
        told = {name: value for name, value in told.items() if name not in _WHERE}
    options = Options(**{**told, **given})
    origins = {name: str(path) for name in told} | dict.fromkeys(given, "command line")
    return options, {name: origins[name] for name in options.given}


_WHERE = ("processes", "threads", "scheduler")


def opened(
    arguments: argparse.Namespace,
    options: Options,
    needed_next: Sequence[str] = (),
    known: Known | None = None,
) -> Night:
    """Open the night that the arguments name; import what is needed next beside it.

    Of a night that grows, what is known is not read again.
    """
    from daskred.night.open import night_at

    return night_at(
        arguments.night,
        options,
        meanwhile=lambda: [import_module(name) for name in needed_next],
        known=known,
    )
