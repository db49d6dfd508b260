"""What the command line shows: progress on stderr, tables and summaries on stdout."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich import markup
from rich.console import Console
from rich.text import Text

from daskred.model.text import visible

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

# Where stdout is no terminal, lines are not broken: a pipe or a file has no width.
_WIDE = 10_000


def escape(text: str) -> str:
    """Return text of others as it can be printed: it is no markup, and controls nothing."""
    return markup.escape(visible(text))


class _Console(Console):
    """A console that obeys nothing in the text that it is given, but new lines."""

    def render_str(self, text: str, **options: Any) -> Text:
        lines = text.split("\n")
        return super().render_str("\n".join(map(visible, lines)), **options)


def stdout() -> Console:
    """Return a console for results."""
    return _console(sys.stdout, width=None if sys.stdout.isatty() else _WIDE)


def stderr() -> Console:
    """Return a console for messages."""
    return _console(sys.stderr, stderr=True)


def _console(stream: TextIO, **how: Any) -> Console:
    is_terminal = stream.isatty()  # whatever FORCE_COLOR says, as notebooks set it
    return _Console(highlight=False, soft_wrap=not is_terminal, force_terminal=is_terminal, **how)


def typed(path: Path) -> str:
    """Return a path as a person would type it from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _redraws(console: Console) -> bool:
    """Whether lines can be drawn again: not in cells of notebooks, which look like terminals."""
    in_notebook = "JPY_PARENT_PID" in os.environ
    return console.is_terminal and not console.is_dumb_terminal and not in_notebook


def _bars(console: Console) -> RichProgress:
    from rich import progress  # only terminals need it, and it takes a while

    return progress.Progress(
        progress.TextColumn("{task.description:<28}"),
        progress.BarColumn(bar_width=12),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[unit]}"),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
        console=console,
    )


class TerminalProgress:
    """Bars with counts, rate and time left where lines are redrawn, else a line at each end."""

    def __init__(self) -> None:
        self._console = stderr()
        self._bars: RichProgress | None = None
        self._task: TaskID | None = None
        self._phase = ("", 0, "")
        self._done = 0
        self._started = 0.0

    def begin(self, title: str, total: int, unit: str) -> None:
        """Show a bar, or wait for the end."""
        self._phase = (title, total, unit)
        self._done = 0
        self._started = time.monotonic()
        if _redraws(self._console):
            self._bars = _bars(self._console)
            self._bars.start()
            self._task = self._bars.add_task(escape(title), total=total, unit=unit, rate="")

    def advance(self, n_units: int) -> None:
        """Move the bar."""
        self._done += n_units
        if self._bars and self._task is not None:
            self._bars.advance(self._task, n_units)
            speed = self._bars.tasks[0].speed
            self._bars.update(self._task, rate=f"{speed:.3g}/s" if speed else "")

    def end(self) -> None:
        """Leave the finished bar, or write the line."""
        if self._bars:
            self._bars.stop()
            self._bars = None
            return
        title, total, unit = self._phase
        seconds = time.monotonic() - self._started
        number = f"{total}" if self._done >= total else f"{self._done} of {total}"
        self._console.print(escape(f"{title}: {number} {unit} in {seconds:.1f} s"))

    def say(self, message: str) -> None:
        """Write a line."""
        self._console.print(escape(message))
