"""The images of a FITS file: which of its units hold pixels, and what these mean."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from daskred.fits.hdus import Hdu, count
from daskred.fits.header import Header
from daskred.fits.names import plane_of
from daskred.model.errors import FrameError
from daskred.model.frame import Image

# Deflate packs zeros 1,032 times at most, and a frame has noise. Small ones may be all alike.
_MOST_PACKING = 1000
_FEW_PIXELS = 2**22


def _number(path: str, header: Header, keyword: str, default: float) -> float:
    value = header.get(keyword, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FrameError(path, f"{keyword} = {value!r} in its header is no number")
    return float(value)


# Names of images that lie beside those of detectors.
_BESIDE = re.compile(
    r".*(thumb|preview|mask|guid|focus|acq|flag|error|variance|uncert|weight|temps|bpm|badpix).*"
    r"|dq|err|var|wht|sky",
    re.IGNORECASE,
)
_MUCH_SMALLER = 8


def images_of(path: str, hdus: Sequence[Hdu], all_of_detectors: bool = False) -> tuple[Image, ...]:
    """Return the images of a file's detectors; what lies beside them is no image of the frame.

    Axes of length one are none. Beside the detectors lie tables, spectra, thumbnails, masks, and
    the images of guiders: told by their names, by axes, by fewer bits and far fewer pixels than
    others have, and in a file that begins with an image by another shape than that one.

    Parameters
    ----------
    path, hdus
        The file, and its units.
    all_of_detectors
        Whether no other images lie there, as in a master, whose images may be of unlike size.

    Raises
    ------
    FrameError
        When there is none, or the first one has more than two axes.
    """
    if len(hdus) == 1 and len(axes := _axes(path, hdus[0].header)) == 2 and 0 not in axes:
        return (_image(path, hdus[0], axes, ()),)  # nearly always
    if (plane := plane_of(path)) is not None:
        return (_plane(path, _cube_in(path, hdus), plane),)
    found = [hdu for hdu in hdus if _has_pixels(path, hdu)]
    flat = [hdu for hdu in found if len(_axes(path, hdu.header)) == 2]
    if found and (not flat or (found[0].index == 0 and found[0] is not flat[0])):
        raise FrameError(path, _refusal(_axes(path, found[0].header)))
    if not flat:
        raise FrameError(path, "has no image: no header announces two-dimensional pixels")
    images: list[Image] = []
    for hdu in flat if all_of_detectors else _of_detectors(path, flat):
        taken = {image.name for image in images}
        images.append(_image(path, hdu, _axes(path, hdu.header), taken))
    return tuple(images)


def planes_of(path: str, hdus: Sequence[Hdu], name: str) -> list[Image]:
    """Return the images of extensions of a name, as they stand beside those of detectors."""
    return [
        _image(path, hdu, _axes(path, hdu.header), ())
        for hdu in hdus
        if hdu.index and hdu.header.get("EXTNAME") == name and _has_pixels(path, hdu)
    ]


def _has_pixels(path: str, hdu: Hdu) -> bool:
    is_image = not hdu.index or hdu.header.get("XTENSION") == "IMAGE" or _is_compressed(hdu.header)
    return is_image and 0 not in (axes := _axes(path, hdu.header)) and bool(axes)


def _cube_in(path: str, hdus: Sequence[Hdu]) -> Hdu | None:
    """Return the unit that is a cube of exposures, if there is one.

    Three planes are colours; and what has smaller planes than an image beside it is a guider's.
    """
    if len(hdus) == 1 and len(_axes(path, hdus[0].header)) == 2:
        return None  # nearly always
    found = [(hdu, _axes(path, hdu.header)) for hdu in hdus if _has_pixels(path, hdu)]
    largest = max((math.prod(axes) for _, axes in found if len(axes) == 2), default=0)
    for hdu, axes in found:
        if len(axes) != 3 or axes[2] == _COLOURS:
            continue
        if hdu.index == 0 or math.prod(axes[:2]) >= largest:
            return hdu
    return None


def _is_compressed(header: Header) -> bool:
    return header.get("ZIMAGE") is True


def _axes(path: str, header: Header) -> tuple[int, ...]:
    """Return the lengths of an image's axes, without trailing ones of length one."""
    prefix = "Z" if _is_compressed(header) else ""
    n_axes = count(path, header, f"{prefix}NAXIS")
    axes = [count(path, header, f"{prefix}NAXIS{n + 1}") for n in range(n_axes)]
    while len(axes) > 2 and axes[-1] == 1:
        axes.pop()
    return tuple(axes)


def exposures_in(path: str, hdus: Sequence[Hdu]) -> int:
    """Return how many exposures a file holds that is a cube of them; 0 for other files."""
    cube = _cube_in(path, hdus) if plane_of(path) is None else None
    if cube is None:
        return 0
    _check_tiles(path, cube)
    return _axes(path, cube.header)[2]


