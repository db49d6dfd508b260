"""Copies of remote files that a run reads: of each one, fetched once, as long as the run is.

A run reads a frame several times: its level, its bands, its header again. From afar each of these
is a request, and waits. So whoever first reads pixels of a file fetches it whole, beside the
products, under the name of an unfinished file, so that whatever happens somebody removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from daskred.fits.names import split_name
from daskred.fits.parts import TEMPORARY_MARK, part_in, remove
from daskred.fits.remote import get_file, size_at

_LARGEST = 2**26  # bytes: of larger files ranges take no longer


class _Room(NamedTuple):
    """Where copies lie, and how much of the disk they leave to others, bytes."""

    folder: Path
    least_free: int


_room: _Room | None = None  # of this process, and of those that it forks


@contextlib.contextmanager
def keeping_copies(folder: Path, least_free: int) -> Iterator[None]:
    """Let copies of remote files lie in a folder, as long as so many bytes of the disk are free."""
    global _room
    before, _room = _room, _Room(folder, least_free)
    try:
        yield
    finally:
        _room = before


def copy_of(address: str) -> Path | None:
    """Return the copy of a remote file, which is fetched where there is none.

    None where no copies are kept, there is no room for this one, or it cannot be fetched: then who
    reads the address itself learns why.
    """
    if _room is None:
        return None
    copy = _place_of(address, _room.folder)
    if copy.exists():
        return copy
    part = part_in(_room.folder)
    lock = copy.with_name(f"{copy.name}.lock")
    with contextlib.suppress(OSError), lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # others wait until it is there, and do not fetch it too
        if not copy.exists() and _has_room_for(size := size_at(address), _room):
            get_file(address, part)
            if part.stat().st_size == size:
                part.replace(copy)
    remove(part)
    return copy if copy.exists() else None


def drop_copy(address: str) -> None:
    """Remove the copy of a remote file that hardly anybody reads again, where there is one."""
    if _room is not None:
        copy = _place_of(address, _room.folder)
        remove(copy, copy.with_name(f"{copy.name}.lock"))


def _place_of(address: str, folder: Path) -> Path:
    _, suffix, packing = split_name(address) or ("", "", "")
    name = hashlib.sha256(address.encode()).hexdigest()[:32]
    return folder / f"{TEMPORARY_MARK}{name}{suffix}{packing}"


def _has_room_for(size: int, room: _Room) -> bool:
    return size <= _LARGEST and shutil.disk_usage(room.folder).free - size >= room.least_free
