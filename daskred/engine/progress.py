"""How a run tells how far it is; `daskred.cli.terminal` shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a run tells while it works."""

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
