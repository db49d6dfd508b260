"""Unfinished files: each bears a name of its own until it is whole, and safe from a power cut.

A name that is seen after a power cut stands for a whole file: its bytes are on the disk before it
gets its name, and then the folder is. Many files are made safe at once, so that small ones do not
wait for the disk one by one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

TEMPORARY_MARK = ".daskred-part-"
# What file systems say that have nothing to wait for.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EROFS)
_sync_data = getattr(os, "fdatasync", os.fsync)  # macOS has only the second


def part_in(folder: Path, ending: str = "") -> Path:
    """Return a name for an unfinished file that no other task, and no other run, has."""
    return folder / f"{TEMPORARY_MARK}{os.urandom(8).hex()}{ending}"


@dataclass(frozen=True, slots=True)
class Part:
    """A file that is whole, and has not got its name yet.

    Parameters
    ----------
    path
        Where it lies.
    target
        What it becomes, in the same folder; what stands there is replaced.
    """

    path: Path
    target: Path


def begin_sync(descriptor: int) -> None:
    """Let the system begin to write a file to the disk, so that less is to be waited for."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):  # it is a hint
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def place(parts: Sequence[Part], sync: bool = True) -> None:
    """Give files their names.

    Parameters
    ----------
    parts
        The files.
    sync
        Whether they, and then their folders, are made safe from a power cut.

    Raises
    ------
    OSError
        Naming the file that could not be made safe, or could not get its name; those that have not
        got theirs are removed.
    """
    try:
        for part in parts if sync else ():
            _sync(part.path, part.target)
        for part in parts:
            try:
                part.path.replace(part.target)
            except OSError as error:
                raise _named(error, part.target) from error
    except BaseException:
        remove(*(part.path for part in parts))
        raise
    if sync:
        sync_folders({part.target.parent for part in parts})


def write_whole(target: Path, content: bytes, sync: bool = True) -> None:
    """Write a small file, whole or not at all; what stands there is replaced.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    part = part_in(target.parent)
    try:
        part.write_bytes(content)
    except BaseException:
        remove(part)
        raise
    place([Part(part, target)], sync)


def remove(*unfinished: Path) -> None:
    """Remove unfinished files, where there are any."""
    for path in unfinished:
        with contextlib.suppress(OSError):  # the run removes it at its end, or the next one
            path.unlink(missing_ok=True)


def check_guard(guard: Path | None) -> None:
    """Raise OSError where a file is gone that is there as long as a run is."""
    if guard and not guard.exists():
        text = "the run is over, or the folder of products is gone"
        raise OSError(errno.ENOENT, text, str(guard.parent))


def sync_folders(folders: Iterable[Path]) -> None:
    """Make safe what folders hold."""
    for folder in sorted(folders):
        with contextlib.suppress(PermissionError):  # whoever may not list it has put nothing there
            _sync(folder, folder)


def _sync(path: Path, named: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            _sync_data(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise _named(error, named) from error


def _named(error: OSError, path: Path) -> OSError:
    """Return an error that names a file by the name that it is to get."""
    return OSError(error.errno, error.strerror, str(path))
