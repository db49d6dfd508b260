"""Files that are packed whole: gzip, bzip2, xz, compress and zip, told by their first bytes.

Names lie: archives deliver gzipped files as ``.fits``, and browsers unpack what is named ``.gz``.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x1f\x9d": "compress",
    b"PK\x03\x04": "zip",
}
# What the libraries raise where a stream is broken.
BROKEN = (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


def packing_of(file: BinaryIO) -> str:
    """Return how an open file is packed, empty where it is not; go to its start."""
    start = file.read(max(map(len, _MAGIC)))
    file.seek(0)
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), "")


@contextlib.contextmanager
def unpacked(file: BinaryIO, packing: str) -> Iterator[BinaryIO]:
    """Read what is in a packed file, from its start."""
    stream: Any = file
    with contextlib.ExitStack() as stack:
        match packing:
            case "gzip":
                stream = stack.enter_context(gzip.open(file))
            case "bzip2":
                stream = stack.enter_context(bz2.open(file))
            case "xz":
                stream = stack.enter_context(lzma.open(file))
            case "compress":
                from uncompresspy import LZWFile

                stream = stack.enter_context(LZWFile(file, warn_truncation=False))
            case "zip":
                stream = stack.enter_context(_only_member(file))
        try:
            yield cast(BinaryIO, stream)
        except ValueError as error:
            if packing == "compress":  # as its library says that a stream is broken
                raise zlib.error(str(error)) from error
            raise


@contextlib.contextmanager
def _only_member(file: BinaryIO) -> Iterator[BinaryIO]:
    with zipfile.ZipFile(file) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        if len(names) != 1:
            raise zipfile.BadZipFile(f"it holds {len(names)} files, and a frame is one")
        with archive.open(names[0]) as member:
            yield cast(BinaryIO, member)