def _check_tiles(path: str, hdu: Hdu) -> None:
    """Refuse compressed pixels that promise more than there is: they would ask for any memory."""
    header = hdu.header
    if not _is_compressed(header):
        return
    axes = _axes(path, header)
    n_pixels = math.prod(axes)
    if n_pixels > max(_MOST_PACKING * hdu.data_size, _FEW_PIXELS):
        text = f"promises {n_pixels} pixels in {hdu.data_size} bytes; it is damaged"
        raise FrameError(path, text)
    tiles = [
        count(path, header, f"ZTILE{n}") if f"ZTILE{n}" in header else (length if n == 1 else 1)
        for n, length in enumerate(axes, start=1)
    ]
    n_tiles = math.prod(
        -(-length // max(tile, 1)) for length, tile in zip(axes, tiles, strict=True)
    )
    if n_tiles != (n_rows := count(path, header, "NAXIS2")):
        text = f"holds {n_rows} tiles, where its axes ask for {n_tiles}; it is damaged"
        raise FrameError(path, text)


_COLOURS = 3


def _refusal(axes: tuple[int, ...]) -> str:
    """Say why pixels of other than two axes are no frame."""
    shape = " x ".join(map(str, reversed(axes)))
    if len(axes) == 3 and axes[2] == _COLOURS:
        return f"its pixels are three colours ({shape}): no raw frame; daskred takes raw pixels"
    if len(axes) == 3:
        return f"is a cube of {axes[2]} exposures ({shape}), not one frame"
    return f"its pixels have {len(axes)} axes ({shape}); a frame has two"


def _bits(hdu: Hdu) -> int:
    bitpix = hdu.header.get("ZBITPIX" if _is_compressed(hdu.header) else "BITPIX")
    return abs(bitpix) if isinstance(bitpix, int) else 0


def _of_detectors(path: str, flat: Sequence[Hdu]) -> list[Hdu]:
    """Return the units that hold images of detectors; the others lie beside them."""
    if len(flat) == 1:
        return list(flat)
    named = [h for h in flat if not _BESIDE.fullmatch(str(h.header.get("EXTNAME") or ""))]
    candidates = named or list(flat)
    if candidates[0].index == 0:
        axes = _axes(path, candidates[0].header)
        candidates = [hdu for hdu in candidates if _axes(path, hdu.header) == axes]
    largest = max(math.prod(_axes(path, hdu.header)) for hdu in candidates)
    bits = max(_bits(hdu) for hdu in candidates)
    return [
        hdu
        for hdu in candidates
        if math.prod(_axes(path, hdu.header)) * _MUCH_SMALLER > largest
        and not (_bits(hdu) == 8 < bits)
    ]


def _plane(path: str, hdu: Hdu | None, number: int) -> Image:
    """Return the image of one exposure of a cube."""
    axes = _axes(path, hdu.header) if hdu else ()
    if hdu is None or len(axes) != 3 or number >= axes[2]:
        raise FrameError(path, f"its file has no exposure {number + 1} any more")
    image = _image(path, hdu, axes[:2], ())
    if image.compressed:
        return image  # its tiles are found by the number
    n_bytes = image.n_pixels * image.disk_dtype.itemsize
    return replace(image, offset=image.offset + number * n_bytes)


def _image(path: str, hdu: Hdu, axes: tuple[int, ...], taken: Collection[str]) -> Image:
    """Return the image of a unit, under a name that is not taken."""
    header = hdu.header
    compressed = _is_compressed(header)
    prefix = "Z" if compressed else ""
    if header.get("ZCMPTYPE") == "PLIO_1":
        # Its decompressor leaves what a damaged stream does not tell as it was in memory.
        raise FrameError(path, "is packed as a mask (PLIO_1), not as a frame; unpack it")
    _check_tiles(path, hdu)
    bitpix = header.get(f"{prefix}BITPIX")
    if not isinstance(bitpix, int) or bitpix not in (8, 16, 32, 64, -32, -64):
        raise FrameError(path, f"{prefix}BITPIX = {bitpix!r} in its header is no FITS type")
    bscale = _number(path, header, "BSCALE", 1.0)
    if bscale == 0:
        raise FrameError(path, "BSCALE = 0 in its header makes all pixels alike")
    return Image(
        name=_name(hdu, taken),
        hdu=hdu.index,
        shape=(axes[1], axes[0]),
        bitpix=bitpix,
        bscale=bscale,
        bzero=_number(path, header, "BZERO", 0.0),
        blank=_blank(path, header, bitpix, compressed),
        offset=hdu.data_start,
        compressed=compressed,
        packing=hdu.packing,
    )


def _name(hdu: Hdu, taken: Collection[str]) -> str:
    """Return the name of a unit's image."""
    if not hdu.index:
        return ""
    extension = str(hdu.header.get("EXTNAME") or "")
    name = f"{extension},{hdu.header.get('EXTVER', 1)}" if extension else f"HDU {hdu.index}"
    # A primary image that was packed has no name of its own.
    if extension == "COMPRESSED_IMAGE" or hdu.header.get("ZSIMPLE") is True:
        name = ""
    return f"{name} HDU {hdu.index}".lstrip() if name in taken else name


def _blank(path: str, header: Header, bitpix: int, compressed: bool) -> int | None:
    """Return the stored integer that means "no value"; floats say it by NaN."""
    keyword = "ZBLANK" if compressed and "ZBLANK" in header else "BLANK"
    if bitpix < 0 or keyword not in header:
        return None
    value = header.get(keyword)
    if isinstance(value, bool) or not isinstance(value, int):
        raise FrameError(path, f"{keyword} = {value!r} in its header is no integer")
    return value
