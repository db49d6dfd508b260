"""Products packed: gzipped whole, or tile by tile as fpack does it."""

from __future__ import annotations

import errno
import gzip
import re
import warnings
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from daskred.fits.checksum import checksum_of
from daskred.fits.hdus import read_hdus, read_unit
from daskred.fits.header import Header
from daskred.fits.write import with_sums
from daskred.model.errors import DaskredError

Packing = Literal["none", "gzip", "rice", "lossless"]
PACKINGS: tuple[Packing, ...] = get_args(Packing)
SUFFIXES: dict[Packing, str] = {"none": "", "gzip": ".gz", "rice": ".fz", "lossless": ".fz"}
# Steps of a float are so many parts of the noise of its tile: White, Greenfield, Pence and others
# (FITS tiled image compression, 2.3) find that 16 loses nothing that can be measured.
QUANTIZE_LEVEL = 16.0
_SEED = 1
_GZIP = b"\x1f\x8b\x08"
# Of the types of columns: FITS 4.0, table 18.
_BYTES = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16}
_BYTES |= {"P": 8, "Q": 16}
_LEVEL = 6  # of gzip: more takes longer and gains little on noise


class PackingError(DaskredError):
    """A product cannot be packed."""


def pack(plain: Path, target: Path, packing: Packing) -> None:
    """Pack a product into another file; the same product gives the same bytes.

    Parameters
    ----------
    plain
        The product.
    target
        A file that is not there yet.
    packing
        ``gzip``: the whole file. ``rice``: tiles; integers as they are, floats in steps of a
        sixteenth of their noise, dithered, which the header tells. ``lossless``: tiles of floats
        too, as they are.
    """
    if packing == "gzip":
        with (
            plain.open("rb") as source,
            target.open("xb") as file,
            gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed,
        ):
            n_bytes = 0
            while piece := source.read(2**20):
                n_bytes += packed.write(piece)
        if n_bytes != plain.stat().st_size:
            raise OSError(errno.EIO, "reading ended before the file does", str(plain))
        return
    bare = target.with_name(f"{target.name}-bare")
    try:
        _write_tiles(plain, bare, packing)
        _add_sums(bare, target)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of astropy, which has its own ideas of some cameras' cards
        raise PackingError(str(error)) from error
    finally:
        bare.unlink(missing_ok=True)


def _write_tiles(plain: Path, target: Path, packing: Packing) -> None:
    from astropy.io import fits

    with (
        warnings.catch_warnings(action="ignore"),  # of cards of cameras that are none of ours
        fits.open(plain, memmap=False) as hdus,
    ):
        packed: list[Any] = []
        for hdu, plain_hdu in zip(hdus, read_hdus(str(plain)), strict=True):
            header = printable(plain_hdu.header)
            if not hdu.is_image or hdu.data is None:
                packed.append(hdu if packed else fits.PrimaryHDU(header=header))
                continue
            if not packed:
                packed.append(fits.PrimaryHDU())
            packed.append(_tiles(hdu.data, header, packing))
        fits.HDUList(packed).writeto(target, output_verify="ignore")


# Tabs, letters that are no ASCII and the like, which astropy does not write.
_CONTROL = re.compile(r"[^ -~]")


def printable(header: Header) -> Any:
    """Return a header for astropy, without sums, and without characters that are none of FITS."""
    from astropy.io import fits

    bare = header.without(lambda keyword: keyword in ("CHECKSUM", "DATASUM"))
    return fits.Header.fromstring("".join(_CONTROL.sub("?", card) for card in bare.cards))


def _tiles(data: NDArray[Any], header: Any, packing: Packing) -> Any:
    from astropy.io import fits

    if data.dtype.kind != "f":
        return fits.CompImageHDU(data, header, compression_type="RICE_1")
    if packing == "lossless":
        return fits.CompImageHDU(data, header, compression_type="GZIP_2", quantize_level=0.0)
    header["FZQVALUE"] = (QUANTIZE_LEVEL, "steps of floats in one sigma of noise")
    return fits.CompImageHDU(
        data,
        header,
        compression_type="RICE_1",
        quantize_level=QUANTIZE_LEVEL,
        quantize_method=1,
        dither_seed=_SEED,
    )


def _without_times(header: Header, data: bytearray) -> bytes:
    """Return a table of tiles whose gzip streams tell no time of their making; RFC 1952, 2.3."""
    n_row, n_rows = int(str(header.get("NAXIS1"))), int(str(header.get("NAXIS2")))
    heap = int(str(header.get("THEAP", n_row * n_rows)))
    place = 0
    for column in range(1, int(str(header.get("TFIELDS"))) + 1):
        match = re.match(r"(\d*)([A-Z])", str(header.get(f"TFORM{column}")))
        if match is None:
            raise PackingError(f"TFORM{column} = {header.get(f'TFORM{column}')!r} is no type")
        number, letter = int(match[1] or 1), match[2]
        if letter in "PQ" and number:
            pair = "(2,)>i4" if letter == "P" else "(2,)>i8"
            for row in range(n_rows):
                _, start = np.frombuffer(data, pair, 1, row * n_row + place)[0]
                stream = heap + int(start)
                if data[stream : stream + 3] == _GZIP:
                    data[stream + 4 : stream + 8] = bytes(4)
        place += number * _BYTES[letter]
    return bytes(data)


def _add_sums(bare: Path, target: Path) -> None:
    """Copy a file, with CHECKSUM and DATASUM in each unit, and no time in their comments."""
    with target.open("xb") as file:
        for hdu in read_hdus(str(bare)):
            data = read_unit(str(bare), hdu)[hdu.data_start - hdu.start :]
            if hdu.header.get("ZIMAGE") is True:
                data = _without_times(hdu.header, bytearray(data))
            file.write(with_sums(hdu.header, checksum_of(data)).to_bytes())
            file.write(data)
