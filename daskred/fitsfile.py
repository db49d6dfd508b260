"""Read FITS files: headers, and windows of pixels. Beside `daskred.fitswrite` nobody else does.

Plain files are read with ``pread`` straight into arrays (addresses like ``s3://`` by ranges of
bytes, see `daskred.storage`), gzipped ones through ``gzip``, and tile-compressed images through
astropy. Every call opens and closes what it reads, so any number of threads and processes may read
the same files.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from daskred.errors import FrameError
from daskred.frames import Image
from daskred.header import BLOCK, CARD, END_CARD, Header
from daskred.kernels.scratch import scratch
from daskred.storage import is_remote, open_file, read_range, size_of

MAX_HEADER_BLOCKS = 4096  # 12 MB; real headers have fewer than 100 blocks
_BAND_PIXELS = 2**17  # with what is computed of them, they fit the cache of one core
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


def is_gzipped(path: str) -> bool:
    """Whether a file's name says that it is gzipped.

    Examples
    --------
    >>> is_gzipped("a.fits.gz"), is_gzipped("a.fits")
    (True, False)
    """
    return path.lower().endswith(".gz")


@contextlib.contextmanager
def unpacking(path: str) -> Iterator[None]:
    """Turn what fails while a file is read into a FrameError."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FrameError(path, f"the gzip stream is broken: {error}") from error
    except OSError as error:
        raise FrameError(path, f"cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Open a file to read its uncompressed bytes; what fails becomes a FrameError."""
    with unpacking(path), open_file(path) as file:
        if is_gzipped(path):
            with gzip.open(file) as unzipped:
                yield cast(BinaryIO, unzipped)
        else:
            yield file


def _uncompressed_size(path: str, file: BinaryIO) -> int:
    """Length of the uncompressed file; of gzip the length that its last four bytes tell."""
    if not is_gzipped(path):
        return size_of(file)
    with open_file(path) as packed:
        packed.seek(max(size_of(packed) - 4, 0))
        size = int.from_bytes(packed.read(4), "little")
    return size or size_of(file)  # an empty last member, as bgzip writes it, tells nothing


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
        if missing > 0 and isinstance(file, gzip.GzipFile):
            # The last bytes tell the length of the last member only, and modulo 4 GB.
            size = file.seek(0, os.SEEK_END)
            missing = hdu.data_start + hdu.data_size - size
        if missing > 0:
            raise FrameError(path, f"is truncated: {missing} bytes of pixels are missing")
        yield hdu
        position = hdu.end
        index += 1
        if isinstance(file, gzip.GzipFile) and position >= size and header.get("EXTEND") is True:
            size = file.seek(0, os.SEEK_END)  # as the primary header promises more
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
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
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
            # A primary image that was packed has no name of its own.
            if extension == "COMPRESSED_IMAGE" or header.get("ZSIMPLE") is True:
                name = ""
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
        Array of the same shape and of type ``image.dtype``, which is overwritten; it may be the
        very memory of ``stored``.
    """
    blanks = None if image.blank is None else stored == image.blank
    if image.offset_dtype is not None:
        # Adding 2**(n-1) to an n-bit integer is flipping its highest bit.
        unsigned = out.view(f"u{out.itemsize}")
        _copy(stored.view(stored.dtype.str.replace("i", "u")), unsigned)
        unsigned ^= unsigned.dtype.type(1 << (8 * out.itemsize - 1))
        return
    _copy(stored, out)
    if image.bscale != 1:
        np.multiply(out, image.bscale, out=out)
    if image.bzero != 0:
        np.add(out, image.bzero, out=out)
    if blanks is not None:
        out[blanks] = np.nan


def _copy(stored: NDArray[Any], out: NDArray[Any]) -> None:
    """Copy pixels into this machine's byte order; where they lie already, turn them in place."""
    if np.may_share_memory(stored, out) and stored.itemsize == out.itemsize:
        if stored.dtype.kind != out.dtype.kind:
            out[...] = stored.copy()
        elif not stored.dtype.isnative:
            out.byteswap(inplace=True)
    else:
        out[...] = stored


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
        Contiguous array of shape ``(stop - start, x)`` and type ``image.dtype``; overwritten.

    Raises
    ------
    FrameError
        When the file cannot be read, or has shrunk since its header was read.
    """
    if image.compressed:
        to_physical(read_tiles(path, image, start, stop), image, out)
        return
    # Pixels that keep their size are read to where they stay, and turned there.
    if image.disk_dtype.itemsize == out.itemsize:
        stored = out.view(image.disk_dtype)
    else:
        stored = np.empty(out.shape, image.disk_dtype)
    buffer = stored.reshape(-1).view("u1").data
    offset = image.offset + start * image.shape[1] * image.disk_dtype.itemsize
    if is_gzipped(path):
        n_read = _unzip(path, offset, buffer, to_end=stop == image.shape[0])
    else:
        with unpacking(path):
            n_read = read_range(path, offset, buffer)
    if n_read < len(buffer):
        raise FrameError(path, f"is truncated: {len(buffer) - n_read} bytes are missing")
    to_physical(stored, image, out)


def _unzip(path: str, offset: int, buffer: memoryview, to_end: bool) -> int:
    """Read uncompressed bytes of a gzipped file; return how many there were.

    Only the sum behind the last byte tells whether a stream is sound, so who reads the last row
    reads to the end.
    """
    with _opened(path) as file:
        file.seek(offset)
        n_read = 0
        while n_read < len(buffer) and (n := file.readinto(buffer[n_read:])):  # type: ignore[attr-defined]
            n_read += n
        while to_end and file.read(2**20):
            pass
    return n_read


def bands_of(path: str, image: Image) -> Iterator[NDArray[Any]]:
    """Yield an image band by band, each in the same memory, which stays in the cache.

    Raises
    ------
    FrameError
        As `read_rows`.
    """
    n_rows = image.shape[0] if reads_whole(path, image) else band_rows(image.shape)
    for start in range(0, image.shape[0], n_rows):
        stop = min(start + n_rows, image.shape[0])
        band = scratch("raw band", (stop - start, image.shape[1]), image.dtype)
        read_rows(path, image, start, stop, band)
        yield band


def reads_whole(path: str, image: Image) -> bool:
    """Whether some rows cost as much as all: of packed images, and where requests take long."""
    return image.compressed or is_gzipped(path) or is_remote(path)


def band_rows(shape: tuple[int, ...]) -> int:
    """Return the height of bands that an image is worked through in."""
    return max(1, _BAND_PIXELS // shape[1])


def read_tiles(path: str, image: Image, start: int, stop: int) -> NDArray[Any]:
    """Read rows of a tile-compressed image as they were stored before compression."""
    from astropy.io import fits

    try:
        # Its pieces are many and small: from afar the whole file comes at once.
        file = io.BytesIO(_whole(path)) if is_remote(path) else path
        with fits.open(file, memmap=False, do_not_scale_image_data=True) as hdus:
            return np.asarray(hdus[image.hdu].section[start:stop, :])
    except OSError as error:
        raise FrameError(path, f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # astropy raises what its decompressors raise
        raise FrameError(path, f"its compressed pixels are broken: {error}") from error


def _whole(path: str) -> bytes:
    with open_file(path) as file:
        return file.read()


def read_unit(path: str, hdu: Hdu) -> bytes:
    """Read a whole header-data unit as it stands in the file, padding included."""
    with _opened(path) as file:
        file.seek(hdu.start)
        data = file.read(hdu.end - hdu.start)
    return data + bytes(hdu.end - hdu.start - len(data))
