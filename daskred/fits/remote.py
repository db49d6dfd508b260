"""Files at addresses like ``s3://``, read by ranges of bytes, and folders of them.

Addresses go through fsspec (``pip install 'daskred[remote]'``), which finds the credentials and
settings of each service where its own tools look for them. Whatever fails is an `OSError`.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from daskred.fits.names import file_of
from daskred.model.errors import RequestError

# Of requests for one range: networks stumble more often than disks do.
_TRIES = 3
# A header and the first pixels of most frames come with one request.
_FIRST_BYTES = 2**16

_Result = TypeVar("_Result")
_kept = threading.local()


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
    with _asked_anew(address) as system:
        if any(mark in address.partition("://")[2] for mark in "*?["):
            found = system.glob(address)
        elif "." in address.rpartition("/")[2] and system.isfile(address):
            found = [address]
        else:
            # A web server gives a page for a folder too, with or without the slash at its end.
            found = system.find(f"{address.rstrip('/')}/")
        return sorted(map(system.unstrip_protocol, found))


def _forget(system: Any) -> None:
    """Let everything be asked for anew."""
    system.invalidate_cache()
    _facts_of.cache_clear()


@contextlib.contextmanager
def _asked_anew(address: str) -> Iterator[Any]:
    """Give the file system of an address, which tells what is there now."""
    system = _system_of(address)
    with _reaching(address):
        _forget(system)
        yield system


def _tag(facts: Mapping[str, Any]) -> str:
    return repr([facts.get(key) for key in ("ETag", "LastModified", "mtime", "size")])


def find_tags(address: str) -> dict[str, str]:
    """Return the names of the files below an address, and what tells their states apart.

    Raises
    ------
    OSError
        When the service cannot be reached.
    """
    with _asked_anew(address) as system:
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
    _forget(_system_of(address))


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
    _forget(_system_of(address))


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


class _Facts(NamedTuple):
    """What a service tells of a file: its length, None if it does not, and its state."""

    n_bytes: int | None
    tag: str


@lru_cache(maxsize=4096)
def _facts_of(path: str) -> _Facts:
    """Ask for them, once until a folder is listed anew."""
    with _reaching(path):
        found = _system_of(path).info(path)
    return _Facts(found.get("size"), _tag(found))


def tag_of(path: str) -> str:
    """Return what tells the states of a remote file apart; empty for a local one."""
    return _facts_of(file_of(path)).tag if is_remote(path) else ""


def size_at(address: str) -> int:
    """Return the length of a file, bytes.

    Raises
    ------
    OSError
        When it cannot be reached, or its server does not tell.
    """
    n_bytes = _facts_of(address).n_bytes
    if n_bytes is None:
        raise OSError(errno.EIO, "its server does not tell how long it is", address)
    return n_bytes


def open_remote(address: str) -> BinaryIO:
    """Open a file to read its bytes; no request is for less than a header."""
    return io.BufferedReader(_RemoteFile(address), _FIRST_BYTES)


class _RemoteFile(io.RawIOBase):
    """A file that is read by ranges of bytes."""

    def __init__(self, address: str) -> None:
        self._address, self._size, self._place = address, size_at(address), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        stop = min(self._place + len(buffer), self._size)
        data = request(self._address, self._place, stop) if self._place < stop else b""
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def readall(self) -> bytes:
        data = bytearray(max(0, self._size - self._place))
        return bytes(data[: self.readinto(memoryview(data))])


def request(address: str, start: int, stop: int) -> bytes:
    """Ask for a range of bytes, some times if need be.

    Raises
    ------
    OSError
        When the service cannot be reached, or does not serve ranges.
    """
    kept: dict[str, bytes] | None = getattr(_kept, "first", None)
    if kept is None or stop > _FIRST_BYTES:
        return _ask(address, start, stop)
    if address not in kept:
        kept[address] = _ask(address, 0, _FIRST_BYTES)
    return kept[address][start:stop]


@contextlib.contextmanager
def keeping_first_bytes() -> Iterator[None]:
    """Let this thread ask once for the first bytes of a file, though it reads them several times.

    Not for longer than one file is looked at, since it may be replaced.
    """
    _kept.first = {}
    try:
        yield
    finally:
        del _kept.first


def _ask(address: str, start: int, stop: int) -> bytes:
    data: bytes = _tried(address, lambda system: system.cat_file(address, start=start, end=stop))
    if len(data) > stop - start:
        # It has sent the whole file; what was asked for is not at its start.
        raise OSError(errno.EIO, "its server does not serve ranges of bytes", address)
    return data
