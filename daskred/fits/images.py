"""The images of a FITS file: which of its units hold pixels, and what these mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from daskred.fits.hdus import Hdu, count
from daskred.fits.header import Header
from daskred.model.errors import FrameError
from daskred.model.frame import Image

# Deflate packs zeros 1,032 times at most, and a frame has noise. Small files are let be.
_MOST_PACKING = 1000


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
        n_axes = count(path, header, f"{prefix}NAXIS")
        axes = tuple(count(path, header, f"{prefix}NAXIS{n + 1}") for n in range(n_axes))
        if 0 in axes or not axes:
            continue
        if n_axes != 2:
            shape = " x ".join(map(str, reversed(axes)))
            raise FrameError(path, f"its pixels have {n_axes} axes ({shape}); a frame has two")
        bitpix = cast(int, header.get(f"{prefix}BITPIX"))
        n_pixels = axes[0] * axes[1]
        if header.get("ZCMPTYPE") == "PLIO_1":
            # Its decompressor leaves what a damaged stream does not tell as it was in memory.
            raise FrameError(path, "is packed as a mask (PLIO_1), not as a frame; unpack it")
        if compressed and n_pixels > _MOST_PACKING * hdu.data_size:
            text = f"promises {n_pixels} pixels in {hdu.data_size} bytes; it is damaged"
            raise FrameError(path, text)
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
        bscale = _number(path, header, "BSCALE", 1.0)
        if bscale == 0:
            raise FrameError(path, "BSCALE = 0 in its header makes all pixels alike")
        images.append(
            Image(
                name=name,
                hdu=hdu.index,
                shape=(axes[1], axes[0]),
                bitpix=bitpix,
                bscale=bscale,
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
