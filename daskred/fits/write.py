"""Write FITS files: whole or not at all, pixels band by band, with checksums.

Both stages of writing, and what they write from, stand together, which makes the file a little
longer than others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.fits.checksum import add_checksums, checksum_of, encode_checksum, folded, sum_of_words
from daskred.fits.header import BLOCK, Header, format_card
from daskred.fits.parts import Part, begin_sync, check_guard, part_in, place, remove
from daskred.fits.pixels import band_rows
from daskred.kernels.compiled import compiled_kernels
from daskred.kernels.scratch import scratch

# What only the pixels tell. Values do not change the length of cards, so pixels can be written
# before the header.
_TOLD_BY_PIXELS = ("CHECKSUM", "DATASUM", "NANPIX")


def with_sums(header: Header, data_sum: int) -> Header:
    """Return a header with CHECKSUM and DATASUM."""
    sums = [format_card("CHECKSUM", "0" * 16, "of header and data")]
    sums.append(format_card("DATASUM", str(data_sum), "of data"))
    total = add_checksums(checksum_of(header.plus(sums).to_bytes()), data_sum)
    sums[0] = format_card("CHECKSUM", encode_checksum(total), "of header and data")
    return header.plus(sums)


_BITPIX = {"uint8": 8, "uint16": 16, "float32": -32, "float64": -64}


def structure_cards(index: int, pixels: Bands | None, extended: bool) -> list[str]:
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


@dataclass(frozen=True, eq=False)
class Bands:
    """An image that comes band by band.

    Parameters
    ----------
    shape
        Rows and columns.
    dtype
        float32, float64, uint16 or uint8.
    rows
        The bands, from the first row to the last; each may be in memory that the next overwrites.
    is_data
        Whether these are the pixels themselves, and not what stands beside them.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    rows: Iterable[NDArray[Any]]
    is_data: bool = True


def as_bands(pixels: NDArray[Any], is_data: bool = True) -> Bands:
    """Return an image in memory as bands."""
    pixels = np.ascontiguousarray(pixels)
    n_rows = band_rows(pixels.shape)
    rows = (pixels[start : start + n_rows] for start in range(0, len(pixels), n_rows))
    return Bands((pixels.shape[0], pixels.shape[1]), pixels.dtype, rows, is_data)


Unit = tuple[Header, Bands | None] | bytes


def _write_bands(descriptor: int, offset: int, bands: Bands) -> tuple[int, int, int]:
    """Write pixels and padding; return the next offset, the data's sum, and the number of NaN."""
    data_sum = n_nan = 0
    start = offset
    kernels = compiled_kernels()
    carry = b""  # sums are over words of four bytes, which a band of short integers may end within
    for band in bands.rows:
        # A copy that changes the byte order is several times faster than changing it in place.
        stored = scratch("written band", band.shape, band.dtype.newbyteorder(">"))
        if kernels and band.dtype == np.float32 and band.flags.c_contiguous:
            words = band.reshape(-1).view("u4"), stored.reshape(-1).view("u4")
            total, n_unknown = kernels.store(*words)
            data_sum, n_nan = add_checksums(data_sum, folded(total)), n_nan + n_unknown
        elif band.dtype.kind == "f":
            stored[...] = band
            n_nan += int(np.count_nonzero(np.isnan(band, out=scratch("NaN", band.shape, "?"))))
            # Words have one value in either byte order; in this machine's they add faster.
            data_sum = add_checksums(data_sum, sum_of_words(band.view("u4")))
        else:
            stored[...] = band ^ band.dtype.type(2**15) if band.dtype == np.uint16 else band
            data = carry + stored.tobytes()
            whole = len(data) // 4 * 4
            data_sum = add_checksums(data_sum, checksum_of(data[:whole]))
            carry = data[whole:]
        pixels = stored.reshape(-1).view("u1").data
        _pwrite(descriptor, pixels, offset)
        offset += len(pixels)
    if carry:
        data_sum = add_checksums(data_sum, checksum_of(carry.ljust(4, b"\0")))
    padding = -(offset - start) % BLOCK
    _pwrite(descriptor, memoryview(bytes(padding)), offset)
    return offset + padding, data_sum, n_nan


