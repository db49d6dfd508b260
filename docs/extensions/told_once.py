"""What is told once in the code, as pages: commands, options, cameras, checks, criteria."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from daskred.cameras.read import read_camera
from daskred.cameras.shipped import shipped_cameras
from daskred.cli.program import whole_command_line
from daskred.model.checks import CHECKS
from daskred.model.option import Option
from daskred.options import GROUPS, TABLE


def _escaped(text: str) -> str:
    """Return text that Markdown takes as it is, also within a table."""
    for mark in "\\`*_{}[]<>#|$":
        text = text.replace(mark, f"\\{mark}")
    return text


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    titles = list(titles)
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def options() -> Iterator[str]:
    """Yield the options, group by group."""
    for group, title in GROUPS.items():
        yield f"## {title[0].upper()}{title[1:]}"
        yield ""
        yield from _table(
            ("command line", "Python and `daskred.toml`", "default", "what it does"),
            (_row(option) for option in TABLE if option.group == group),
        )


def _row(option: Option) -> tuple[str, ...]:
    value = " ".join(filter(None, (option.flag, option.metavar)))
    choices = f" ({', '.join(f'`{choice}`' for choice in option.choices)})"
    text = _escaped(option.help) + (choices if option.choices else "")
    usual = "" if option.default in (None, ()) else f"`{option.default}`"
    return f"`{value}`", f"`{option.name}`", usual, text


def commands() -> Iterator[str]:
    """Yield the commands, each as its help has it."""
    parser: Any = whole_command_line()
    (actions,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for name, command in actions.choices.items():
        yield f"## daskred {name}"
        yield ""
        yield _escaped(command.description or "")
        yield ""
        example = (command.epilog or "").partition("\n")[0].removeprefix("example: ")
        yield from ("```console", f"$ {example}", "```", "")
        own = {option.flag for option in TABLE}
        rows = [
            (f"`{_usage(action)}`", _escaped((action.help or "").replace("%%", "%")))
            for action in command._actions
            if action.help != argparse.SUPPRESS
            and not own & set(action.option_strings)
            and not any(s.startswith(("--no-", "--help", "-h")) for s in action.option_strings)
        ]
        yield from _table(("argument", "what it does"), rows)
        shared = sum(bool(own & set(action.option_strings)) for action in command._actions)
        if shared:
            yield f"And {shared} of the [options](options.md)."
            yield ""


def _usage(action: argparse.Action) -> str:
    named = ", ".join(action.option_strings)
    metavar = action.metavar
    value = metavar if isinstance(metavar, str) else "|".join(map(str, action.choices or ()))
    return f"{named} {value}".strip() or action.dest


def cameras() -> Iterator[str]:
    """Yield the cameras and programs that are recognised."""
    yield from _table(
        ("name", "camera or program"),
        ((f"`{name}`", _escaped(read_camera(name).name)) for name in shipped_cameras()),
    )


def criteria() -> Iterator[str]:
    """Yield what must agree."""

    def kinds(names: Iterable[str]) -> str:
        return ", ".join(sorted(names))

    yield from _table(
        ("criterion", "among the frames of", "between frames and master", "where it differs"),
        (
            (_escaped(c.name), kinds(c.frames), kinds(c.masters), c.differs)
            for c in read_camera().criteria
        ),
    )


def checks() -> Iterator[str]:
    """Yield the checks of pixels, with their cards and usual limits."""
    yield from _table(
        ("check", "card", "limit", "what is asked"),
        ((f"`{c.name}`", f"`{c.card}`", f"{c.limit:g}", _escaped(c.help)) for c in CHECKS),
    )


_PAGES = {
    "options": options,
    "commands": commands,
    "cameras": cameras,
    "criteria": criteria,
    "checks": checks,
}


class ToldOnce(SphinxDirective):
    """Puts what the code tells into a page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return it, parsed as the page is."""
        lines = list(_PAGES[self.arguments[0]]())
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.add_directive("told-once", ToldOnce)
    return {"parallel_read_safe": True}
