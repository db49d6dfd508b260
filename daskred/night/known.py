"""What was read of a night that grows, so that it is not read again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from daskred.cameras.rules import Camera
from daskred.fits.names import file_of
from daskred.fits.storage import state_of
from daskred.night.describe import Description, Rules

# A file, or an exposure of a cube: its path and name; and what it is.
Read = tuple[tuple[str, str], Description]


class Known:
    """What is known of files, as long as they do not change, and the rules are the same."""

    def __init__(self) -> None:
        self._camera: Camera | None = None
        self._states: dict[str, str] = {}
        self._found: dict[str, tuple[str, list[Read]]] = {}

    def unknown(self, files: Sequence[tuple[str, str]], rules: Rules) -> list[tuple[str, str]]:
        """Return the files that are to be read: new ones, and those that have changed."""
        if rules.camera != self._camera:
            self._found.clear()
            self._camera = rules.camera
        # Before anything is read, so that no later change escapes.
        self._states = {path: _state_of(path) for path, _ in files}
        return [file for file in files if not self._is_known(file[0])]

    def _is_known(self, path: str) -> bool:
        state, _ = self._found.get(path, ("", []))
        return bool(state) and state == self._states[path]

    def with_read(self, files: Sequence[tuple[str, str]], read: Sequence[Read]) -> list[Read]:
        """Take note of what was read, and return what is known of all files, in their order."""
        new: dict[str, list[Read]] = {}
        for place, description in read:
            new.setdefault(file_of(place[0]), []).append((place, description))
        for path, found in new.items():
            # What could not be read is read again, also where nothing tells that it has changed.
            failed = any(known.left_out and known.left_out.failed for _, known in found)
            self._found[path] = "" if failed else self._states[path], found
        return [pair for path, _ in files for pair in self._found.get(path, ("", []))[1]]


def _state_of(path: str) -> str:
    """Return what changes with a file, also where it is written in place, and dated back."""
    try:
        return f"{state_of(path)} {Path(file_of(path)).stat().st_ctime_ns}"
    except OSError:
        return ""
