"""How a run tells how far it is; `daskred.cli.terminal` shows it."""

from __future__ import annotations

from typing import Any, Protocol


class Progress(Protocol):
    """What a run tells while it works.

    Examples
    --------
    >>> class Titles(Silent):
    ...     def begin(self, title, total, unit):
    ...         print(f"{title}: {total} {unit}")
    >>> Titles().begin("Science frames", 60, "frames")
    Science frames: 60 frames
    """

    def begin(self, title: str, total: int, unit: str) -> None:
        """Begin a phase that has so many units, such as frames."""

    def advance(self, n_units: int) -> None:
        """Count so many further units as done."""

    def end(self) -> None:
        """End the phase."""

    def say(self, message: str) -> None:
        """Tell the user what happened."""


class Silent:
    """A progress that nobody watches."""

    def begin(self, title: str, total: int, unit: str) -> None:
        """Show nothing."""

    def advance(self, n_units: int) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Show nothing."""

    def say(self, message: str) -> None:
        """Show nothing."""


class ProgressBars:
    """A progress that shows a bar for each phase, in notebooks as in terminals.

    Examples
    --------
    >>> import daskred
    >>> bars = daskred.ProgressBars()  # reduce_night(..., progress=bars)
    """

    def __init__(self) -> None:
        self._bar: Any = None

    def begin(self, title: str, total: int, unit: str) -> None:
        """Show a bar."""
        from tqdm.auto import tqdm

        self._bar = tqdm(desc=title, total=total, unit=f" {unit}")

    def advance(self, n_units: int) -> None:
        """Move the bar."""
        self._bar.update(n_units)

    def end(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def say(self, message: str) -> None:
        """Write a line above the bar."""
        from tqdm.auto import tqdm

        tqdm.write(message)
