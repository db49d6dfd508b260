"""Where the bytes of files come from: the file system, or an address like ``s3://``."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TypeVar

from daskred.fits.copies import copy_of
from daskred.fits.names import file_of
from daskred.fits.remote import is_remote, open_remote, request

_MOMENT_S = 0.2  # before a second try
# Requests under way at once, since each waits far longer than it works.
_AT_ONCE = 32

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def state_of(path: str) -> str:
    """Return what changes when a file is written or replaced; empty for a remote one.

    Objects in remote storage are replaced whole, and asking for each would take long.
    """
    if is_remote(path):
        return ""
    status = os.stat(file_of(path))  # noqa: PTH116 - a str path is quicker
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def open_file(path: str) -> BinaryIO:
    """Open a file to read its bytes.

    Raises
    ------
    OSError
        When that cannot be done; also for what is no regular file, as a pipe, which would wait for
        ever.
    """
    path = file_of(path)
    if is_remote(path):
        with contextlib.suppress(FileNotFoundError):
            if copy := copy_of(path):
                return copy.open("rb")
        return open_remote(path)
    mode = os.stat(path).st_mode  # noqa: PTH116 - a str path is quicker
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "it is a folder", path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return open(path, "rb")  # noqa: PTH123 - a str path opens faster


def size_of(file: BinaryIO) -> int:
    """Return the length of an open file, bytes, and go to its start."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def read_range(
    path: str, offset: int, buffer: memoryview, n_pieces: int = 1, stride: int = 0
) -> int:
    """Read bytes from a place of a file; return how many there were.

    Or, of a file of this machine, pieces of equal length that begin so many bytes apart.

    Raises
    ------
    OSError
        When the file cannot be read, or its server does not serve ranges.
    """
    path = file_of(path)
    if is_remote(path):
        with contextlib.suppress(FileNotFoundError):
            if copy := copy_of(path):
                return read_range(str(copy), offset, buffer)
        data = request(path, offset, offset + len(buffer))
        buffer[: len(data)] = data
        return len(data)
    length, n_read = len(buffer) // n_pieces, 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for number in range(n_pieces):
            piece = buffer[number * length : (number + 1) * length]
            place = offset + number * stride
            while piece and (n := os.preadv(descriptor, [piece], place)):
                piece, place, n_read = piece[n:], place + n, n_read + n
    finally:
        os.close(descriptor)
    return n_read


def tried_twice(work: Callable[[], _Result], error: type[Exception]) -> _Result:
    """Do some work, and once more where it raises an error: some file systems fail for a moment."""
    try:
        return work()
    except error:
        time.sleep(_MOMENT_S)
        return work()


def map_concurrently(
    function: Callable[[_Item], _Result], items: Iterable[_Item], paths: Iterable[str]
) -> Iterator[_Result]:
    """Map a function over items; where a path is an address, several at once, in order.

    Parameters
    ----------
    function
        What waits for the answer.
    items
        What it is called with.
    paths
        The files that it reads.
    """
    if not any(map(is_remote, paths)):
        yield from map(function, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        yield from threads.map(function, items)
