"""The only module that touches the bytes of FITS files: headers, windows of pixels, whole writes.

Plain files are read with ``pread`` straight into arrays, gzipped ones through ``gzip``, and
tile-compressed images through astropy. Every call opens and closes what it reads, so any number
of threads and processes may read the same files. Nothing here writes to a file that exists.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from daskred.checksum import checksum_of, encode_checksum
from daskred.errors import FrameError
from daskred.frames import Image
from daskred.header import BLOCK, CARD, END_CARD, Header, format_card

MAX_HEADER_BLOCKS = 4096  # 12 MB; real headers have fewer than 100 blocks
TEMPORARY_MARK = ".daskred-part-"
_END = END_CARD.encode()


@dataclass(frozen=True)
class Hdu:
    """One header-data unit.

    Parameters
    ----------
    index
        Its place in the file.
    header
        Its cards.
    start, data_start, data_size
        Where its header and its data begin in the uncompressed file, and the data's length; bytes.
    """

    index: int
    header: Header
    start: int
    data_start: int
    data_size: int

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.data_start + self.data_size + -self.data_size % BLOCK


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Open a file to read its uncompressed bytes; what fails becomes a FrameError."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a str path opens faster
            if path.lower().endswith(".gz"):
                with gzip.open(file) as unzipped:
                    yield cast(BinaryIO, unzipped)
            else:
                yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FrameError(path, f"the gzip stream is broken: {error}") from error
    except OSError as error:
        raise FrameError(path, f"cannot be read: {error.strerror or error}") from error


def _uncompressed_size(path: str, file: BinaryIO) -> int:
    """Length of the uncompressed file; of gzip the length that its last four bytes tell."""
    if not path.lower().endswith(".gz"):
        return os.fstat(file.fileno()).st_size
    with open(path, "rb") as raw:  # noqa: PTH123
        raw.seek(0, os.SEEK_END)
        raw.seek(max(raw.tell() - 4, 0))
        return int.from_bytes(raw.read(4), "little")


def _read_header(path: str, file: BinaryIO, index: int) -> tuple[Header, int] | None:
    """Read one header and its length in bytes; None where no further unit follows."""
    text = b""
    while len(text) < MAX_HEADER_BLOCKS * BLOCK:
        block = file.read(BLOCK)
        if not text and not block.startswith(b"XTENSION" if index else b"SIMPLE  ="):
            if index:
                return None
            raise FrameError(path, "is not a FITS file: it does not begin with SIMPLE")
        for place in range(0, len(block) - CARD + 1, CARD):
            if block[place : place + CARD] == _END:
                return Header.parse(text + block[:place]), len(text) + BLOCK
        text += block
        if len(block) < BLOCK:
            raise FrameError(path, "its header has no END: the file is cut short or damaged")
    raise FrameError(path, f"its header has no END within {MAX_HEADER_BLOCKS} blocks")


def _count(path: str, header: Header, keyword: str, default: int | None = None) -> int:
    """Return a header's non-negative integer."""
    value = header.get(keyword, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FrameError(path, f"{keyword} = {value!r} in its header is no count")
    return value


def _data_size(path: str, header: Header, index: int) -> int:
    """Length of the data that a header announces, bytes; FITS 4.0, equation 2."""
    bitpix = header.get("BITPIX")
    if bitpix not in (8, 16, 32, 64, -32, -64) or isinstance(bitpix, bool):
        raise FrameError(path, f"BITPIX = {bitpix!r} in its header is no FITS type")
    axes = [_count(path, header, f"NAXIS{n + 1}") for n in range(_count(path, header, "NAXIS"))]
    if not axes:
        return 0
    size = 1
    for axis in axes:
        size *= axis
    if index:
        size = _count(path, header, "GCOUNT", 1) * (_count(path, header, "PCOUNT", 0) + size)
    return abs(cast(int, bitpix)) // 8 * size


def _walk(path: str, file: BinaryIO, size: int) -> Iterator[Hdu]:
    """Yield the units of an open file, each known to be there whole."""
    position = 0
    index = 0
    while position < size and (found := _read_header(path, file, index)):
        header, length = found
        hdu = Hdu(index, header, position, position + length, _data_size(path, header, index))
        missing = hdu.data_start + hdu.data_size - size
        if missing > 0:
            raise FrameError(path, f"is truncated: {missing} bytes of pixels are missing")
        yield hdu
        # Where the header promises no extensions, a gzip stream need not be unpacked to its end.
        if isinstance(file, gzip.GzipFile) and hdu.data_size and header.get("EXTEND") is not True:
            return
        position = hdu.end
        index += 1
        if position < size:
            file.seek(position)


def read_hdus(path: str) -> list[Hdu]:
    """Read all headers of a file.

    Raises
    ------
    FrameError
        When the file is no FITS file, is cut short or cannot be read.
    """
    with _opened(path) as file:
        hdus = list(_walk(path, file, _uncompressed_size(path, file)))
    if not hdus:
        raise FrameError(path, "is empty")
    return hdus


def read_first_header(path: str) -> Header:
    """Read the primary header alone, whether or not the rest of the file is there.

    Raises
    ------
    FrameError
        When the file does not begin with a FITS header, or cannot be read.
    """
    with _opened(path) as file:
        found = _read_header(path, file, 0)
    assert found  # a file without a primary header is an error
    return found[0]


def _number(path: str, header: Header, keyword: str, default: float) -> float:
    value = header.get(keyword, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FrameError(path, f"{keyword} = {value!r} in its header is no number")
    return float(value)


def images_of(path: str, hdus: Sequence[Hdu]) -> tuple[Image, ...]:
    """Return the two-dimensional images of a file.

    Raises
    ------
    FrameError
        When there is none, or one has other than two axes.
    """
    images: list[Image] = []
    for hdu in hdus:
        header = hdu.header
        compressed = header.get("ZIMAGE") is True
        if hdu.index and header.get("XTENSION") != "IMAGE" and not compressed:
            continue
        prefix = "Z" if compressed else ""
        n_axes = _count(path, header, f"{prefix}NAXIS")
        axes = tuple(_count(path, header, f"{prefix}NAXIS{n + 1}") for n in range(n_axes))
        if 0 in axes or not axes:
            continue
        if n_axes != 2:
            shape = " x ".join(map(str, reversed(axes)))
            raise FrameError(path, f"its pixels have {n_axes} axes ({shape}); a frame has two")
        bitpix = cast(int, header.get(f"{prefix}BITPIX"))
        if bitpix not in (8, 16, 32, 64, -32, -64):
            raise FrameError(path, f"{prefix}BITPIX = {bitpix!r} in its header is no FITS type")
        name = ""
        if hdu.index:
            extension = str(header.get("EXTNAME") or "")
            name = f"{extension},{header.get('EXTVER', 1)}" if extension else f"HDU {hdu.index}"
            name = name if extension != "COMPRESSED_IMAGE" else ""
            if any(image.name == name for image in images):
                name = f"{name} HDU {hdu.index}".lstrip()
        images.append(
            Image(
                name=name,
                hdu=hdu.index,
                shape=(axes[1], axes[0]),
                bitpix=bitpix,
                bscale=_number(path, header, "BSCALE", 1.0),
                bzero=_number(path, header, "BZERO", 0.0),
                blank=_blank(path, header, bitpix, compressed),
                offset=hdu.data_start,
                compressed=compressed,
            )
        )
    if not images:
        raise FrameError(path, "has no image: no header announces two-dimensional pixels")
    return tuple(images)


def _blank(path: str, header: Header, bitpix: int, compressed: bool) -> int | None:
    """Return the stored integer that means "no value"; floats say it by NaN."""
    keyword = "ZBLANK" if compressed and "ZBLANK" in header else "BLANK"
    if bitpix < 0 or keyword not in header:
        return None
    value = header.get(keyword)
    if isinstance(value, bool) or not isinstance(value, int):
        raise FrameError(path, f"{keyword} = {value!r} in its header is no integer")
    return value


def to_physical(stored: NDArray[Any], image: Image, out: NDArray[Any]) -> None:
    """Turn stored pixels into physical ones: byte order, offset, scale and blank pixels.

    Parameters
    ----------
    stored
        Pixels of type ``image.disk_dtype``, or the same in this machine's byte order.
    out
        Array of the same shape and of type ``image.dtype``, which is overwritten.
    """
    if image.offset_dtype is not None:
        # Adding 2**(n-1) to an n-bit integer is flipping its highest bit.
        unsigned = out.view(f"u{out.itemsize}")
        unsigned[...] = stored.view(stored.dtype.str.replace("i", "u"))
        unsigned ^= unsigned.dtype.type(1 << (8 * out.itemsize - 1))
        return
    out[...] = stored
    if image.bscale != 1:
        np.multiply(out, image.bscale, out=out)
    if image.bzero != 0:
        np.add(out, image.bzero, out=out)
    if image.blank is not None:
        out[stored == image.blank] = np.nan


def read_rows(path: str, image: Image, start: int, stop: int, out: NDArray[Any]) -> None:
    """Read rows of one image as physical pixels.

    Parameters
    ----------
    path
        The file.
    image
        One of its images.
    start, stop
        First row, and the row behind the last.
    out
        Array of shape ``(stop - start, x)`` and type ``image.dtype``, which is overwritten.

    Raises
    ------
    FrameError
        When the file cannot be read, or has shrunk since its header was read.
    """
    if image.compressed:
        stored = _read_tiles(path, image, start, stop)
    else:
        row_size = image.shape[1] * image.disk_dtype.itemsize
        offset = image.offset + start * row_size
        stored = np.empty((stop - start, image.shape[1]), image.disk_dtype)
        buffer = stored.reshape(-1).view("u1").data
        with _opened(path) as file:
            file.seek(offset)
            n_read = 0
            while n_read < len(buffer) and (n := file.readinto(buffer[n_read:])):  # type: ignore[attr-defined]
                n_read += n
            if isinstance(file, gzip.GzipFile):
                # Only the sum behind the last byte tells whether the stream is sound.
                while file.read(2**20):
                    pass
        if n_read < len(buffer):
            raise FrameError(path, f"is truncated: {len(buffer) - n_read} bytes are missing")
    to_physical(stored, image, out)


def _read_tiles(path: str, image: Image, start: int, stop: int) -> NDArray[Any]:
    """Read rows of a tile-compressed image as they were stored before compression."""
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False, do_not_scale_image_data=True) as hdus:
            return np.asarray(hdus[image.hdu].section[start:stop, :])
    except OSError as error:
        raise FrameError(path, f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # astropy raises what its decompressors raise
        raise FrameError(path, f"its compressed pixels are broken: {error}") from error


def read_unit(path: str, hdu: Hdu) -> bytes:
    """Read a whole header-data unit as it stands in the file, padding included."""
    with _opened(path) as file:
        file.seek(hdu.start)
        data = file.read(hdu.end - hdu.start)
    return data + bytes(hdu.end - hdu.start - len(data))


def _with_checksums(header: Header, data: bytes | memoryview) -> bytes:
    """Return a header's bytes with CHECKSUM and DATASUM of itself and its data."""
    data_sum = checksum_of(data) if data else 0
    bare = header.without(lambda keyword: keyword in ("CHECKSUM", "DATASUM"))
    sums = [format_card("CHECKSUM", "0" * 16, "of header and data")]
    sums.append(format_card("DATASUM", str(data_sum), "of data"))
    text = bare.plus(sums).to_bytes()
    total = checksum_of(text) + data_sum
    total = (total & 0xFFFFFFFF) + (total >> 32)
    sums[0] = format_card("CHECKSUM", encode_checksum(total), "of header and data")
    return bare.plus(sums).to_bytes()


_BITPIX = {"uint16": 16, "float32": -32, "float64": -64}


def structure_cards(index: int, pixels: NDArray[Any] | None, extended: bool) -> list[str]:
    """Return the cards that FITS wants first: what the unit is and how large its pixels are."""
    bitpix = 8 if pixels is None else _BITPIX[pixels.dtype.name]
    axes = [] if pixels is None else list(reversed(pixels.shape))
    cards = [
        format_card("XTENSION", "IMAGE", "image extension")
        if index
        else format_card("SIMPLE", True, "conforms to FITS standard"),
        format_card("BITPIX", bitpix, "array data type"),
        format_card("NAXIS", len(axes), "number of array dimensions"),
        *(format_card(f"NAXIS{n + 1}", axis) for n, axis in enumerate(axes)),
    ]
    if index:
        cards += [format_card("PCOUNT", 0), format_card("GCOUNT", 1)]
    elif extended:
        cards.append(format_card("EXTEND", True))
    if bitpix == 16:
        cards += [format_card("BSCALE", 1), format_card("BZERO", 2**15, "makes pixels unsigned")]
    return cards


def _stored(pixels: NDArray[Any]) -> bytes:
    """Return pixels as FITS stores them, padded to whole blocks."""
    if pixels.dtype == np.uint16:
        pixels = (pixels ^ np.uint16(2**15)).view("i2")
    raw = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    return raw + bytes(-len(raw) % BLOCK)


def write_atomically(
    path: Path, units: Sequence[tuple[Header, NDArray[Any] | None] | bytes]
) -> None:
    """Write a product: whole or not at all, CHECKSUM and DATASUM included.

    Parameters
    ----------
    path
        The product; its folder is made where it is missing. What stood there is replaced.
    units
        For each header-data unit its cards, without those of its structure, and its pixels:
        float32, float64 or uint16 of shape ``(y, x)``, or None. Bytes are a whole unit, written
        as it is.

    Raises
    ------
    OSError
        When the disk is full or the folder cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The mark stands in front, so that the file keeps its suffix; no other task has this name.
    part = path.parent / f"{TEMPORARY_MARK}{secrets.token_hex(8)}-{path.name}"
    try:
        with part.open("xb") as file:
            for index, unit in enumerate(units):
                if isinstance(unit, bytes):
                    file.write(unit)
                    continue
                header, pixels = unit
                data = b"" if pixels is None else _stored(pixels)
                structure = structure_cards(index, pixels, extended=len(units) > 1)
                file.write(_with_checksums(Header((*structure, *header.cards)), data))
                file.write(data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
