"""``daskred completion``."""

from __future__ import annotations

import argparse
from typing import Any

from daskred.cli.status import ALL_DONE

TEXT = "Print what a shell needs to complete commands and options with the Tab key."
EXAMPLE = "daskred completion bash > ~/.local/share/bash-completion/completions/daskred"
_SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: argparse.ArgumentParser, show_all: bool) -> None:
    """Add the arguments of the command."""
    parser.add_argument("shell", choices=_SHELLS, help="for which shell")


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from daskred.cli.program import whole_command_line

    parser: Any = whole_command_line()
    print(shtab.complete(parser, shell=arguments.shell))
    return ALL_DONE
