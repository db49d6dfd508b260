"""How a product is laid out: the headers of its frame without what no longer holds, new pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence

from daskred.fits.hdus import Hdu, read_unit
from daskred.fits.header import (
    COMMENTARY,
    Header,
    format_card,
    is_structural,
    keyword_of,
)
from daskred.fits.write import Bands, Unit
from daskred.model.errors import FrameError
from daskred.model.frame import Frame, Image
from daskred.model.readout import Readout
from daskred.products.coordinates import WHOLE, Grid, has_tables, regridded
from daskred.products.provenance import CONTENT_CARD, KEY_CARD

# Cards of parts of a raw image; and of raw pixels, which are not true where these were prepared.
_OF_SECTIONS = r"(BIASSEC|TRIMSEC|DATASEC|AMPSEC|PRESEC|POSTSEC)[A-D]?|IMAGEW|IMAGEH"
_OF_RAW_PIXELS = re.compile(
    rf"{_OF_SECTIONS}|OVERSCAN|TRIM|LINCORR|XTALKCOR|GAINCOR|SATUR\w*|SATLEV\w*|MAXLIN"
)


# How programs showed the raw frame.
_OF_DISPLAY = re.compile(r"CBLACK|CWHITE|MIPS-(HI|LO)|DSPLOW|DSPHIGH|DISPLO|DISPHI")


# What says that some level was taken from the pixels, or added to them; these calibrations end it.
_LEVEL_ADDED = ("PEDESTAL",)
_LEVEL_TAKEN = frozenset({"DARKCOR", "ZEROCOR"})


_OF_PARTS = re.compile(r"DETSEC|CCDSEC|AMPSEC|NEXTEND")


# Cards that are true of whole images only, and of those that were not binned any further.
_OF_WHOLE = re.compile(rf"{_OF_SECTIONS}|(DET|CCD)(SEC|SIZE)[A-D]?|[XY]ORGSUBF|SUB[XY]0")
_OF_BINNED = re.compile(
    rf"{_OF_WHOLE.pattern}|[XY]BIN(NING)?|CCDSUM|BINNING|CCD[XY]BIN|[XY]PIXSZ|PIXSCALE|SECPIX\d?"
)


_OF_GAIN = re.compile(r"E?GAIN[\dA-D]?|CCDGAIN|GAINMODE")


# Cards that a product gets anew, so that no older ones contradict them.
_OWN = re.compile(
    rf"{KEY_CARD}|{CONTENT_CARD}|NCOMBINE|COMBINE|NORMALIZ|IMCMB\d+|CCDPROC|NANPIX|REJECT|NCOSMIC"
    r"|ZEROCOR|DARKCOR|DARKC\d+|FLATCOR|ZEROL\d+|SCATTER|DARKERR|FLATERR|OVSCERR"
)


def _kept(
    header: Header, compressed: bool, readout: Readout | None, anew: frozenset[str]
) -> Header:
    """Return a header without what no longer holds, and without cards that are written anew."""

    def unwanted(keyword: str) -> bool:
        return bool(
            is_structural(keyword, compressed)
            or _OWN.fullmatch(keyword)
            or keyword in anew
            or _OF_DISPLAY.fullmatch(keyword)
            or (keyword in _LEVEL_ADDED and anew & _LEVEL_TAKEN)
            or (readout and keyword in readout.level_cards)
            or (readout and _OF_RAW_PIXELS.fullmatch(keyword))
            or (readout and readout.unit == "electron" and _OF_GAIN.fullmatch(keyword))
        )

    kept = header.without(unwanted)
    if compressed and header.get("EXTNAME") == "COMPRESSED_IMAGE":
        kept = kept.without(lambda keyword: keyword == "EXTNAME")
    return kept


def _with_unit(header: Header, unit: str, replace: bool) -> Header:
    """Return a header whose BUNIT tells the unit of the pixels."""
    if "BUNIT" in header and not replace:
        return header
    bare = header.without(lambda keyword: keyword == "BUNIT")
    return bare.plus([format_card("BUNIT", unit, "unit of the pixels")])


def _without(header: Header, gone: re.Pattern[str]) -> Header:
    return header.without(lambda keyword: bool(gone.fullmatch(keyword)))


def _is_packed_primary(images: Sequence[Image]) -> bool:
    """Whether a file is a primary image that was packed into a compressed extension."""
    return len(images) == 1 and images[0].compressed and not images[0].name


def _moved(header: Header, frame: Frame, number: int) -> Header:
    """Return the header of a prepared image, whose pixels count from another corner."""
    readout = frame.preparation
    if readout is None:
        return header
    first = next(amplifier for amplifier in readout.amplifiers if amplifier.target == number)
    columns = Grid(float(first.data.columns[0] - first.place.columns[0]), 1.0)
    rows = Grid(float(first.data.rows[0] - first.place.rows[0]), 1.0)
    return regridded(header, columns, rows)


def lay_out(
    path: str,
    hdus: Sequence[Hdu],
    frame: Frame,
    pixels: Sequence[Bands],
    cards: Sequence[str],
    unit: str | None,
    others: bool,
) -> list[Unit]:
    """Lay out a product as its frame is: headers, new cards in the first, new pixels."""
    # The first unit of the product gets the new cards.
    images, readout = frame.images, frame.preparation
    new = list(cards)
    anew = frozenset(map(keyword_of, cards)) - COMMENTARY
    in_electrons = readout is not None and readout.unit == "electron"
    if in_electrons and unit is None:
        unit = "electron"
        new.append(format_card("GAIN", 1.0, "pixels are electrons"))
    if len(pixels) < len(images):
        return _assembled_units(path, hdus, frame, pixels[0], new, unit, others)
    by_hdu = {
        image.hdu: (n, planes) for n, (image, planes) in enumerate(zip(images, pixels, strict=True))
    }
    packed = _is_packed_primary(images)
    units: list[Unit] = []
    for hdu in hdus:
        if packed and hdu.index != images[0].hdu:
            continue
        if hdu.index in by_hdu:
            number, planes = by_hdu[hdu.index]
            header = _kept(hdu.header, images[number].compressed, readout, anew)
            header = _moved(header, frame, number)
            header = _with_unit(header, "adu" if unit is None else unit, replace=unit is not None)
            units.append((header.plus(new), planes))
            new = []
        elif hdu.index == 0:
            units.append((_kept(hdu.header, False, readout, anew).plus(new), None))
            new = []
        elif others:
            # Tables and the like go with the frame, to the byte.
            units.append(read_unit(path, hdu))
    return units


def cut_out(path: str, units: Sequence[Unit], grids: Sequence[tuple[Grid, Grid]]) -> list[Unit]:
    """Return units whose images have some columns and rows only, with coordinates true of these.

    Raises
    ------
    FrameError
        Where tables for each pixel tell coordinates, which would have to be cut too.
    """
    remaining = iter(grids)
    found: list[Unit] = []
    for unit in units:
        columns, rows = (WHOLE, WHOLE)
        if not isinstance(unit, bytes) and unit[1] is not None:
            columns, rows = next(remaining)
        if isinstance(unit, bytes) or columns == rows == WHOLE:
            found.append(unit)
            continue
        header, pixels = unit
        if has_tables(header):
            text = "tables of its pixels tell its coordinates, and are not cut: write whole frames"
            raise FrameError(path, text)
        gone = _OF_WHOLE if {abs(columns.step), abs(rows.step)} == {1.0} else _OF_BINNED
        found.append((regridded(_without(header, gone), columns, rows), pixels))
    return found


def _assembled_units(
    path: str,
    hdus: Sequence[Hdu],
    frame: Frame,
    pixels: Bands,
    cards: Sequence[str],
    unit: str | None,
    others: bool,
) -> list[Unit]:
    """Lay out amplifiers that were put together: one image, under the primary header."""
    parts = {image.hdu for image in frame.images}
    anew = frozenset(map(keyword_of, cards)) - COMMENTARY
    header = _kept(hdus[0].header, False, frame.preparation, anew)
    header = header.without(lambda keyword: bool(_OF_PARTS.fullmatch(keyword)))
    # Its reference pixel is that of the whole already.
    header = _with_unit(header, "adu" if unit is None else unit, replace=unit is not None)
    units: list[Unit] = [(header.plus(cards), pixels)]
    if others:
        units += [read_unit(path, hdu) for hdu in hdus[1:] if hdu.index not in parts]
    return units
