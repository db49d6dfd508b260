"""How a run tells how far it is; `daskred.terminal` shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a run tells while it works."""

    def begin(self, title: str, total: int, unit: str) -> None:
        """A phase begins that has so many units, such as frames."""

    def advance(self, n_units: int) -> None:
        """So many further units are done."""

    def end(self) -> None:
        """The phase is over."""

    def say(self, message: str) -> None:
        """Something happened that the user should see."""


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
