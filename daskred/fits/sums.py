"""Whether the sums of a FITS file are right: CHECKSUM and DATASUM."""

from __future__ import annotations

from typing import BinaryIO

from daskred.fits.checksum import add_checksums, checksum_of
from daskred.fits.hdus import Hdu, opened, read_hdus


def wrong_sum(path: str) -> str:
    """Return what is wrong with a file's CHECKSUM and DATASUM, or nothing; FITS 4.0, 4.4.2.7.

    Raises
    ------
    FrameError
        When the file cannot be read, or is cut short.
    """
    hdus = read_hdus(path)
    with opened(path) as (file, _):
        for hdu in hdus:
            where = f" of HDU {hdu.index}" if hdu.index else ""
            data_sum, is_total_right = _sums_of(file, hdu)
            if hdu.index and not {"CHECKSUM", "DATASUM"} & set(hdu.header.keywords):
                continue  # it was copied from its frame to the byte, which had no sums
            if "CHECKSUM" not in hdu.header or "DATASUM" not in hdu.header:
                return f"has no CHECKSUM or DATASUM{where}"
            if str(hdu.header.get("DATASUM")) != str(data_sum):
                return f"its pixels{where} are not those that were written: DATASUM is wrong"
            if not is_total_right:
                return f"its header{where} is not the one that was written: CHECKSUM is wrong"
        if file.read(1):
            return "has bytes behind its end"
    return ""


def wrong_raw_sum(path: str) -> str:
    """Return which sums of a raw file are wrong, as far as it has any; nothing where none is.

    Raises
    ------
    FrameError
        When the file cannot be read, or is cut short.
    """
    wrong = []
    hdus = read_hdus(path)
    with opened(path) as (file, _):
        for hdu in hdus:
            told = str(hdu.header.get("DATASUM") or "").strip()
            if not told and "CHECKSUM" not in hdu.header:
                continue
            data_sum, is_total_right = _sums_of(file, hdu)
            if told and told != str(data_sum):
                wrong.append(f"DATASUM of HDU {hdu.index}")
            elif "CHECKSUM" in hdu.header and not is_total_right:
                wrong.append(f"CHECKSUM of HDU {hdu.index}")
    return " and ".join(wrong)


def _sums_of(file: BinaryIO, hdu: Hdu) -> tuple[int, bool]:
    """Return the sum of an HDU's data, and whether that of the whole HDU is as CHECKSUM makes it.

    The file is left where the HDU ends.
    """
    file.seek(hdu.start)
    header_sum = _sum_of_next(file, hdu.data_start - hdu.start)
    data_sum = _sum_of_next(file, hdu.end - hdu.data_start)
    return data_sum, add_checksums(header_sum, data_sum) in (0, 0xFFFFFFFF)


def _sum_of_next(file: BinaryIO, n_bytes: int) -> int:
    """Return the sum of the next bytes of a file, whole words of four."""
    total = 0
    while n_bytes > 0 and (piece := file.read(min(n_bytes, 2**20))):
        n_bytes -= len(piece)
        total = add_checksums(total, checksum_of(piece.ljust(-(-len(piece) // 4) * 4, b"\0")))
    return total