def _pwrite(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all bytes at a place."""
    while data:
        n = os.pwrite(descriptor, data, offset)
        data, offset = data[n:], offset + n


def write_atomically(
    target: Path, units: Sequence[Unit], summed: bool = True, sync: bool = True
) -> int:
    """Write a product: whole or not at all, also after a power cut.

    Parameters
    ----------
    target, units, summed
        As of `begin_part`.
    sync
        Whether it is made safe from a power cut.

    Returns
    -------
    int
        The number of pixels that are NaN, of images that are data.

    Raises
    ------
    OSError
        As of `begin_part`.
    """
    begun = begin_part(target, units, summed=summed)
    place([finish_part(begun)], sync)
    return begun.n_nan


@dataclass(frozen=True)
class _Head:
    """A header whose pixels are written, and which lacks what they tell."""

    header: Header
    offset: int
    data_sum: int
    n_nan: int | None
    is_data: bool


@dataclass(frozen=True)
class BegunPart:
    """A product whose pixels are written, beside the place that it is to get, without headers.

    Parameters
    ----------
    path
        The file.
    target
        What it becomes.
    guard
        A file without which nothing is written.
    heads
        What its headers are to say.
    n_late
        For how many cards more the first one has room.
    summed
        Whether they have CHECKSUM and DATASUM.
    """

    path: Path
    target: Path
    guard: Path | None
    heads: Sequence[_Head]
    n_late: int
    summed: bool

    @property
    def n_nan(self) -> int:
        """The number of pixels that are NaN, of images that are data."""
        return sum(head.n_nan or 0 for head in self.heads if head.is_data)

    def remove(self) -> None:
        """Remove it: it is not wanted after all."""
        remove(self.path)


@contextmanager
def _removed_on_error(target: Path, *paths: Path) -> Iterator[None]:
    """Leave no unfinished files behind where something fails, and name the product."""
    try:
        yield
    except BaseException as error:
        remove(*paths)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(target)
        raise


def begin_part(
    target: Path,
    units: Sequence[Unit],
    guard: Path | None = None,
    n_late: int = 0,
    summed: bool = True,
) -> BegunPart:
    """Write the pixels of a product, beside the place that it is to get.

    Parameters
    ----------
    target
        The product, in a folder that is there.
    units
        For each header-data unit its cards, without those of its structure, and its pixels or
        None. Floats get the card NANPIX too. Bytes are a whole unit, written as it is.
    guard
        A file without which nothing is written.
    n_late
        How many cards `finish_part` will add to the first header.
    summed
        Whether it has CHECKSUM and DATASUM.

    Raises
    ------
    OSError
        When the disk is full, or the folder cannot be written or is gone; nothing is left behind.
    """
    path = part_in(target.parent, ".fits")
    heads: list[_Head] = []
    offset = 0
    with _removed_on_error(target, path):
        check_guard(guard)
        with _opened(path, os.O_CREAT | os.O_EXCL) as descriptor:
            for index, unit in enumerate(units):
                if isinstance(unit, bytes):
                    _pwrite(descriptor, memoryview(unit), offset)
                    offset += len(unit)
                    continue
                cards, bands = unit
                structure = structure_cards(index, bands, extended=len(units) > 1)
                bare = cards.without(lambda keyword: keyword in _TOLD_BY_PIXELS)
                header = Header((*structure, *bare.cards))
                is_float = bands is not None and bands.dtype.kind == "f"
                n_told = 2 * summed + is_float + (n_late if index == 0 else 0)
                end = start = offset + header.plus([""] * n_told).n_bytes
                data_sum = n_nan = 0
                if bands is not None:
                    end, data_sum, n_nan = _write_bands(descriptor, start, bands)
                is_data = bands is not None and bands.is_data
                heads.append(_Head(header, offset, data_sum, n_nan if is_float else None, is_data))
                offset = end
    return BegunPart(path, target, guard, heads, n_late, summed)


def finish_part(
    begun: BegunPart,
    late: Sequence[str] = (),
    pack: Callable[[Path, Path], None] | None = None,
) -> Part:
    """Write the headers of a product whose pixels are written.

    Parameters
    ----------
    begun
        As `begin_part` returns it.
    late
        Cards that come last in the first header.
    pack
        Makes of the written file, its first argument, another one, the second, which is the
        product then.

    Raises
    ------
    OSError
        As of `begin_part`.
    """
    plain = begun.path
    part = part_in(begun.target.parent) if pack else plain
    with _removed_on_error(begun.target, part, plain):
        assert len(late) == begun.n_late, "there is room for these cards, and no others"
        with _opened(plain) as descriptor:
            for index, head in enumerate(begun.heads):
                header = head.header.plus(late if index == 0 else ())
                if head.n_nan is not None:
                    text = "pixels without a value"
                    header = header.plus([format_card("NANPIX", head.n_nan, text)])
                header = with_sums(header, head.data_sum) if begun.summed else header
                _pwrite(descriptor, memoryview(header.to_bytes()), head.offset)
            begin_sync(descriptor)
        if pack:
            pack(plain, part)
            plain.unlink()
        check_guard(begun.guard)
    return Part(part, begun.target)


@contextmanager
def _opened(path: Path, flags: int = 0) -> Iterator[int]:
    """Open a file to write it."""
    descriptor = os.open(path, os.O_WRONLY | flags, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
