"""Products packed: gzipped whole, or tile by tile as fpack does it."""

from __future__ import annotations

import gzip
import shutil
import warnings
from pathlib import Path
from typing import Any, Literal, get_args

from daskred.checksum import add_checksums, checksum_of, encode_checksum
from daskred.errors import DaskredError
from daskred.fitsfile import read_hdus, read_unit
from daskred.header import BLOCK, format_card

Packing = Literal["none", "gzip", "rice", "lossless"]
PACKINGS: tuple[Packing, ...] = get_args(Packing)
SUFFIXES: dict[Packing, str] = {"none": "", "gzip": ".gz", "rice": ".fz", "lossless": ".fz"}
# Steps of a float are so many parts of the noise of its tile: White, Greenfield, Pence and others
# (FITS tiled image compression, 2.3) find that 16 loses nothing that can be measured.
QUANTIZE_LEVEL = 16.0
_SEED = 1
_LEVEL = 6  # of gzip: more takes longer and gains little on noise


class PackingError(DaskredError):
    """A product cannot be packed."""


def pack(plain: Path, target: Path, how: Packing) -> None:
    """Pack a product into another file; the same product gives the same bytes.

    Parameters
    ----------
    plain
        The product.
    target
        A file that is not there yet.
    how
        ``gzip``: the whole file. ``rice``: tiles; integers as they are, floats in steps of a
        sixteenth of their noise, dithered, which the header tells. ``lossless``: tiles of floats
        too, as they are.
    """
    if how == "gzip":
        with (
            plain.open("rb") as source,
            target.open("xb") as file,
            gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed,
        ):
            shutil.copyfileobj(source, packed, 2**20)
        return
    bare = target.with_name(f"{target.name}-bare")
    try:
        _write_tiles(plain, bare, how)
        _add_sums(bare, target)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of astropy, which has its own ideas of some cameras' cards
        raise PackingError(str(error)) from error
    finally:
        bare.unlink(missing_ok=True)


def _write_tiles(plain: Path, target: Path, how: Packing) -> None:
    from astropy.io import fits

    with (
        warnings.catch_warnings(action="ignore"),  # of cards of cameras that are none of ours
        fits.open(plain, memmap=False) as hdus,
    ):
        packed: list[Any] = []
        for hdu in hdus:
            for keyword in ("CHECKSUM", "DATASUM"):
                hdu.header.remove(keyword, ignore_missing=True)
            if not hdu.is_image or hdu.data is None:
                packed.append(hdu if packed else fits.PrimaryHDU(header=hdu.header))
                continue
            if not packed:
                packed.append(fits.PrimaryHDU())
            packed.append(_tiles(hdu, how))
        fits.HDUList(packed).writeto(target, output_verify="ignore")


def _tiles(hdu: Any, how: Packing) -> Any:
    from astropy.io import fits

    is_float = hdu.data.dtype.kind == "f"
    if not is_float:
        return fits.CompImageHDU(hdu.data, hdu.header, compression_type="RICE_1")
    if how == "lossless":
        return fits.CompImageHDU(
            hdu.data, hdu.header, compression_type="GZIP_2", quantize_level=0.0
        )
    hdu.header["FZQVALUE"] = (QUANTIZE_LEVEL, "steps of floats in one sigma of noise")
    return fits.CompImageHDU(
        hdu.data,
        hdu.header,
        compression_type="RICE_1",
        quantize_level=QUANTIZE_LEVEL,
        quantize_method=1,
        dither_seed=_SEED,
    )


def _add_sums(bare: Path, target: Path) -> None:
    """Copy a file, with CHECKSUM and DATASUM in each unit, and no time in their comments."""
    with target.open("xb") as file:
        for hdu in read_hdus(str(bare)):
            data = read_unit(str(bare), hdu)[hdu.data_start - hdu.start :]
            data_sum = 0
            for start in range(0, len(data), 2**20 // BLOCK * BLOCK):
                piece = data[start : start + 2**20 // BLOCK * BLOCK]
                data_sum = add_checksums(data_sum, checksum_of(piece))
            sums = [
                format_card("CHECKSUM", "0" * 16, "of header and data"),
                format_card("DATASUM", str(data_sum), "of data"),
            ]
            total = add_checksums(checksum_of(hdu.header.plus(sums).to_bytes()), data_sum)
            sums[0] = format_card("CHECKSUM", encode_checksum(total), "of header and data")
            file.write(hdu.header.plus(sums).to_bytes())
            file.write(data)
