"""Read FITS files: headers, where their images lie, and whether their sums are right.

Pixels are read by `daskred.fits.pixels`, written by `daskred.fits.write`; nobody else touches FITS
bytes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from daskred.fits.header import BLOCK, CARD, END_CARD, Header, is_askew, is_structural
from daskred.fits.packing import BROKEN, packing_of, unpacked
from daskred.fits.storage import open_file, size_of
from daskred.model.errors import FrameError, UnreadableError

MAX_HEADER_BLOCKS = 4096  # 12 MB; real headers have fewer than 100 blocks
_END = END_CARD.encode()
_MOST_UNZIPPING = 200
_MOST_FIELDS = 999  # FITS 4.0, section 7.3.1
_ALWAYS_UNZIPPED = 2**26


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
        Where its header and its data begin in the unpacked file, and the data's length; bytes.
    packing
        How the file is packed; see `daskred.fits.packing.packing_of`.
    """

    index: int
    header: Header
    start: int
    data_start: int
    data_size: int
    packing: str = ""

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.data_start + self.data_size + -self.data_size % BLOCK


@contextlib.contextmanager
def frame_errors(path: str) -> Iterator[None]:
    """Turn what fails while a file is read into a FrameError."""
    try:
        yield
    except BROKEN as error:
        raise FrameError(path, f"its packed stream is broken: {error}") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FrameError(path, f"cannot be read: {error.strerror or error}") from error
    except OSError as error:
        raise UnreadableError(path, f"cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def opened(path: str) -> Iterator[tuple[BinaryIO, str]]:
    """Open a file to read its unpacked bytes, and tell how it is packed; see `packing_of`.

    What fails becomes a FrameError.
    """
    with frame_errors(path), open_file(path) as file:
        packing = packing_of(file)
        with unpacked(file, packing) as stream:
            yield stream, packing


def _unpacked_size(path: str, file: BinaryIO, packing: str) -> int:
    """Length of the unpacked file; of gzip the length that its last four bytes tell."""
    if packing == "compress":  # its reader cannot go to the end
        n_bytes = 0
        while piece := file.read(2**20):
            n_bytes += len(piece)
        file.seek(0)
        return n_bytes
    if packing != "gzip":
        return size_of(file)
    with open_file(path) as packed:
        packed.seek(max(size_of(packed) - 4, 0))
        size = int.from_bytes(packed.read(4), "little")
    return size or size_of(file)  # an empty last member, as bgzip writes it, tells nothing


def _read_header(path: str, file: BinaryIO, index: int, n_bytes: int) -> tuple[Header, int] | None:
    """Read one header and its length in bytes; None where no further unit follows.

    So many bytes there are at least: where reading ends sooner, nothing is known of the rest.
    """
    blocks: list[bytes] = []
    while len(blocks) < MAX_HEADER_BLOCKS:
        block = file.read(BLOCK)
        if len(block) < min(BLOCK, n_bytes - len(blocks) * BLOCK):
            raise UnreadableError(path, "cannot be read: reading ended before the file does")
        if not blocks and not block.startswith(b"XTENSION" if index else b"SIMPLE  ="):
            if index:
                return None
            raise FrameError(path, "is not a FITS file: it does not begin with SIMPLE")
        for place in range(0, len(block) - CARD + 1, CARD):
            if block.startswith(b"END     ", place):
                if block[place : place + CARD] != _END:
                    raise FrameError(path, "the END of its header is damaged")
                header = Header.parse(b"".join((*blocks, block[:place])))
                _check_structure(path, header)
                return header, (len(blocks) + 1) * BLOCK
        blocks.append(block)
        if len(block) < BLOCK:
            raise FrameError(path, "its header has no END: the file is cut short or damaged")
    raise FrameError(path, f"its header has no END within {MAX_HEADER_BLOCKS} blocks")


def _check_structure(path: str, header: Header) -> None:
    """Refuse a header that contradicts itself in what matters to where pixels lie."""
    for keyword in header.repeated:
        if is_structural(keyword):
            values = list(map(repr, dict.fromkeys(header.values(keyword))))
            if len(values) > 1:
                text = f"{keyword} stands in its header as {' and as '.join(values)}"
                raise FrameError(path, text)
    if askew := next(filter(is_askew, header.cards), None):
        text = (
            f"{askew.rstrip()!r} in its header: its keyword, equals sign or quotes are out of place"
        )
        raise FrameError(path, text)
    if header.get("SIMPLE", True) is not True:
        text = f"SIMPLE = {header.get('SIMPLE')!r} in its header: it does not follow FITS"
        raise FrameError(path, text)
    if header.get("GROUPS") is True:
        raise FrameError(path, "GROUPS = T in its header: it holds random groups, no image")
    if any(card.startswith(("XTENSION=", "SIMPLE  =")) for card in header.cards[1:]):
        raise FrameError(path, "its header runs into the next one: an END is missing")


def count(path: str, header: Header, keyword: str, default: int | None = None) -> int:
    """Return a header's non-negative integer."""
    value = header.get(keyword, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FrameError(path, f"{keyword} = {value!r} in its header is no count")
    return value


def _data_size(path: str, header: Header, index: int) -> int:
    """Length of the data that a header announces, bytes; FITS 4.0, equation 2."""
    bitpix = header.get("BITPIX")
    if not isinstance(bitpix, int) or bitpix not in (8, 16, 32, 64, -32, -64):
        raise FrameError(path, f"BITPIX = {bitpix!r} in its header is no FITS type")
    axes = [count(path, header, f"NAXIS{n + 1}") for n in range(count(path, header, "NAXIS"))]
    if not axes:
        return 0
    size = 1
    for axis in axes:
        size *= axis
    if index and count(path, header, "TFIELDS", 0) > _MOST_FIELDS:
        raise FrameError(path, f"TFIELDS = {header.get('TFIELDS')!r} are more than FITS knows")
    groups, behind = count(path, header, "GCOUNT", 1), count(path, header, "PCOUNT", 0)
    return abs(bitpix) // 8 * groups * (behind + size)


def _walk(path: str, file: BinaryIO, size: int, packing: str) -> Iterator[Hdu]:
    """Yield the units of an open file, each known to be there whole."""
    position = 0
    index = 0
    while position < size and (found := _read_header(path, file, index, size - position)):
        header, length = found
        n_data = _data_size(path, header, index)
        hdu = Hdu(index, header, position, position + length, n_data, packing)
        missing = hdu.data_start + hdu.data_size - size
        if packing:
            check_packing(path, hdu.data_start + hdu.data_size)
        if missing > 0 and packing == "gzip":
            # The last bytes tell the length of the last member only, and modulo 4 GB.
            size = file.seek(0, os.SEEK_END)
            missing = hdu.data_start + hdu.data_size - size
        if missing > 0:
            raise FrameError(path, f"is truncated: {missing} bytes of pixels are missing")
        yield hdu
        position = hdu.end
        index += 1
        if packing == "gzip" and position >= size and header.get("EXTEND") is True:
            size = file.seek(0, os.SEEK_END)  # as the primary header promises more
        if position < size:
            file.seek(position)


def check_packing(path: str, n_bytes: int) -> None:
    """Refuse a small file that unpacks to more than any frame does."""
    with open_file(path) as packed:
        n_packed = size_of(packed)
    if n_bytes > max(_MOST_UNZIPPING * n_packed, _ALWAYS_UNZIPPED):
        raise FrameError(path, f"unpacks to {n_bytes} bytes of {n_packed}; no frame does")


def read_hdus(path: str) -> list[Hdu]:
    """Read all headers of a file.

    Raises
    ------
    FrameError
        When the file is no FITS file, is cut short or cannot be read.
    """
    with opened(path) as (file, packing):
        hdus = list(_walk(path, file, _unpacked_size(path, file, packing), packing))
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
    with opened(path) as (file, packing):
        found = _read_header(path, file, 0, 0 if packing else size_of(file))
    assert found  # a file without a primary header is an error
    return found[0]


def read_unit(path: str, hdu: Hdu) -> bytes:
    """Read a whole header-data unit as it stands in the file, padding included."""
    with opened(path) as (file, _):
        file.seek(hdu.start)
        data = file.read(hdu.end - hdu.start)
    if hdu.start + len(data) < hdu.data_start + hdu.data_size:
        raise UnreadableError(path, "cannot be read: reading ended before the file does")
    return data + bytes(hdu.end - hdu.start - len(data))
