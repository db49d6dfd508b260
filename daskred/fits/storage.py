"""Where the bytes of files come from: the file system, or an address like ``s3://`` by byte ranges.

Addresses go through fsspec (``pip install 'daskred[remote]'``), which finds the credentials and
settings of each service where its own tools look for them. Whatever fails is an `OSError`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from daskred.fits.names import file_of
from daskred.model.errors import RequestError

_MOMENT_S = 0.2  # before a second try
# Of requests for one range: networks stumble more often than disks do.
_TRIES = 3
# Requests under way at once, since each waits far longer than it works.
_AT_ONCE = 32
# A header and the first pixels of most frames come with one request.
_HEADER_BYTES = 2**16

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def is_remote(path: str) -> bool:
    """Whether a name is an address.

    Examples
    --------
    >>> is_remote("s3://bucket/night"), is_remote("night/a.fits")
    (True, False)
    """
    return "://" in path


@lru_cache(maxsize=16)
def _file_system(scheme: str) -> Any:
    """Return fsspec's file system of a kind of address."""
    try:
        import fsspec

        return fsspec.filesystem(scheme)
    except ImportError as error:
        raise RequestError(
            f"{scheme}:// is read through fsspec; pip install 'daskred[remote]' ({error})"
        ) from error
    except ValueError as error:
        raise RequestError(f"{scheme}:// is no kind of address that fsspec knows") from error


def _system_of(path: str) -> Any:
    return _file_system(path.partition("://")[0])


@contextlib.contextmanager
def _reaching(path: str) -> Iterator[None]:
    """Turn what a service's client raises, which is its own, into an OSError."""
    try:
        yield
    except RequestError:
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise OSError(errno.EIO, f"its address does not answer: {reason}", path) from error


def find_remote(address: str) -> list[str]:
    """Return the addresses of the files below a folder, of one file, or of what a pattern matches.

    Raises
    ------
    OSError
        When the service cannot be reached.
    """
    system = _system_of(address)
    with _reaching(address):
        system.invalidate_cache()
        if any(mark in address.partition("://")[2] for mark in "*?["):
            found = system.glob(address)
        elif "." in address.rpartition("/")[2] and system.isfile(address):
            found = [address]
        else:
            # A web server gives a page for a folder too, with or without the slash at its end.
            found = system.find(f"{address.rstrip('/')}/")
        return sorted(map(system.unstrip_protocol, found))


def _tag(facts: Mapping[str, Any]) -> str:
    return repr([facts.get(key) for key in ("ETag", "LastModified", "mtime", "size")])


def find_tags(address: str) -> dict[str, str]:
    """Return the names of the files below an address, and what tells their states apart.

    Raises
    ------
    OSError
        When the service cannot be reached.
    """
    system = _system_of(address)
    with _reaching(address):
        system.invalidate_cache()
        root = str(system._strip_protocol(address)).rstrip("/")
        found = system.find(root, detail=True)
    names = {str(path).removeprefix(f"{root}/"): _tag(facts) for path, facts in found.items()}
    return {name: tag for name, tag in names.items() if not name.rpartition("/")[2].startswith(".")}


def put_file(path: Path, address: str) -> None:
    """Put a file to an address: it is there whole, or not at all.

    Raises
    ------
    OSError
        When that cannot be done, also after some tries.
    """
    _tried(address, lambda system: system.put_file(str(path), address))


def get_file(address: str, path: Path) -> None:
    """Copy a file from an address.

    Raises
    ------
    OSError
        When that cannot be done, also after some tries.
    """
    _tried(address, lambda system: system.get_file(address, str(path)))


def remove_remote(address: str) -> None:
    """Remove a file at an address.

    Raises
    ------
    OSError
        When that cannot be done.
    """
    _tried(address, lambda system: system.rm_file(address))


def _tried(address: str, work: Callable[[Any], _Result]) -> _Result:
    """Ask a service for something, some times if need be."""
    for _ in range(_TRIES - 1):
        try:
            with _reaching(address):
                return work(_system_of(address))
        except FileNotFoundError:
            raise
        except OSError:
            continue
    with _reaching(address):
        return work(_system_of(address))


def tag_of(path: str) -> str:
    """Return what tells the states of a remote file apart; empty for a local one."""
    if not is_remote(path):
        return ""
    path = file_of(path)
    with _reaching(path):
        return _tag(_system_of(path).info(path))


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
        with _reaching(path):
            file = _system_of(path).open(
                path, "rb", block_size=_HEADER_BYTES, cache_type="readahead"
            )
        return cast(BinaryIO, _Remote(path, file))
    mode = os.stat(path).st_mode  # noqa: PTH116 - a str path is quicker
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "it is a folder", path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return open(path, "rb")  # noqa: PTH123 - a str path opens faster


class _Remote:
    """A remote file whose errors are an OSError."""

    def __init__(self, path: str, file: Any) -> None:
        self._path, self._file = path, file

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._file, name)
        if not callable(value):
            return value

        def call(*arguments: Any) -> Any:
            with _reaching(self._path):
                return value(*arguments)

        return call

    def __enter__(self) -> _Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


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
        data = _request(path, offset, offset + len(buffer))
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


def _request(path: str, start: int, stop: int) -> bytes:
    """Ask for a range, some times if need be."""
    data: bytes = _tried(path, lambda system: system.cat_file(path, start=start, end=stop))
    if len(data) > stop - start:
        # It has sent the whole file; what was asked for is not at its start.
        raise OSError(errno.EIO, "its server does not serve ranges of bytes", path)
    return data


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
