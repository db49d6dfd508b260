"""Read pixels: windows of rows, as physical values, in this machine's byte order.

Plain files are read with ``pread`` straight into arrays (addresses like ``s3://`` by ranges of
bytes, see `daskred.fits.storage`), packed ones through their library, and tile-compressed images
through astropy. Every call opens and closes what it reads, so any number of threads and processes
may read the same files.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.engine.forking import is_expendable
from daskred.fits.checksum import sum_of_rows
from daskred.fits.copies import copy_of
from daskred.fits.hdus import check_packing, frame_errors, opened
from daskred.fits.names import file_of, plane_of
from daskred.fits.remote import is_remote
from daskred.fits.storage import open_file, read_range
from daskred.kernels.scratch import scratch
from daskred.model.errors import FrameError
from daskred.model.frame import Image

_BAND_PIXELS = 2**18  # few calls for each pixel, and what is computed of them fits the cache
_GAP_BYTES = 2**13


def to_physical(stored: NDArray[Any], image: Image, out: NDArray[Any]) -> None:
    """Turn stored pixels into physical ones: byte order, offset, scale and blank pixels.

    Parameters
    ----------
    stored
        Pixels of type ``image.disk_dtype``, or the same in this machine's byte order.
    out
        Array of the same shape and of type ``image.dtype``, which is overwritten.
    """
    blanks = None if image.blank is None else stored == image.blank
    if image.offset_dtype is not None:
        # Adding 2**(n-1) to an n-bit integer is flipping its highest bit.
        unsigned = out.view(f"u{out.itemsize}")
        unsigned[...] = stored.view(stored.dtype.str.replace("i", "u"))
        unsigned ^= unsigned.dtype.type(1 << (8 * out.itemsize - 1))
        return
    out[...] = stored
    with np.errstate(invalid="ignore", over="ignore"):  # floats may hold anything
        if image.bscale != 1:
            np.multiply(out, image.bscale, out=out)
        if image.bzero != 0:
            np.add(out, image.bzero, out=out)
    if blanks is not None:
        out[blanks] = np.nan


def read_rows(
    path: str, image: Image, start: int, stop: int, out: NDArray[Any], every: int = 1
) -> None:
    """Read rows of one image as physical pixels, or every so many of them.

    Parameters
    ----------
    path
        The file.
    image
        One of its images.
    start, stop
        First row, and the row behind the last.
    out
        Contiguous array of as many rows and of type ``image.dtype``; overwritten.
    every
        Of all rows, so many are gone on by for the next.

    Raises
    ------
    FrameError
        When the file cannot be read, or has shrunk since its header was read.
    """
    if image.compressed:
        to_physical(read_tiles(path, image, start, stop)[::every], image, out)
        return
    row_bytes = image.shape[1] * image.disk_dtype.itemsize
    # Few bytes between rows are cheaper to read than to go past.
    apart = (every - 1) * row_bytes >= _GAP_BYTES and not reads_whole(path, image)
    n_rows = len(out) if apart else stop - start
    # A copy that changes the byte order is several times faster than changing it in place.
    stored = scratch("stored rows", (n_rows, image.shape[1]), image.disk_dtype)
    buffer = stored.reshape(-1).view("u1").data
    offset = image.offset + start * row_bytes
    if image.packing:
        n_read = _unpack(path, offset, buffer, to_end=stop == image.shape[0])
    else:
        with frame_errors(path):
            pieces = (n_rows, every * row_bytes) if apart else (1, 0)
            n_read = read_range(path, offset, buffer, *pieces)
    if n_read < len(buffer):
        missing = "rows are missing" if apart else f"{len(buffer) - n_read} bytes are missing"
        raise FrameError(path, f"is truncated: {missing}")
    to_physical(stored if apart else stored[::every], image, out)


def _unpack(path: str, offset: int, buffer: memoryview, to_end: bool) -> int:
    """Read bytes of what is in a packed file; return how many there were.

    Only the sum behind the last byte tells whether a stream is sound, so who reads the last row
    reads to the end.
    """
    with opened(path) as (file, _):
        file.seek(offset)
        n_read = 0
        while n_read < len(buffer) and (n := file.readinto(buffer[n_read:])):  # type: ignore[attr-defined]
            n_read += n
        n_behind = offset + n_read
        while to_end and (piece := file.read(2**20)):
            n_behind += len(piece)
            check_packing(path, n_behind)
    return n_read


def bands_of(path: str, image: Image, every: int = 1) -> Iterator[NDArray[Any]]:
    """Yield an image band by band, each in the same memory, which stays in the cache.

    Or every so many of its rows: the first of each band is one of them.

    Raises
    ------
    FrameError
        As `read_rows`.
    """
    n_rows = image.shape[0] if reads_whole(path, image) else band_rows(image.shape) * every
    for start in range(0, image.shape[0], n_rows):
        stop = min(start + n_rows, image.shape[0])
        band = scratch("raw band", (-(-(stop - start) // every), image.shape[1]), image.dtype)
        read_rows(path, image, start, stop, band, every)
        yield band


def read_image(path: str, image: Image, every: int = 1) -> NDArray[Any]:
    """Read an image whole, or every so many of its rows.

    Raises
    ------
    FrameError
        As `read_rows`.
    """
    pixels = np.empty((-(-image.shape[0] // every), image.shape[1]), image.dtype)
    start = 0
    for band in bands_of(path, image, every):
        pixels[start : start + len(band)] = band
        start += len(band)
    return pixels


def pixel_sum(path: str, images: Sequence[Image]) -> int:
    """Return the sum of all pixels of a frame, its images' rows being numbered through.

    Raises
    ------
    FrameError
        As `read_rows`.
    """
    total = row = 0
    for image in images:
        for band in bands_of(path, image):
            total += sum_of_rows(band, row)
            row += len(band)
    return total % 2**64


def reads_whole(path: str, image: Image) -> bool:
    """Whether some rows cost as much as all: of packed images, and where requests take long."""
    return image.compressed or bool(image.packing) or is_remote(path)


def band_rows(shape: tuple[int, ...]) -> int:
    """Return the height of bands that an image is worked through in."""
    return max(1, _BAND_PIXELS // shape[1])


def read_tiles(path: str, image: Image, start: int, stop: int) -> NDArray[Any]:
    """Read rows of a tile-compressed image as they were stored before compression.

    Raises
    ------
    FrameError
        When the file cannot be read, or its compressed pixels are broken.
    """
    # Its pieces are many and small: from afar the whole file comes at once.
    with frame_errors(path):
        copy = copy_of(file_of(path)) if is_remote(path) else file_of(path)
        file = _whole(path) if copy is None else str(copy)
        if not is_remote(path):
            read_range(
                path, 0, memoryview(bytearray(1))
            )  # tells best what keeps it from being read
    from astropy.io import fits  # noqa: F401 so that it need not be imported in each child

    from daskred.fits.isolation import isolated, tried  # and few nights are compressed

    work = partial(_section, file, image.hdu, plane_of(path) or 0, slice(start, stop))
    try:
        with frame_errors(path):
            # Floats that were not packed so lie there by another way, which is not harmless.
            if is_expendable() and image.bitpix > 0:
                found = tried(partial(work, harmless=True))
                if found is not None:
                    return found
            room = _COPIES * (len(file) if isinstance(file, bytes) else Path(file).stat().st_size)
            return isolated(work, (stop - start, image.shape[1]), image.disk_dtype, room)
    except RuntimeError as error:
        raise FrameError(path, f"its compressed pixels are broken: {error}") from error


# Their decompressors go on behind the end of a stream that is cut short, and make pixels of
# whatever lies there.
_CARELESS = ("HCOMPRESS_1",)
# What may crash on a damaged stream, but writes nothing where it should not.
_HARMLESS = ("RICE_1", "RICE_ONE")
_STREAMS = "COMPRESSED_DATA"
_PADDING = 4096
_COPIES = 12  # of the file's bytes that there may be at once


def _section(content: Any, hdu: int, plane: int, rows: slice, harmless: bool = False) -> Any:
    """Return rows of a compressed image as they were stored.

    Where nobody else would notice that a stream is cut short, they are decompressed twice, with
    something else behind each stream, and must be the same.

    Parameters
    ----------
    content
        The file, or its bytes.
    hdu, plane, rows
        Where they lie.
    harmless
        Whether this process may crash, but not go on with memory that is overwritten: None of
        streams whose decompressor has been seen to do that.
    """
    from astropy.io import fits

    with warnings.catch_warnings(action="ignore"):  # of cards that are none of our concern
        with fits.open(_stream(content), memmap=False, do_not_scale_image_data=True) as hdus:
            if harmless and hdus[hdu].compression_type not in _HARMLESS:
                return None
            if hdus[hdu].compression_type not in _CARELESS:
                return _rows_of(hdus[hdu], plane, rows)
        with fits.open(_stream(content), memmap=False, disable_image_compression=True) as hdus:
            copies = [_padded(hdus[hdu], filling) for filling in (0, 255)]
        found = []
        for copy in copies:
            with fits.open(copy, memmap=False, do_not_scale_image_data=True) as hdus:
                found.append(_rows_of(hdus[1], plane, rows))
    if not np.array_equal(found[0], found[1], equal_nan=True):
        raise ValueError("a stream ends before its pixels do")
    return found[0]


def _stream(content: Any) -> Any:
    return io.BytesIO(content) if isinstance(content, bytes) else content


def _rows_of(image: Any, plane: int, rows: slice) -> NDArray[Any]:
    section = image.section
    # Before the axes of the image are those of one plane, or that of a cube's exposures.
    planes = [0] * (len(section.shape) - 2)
    if planes:
        planes[-1] = plane
    return np.asarray(section[(*planes, rows)])


def _padded(table: Any, filling: int) -> io.BytesIO:
    """Return a file of a compressed image, with something behind each of its streams.

    Tiles that could not be compressed so have none; their pixels are in another column.
    """
    from astropy.io import fits

    padding = np.full(_PADDING, filling, "u1")
    columns = []
    for column in table.columns:
        if "P" not in column.format and "Q" not in column.format:
            columns.append(column)
            continue
        streams = np.empty(len(table.data), object)
        for number, stream in enumerate(table.data[column.name]):
            stream = np.asarray(stream)
            is_padded = column.name == _STREAMS and stream.size > 0
            streams[number] = np.concatenate([stream, padding]) if is_padded else stream
        columns.append(fits.Column(column.name, column.format.partition("(")[0], array=streams))
    copy = io.BytesIO()
    padded = fits.BinTableHDU.from_columns(columns, header=table.header)
    fits.HDUList([fits.PrimaryHDU(), padded]).writeto(copy)
    copy.seek(0)
    return copy


def _whole(path: str) -> bytes:
    with open_file(path) as file:
        return file.read()
