"""How a product is laid out: the headers of its frame without what no longer holds, new pixels."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from daskred.fits.hdus import Hdu, read_unit
from daskred.fits.header import (
    COMMENTARY,
    Header,
    format_card,
    is_structural,
    keyword_of,
)
from daskred.fits.write import Bands, Unit
from daskred.model.frame import Frame, Image
from daskred.model.readout import Readout
from daskred.products.provenance import CONTENT_CARD, KEY_CARD

# Cards that are true of raw pixels only, where pixels have been prepared.
_OF_RAW_PIXELS = re.compile(
    r"BIASSEC|TRIMSEC|DATASEC|OVERSCAN|TRIM|LINCORR|XTALKCOR|GAINCOR|SATURATE|SATLEVEL|MAXLIN"
)


_OF_PARTS = re.compile(r"DETSEC|CCDSEC|AMPSEC|NEXTEND")


_OF_GAIN = re.compile(r"E?GAIN\d?|CCDGAIN|GAINMODE")


_REFERENCE_PIXEL = re.compile(r"(CRPIX|LTV)([12])[A-Z]?")


# Cards that a product gets anew, so that no older ones contradict them.
_OWN = re.compile(
    rf"{KEY_CARD}|{CONTENT_CARD}|NCOMBINE|COMBINE|NORMALIZ|IMCMB\d+|CCDPROC|ZEROCOR|DARKCOR|DARKC\d+|FLATCOR|NANPIX|REJECT|NCOSMIC"
)


def _kept(
    header: Header, compressed: bool, readout: Readout | None, anew: Collection[str]
) -> Header:
    """Return a header without what no longer holds, and without cards that are written anew."""

    def unwanted(keyword: str) -> bool:
        return bool(
            is_structural(keyword, compressed)
            or _OWN.fullmatch(keyword)
            or keyword in anew
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


def _is_packed_primary(images: Sequence[Image]) -> bool:
    """Whether a file is a primary image that was packed into a compressed extension."""
    return len(images) == 1 and images[0].compressed and not images[0].name


def _moved(header: Header, frame: Frame, number: int) -> Header:
    """Return the header of a prepared image, whose pixels count from another corner."""
    readout = frame.preparation
    if readout is None:
        return header
    first = next(amplifier for amplifier in readout.amplifiers if amplifier.target == number)
    shift = {
        "1": first.data.columns[0] - first.place.columns[0],
        "2": first.data.rows[0] - first.place.rows[0],
    }
    cards = []
    for entry in header.entries:
        match = _REFERENCE_PIXEL.fullmatch(keyword_of(entry[0]))
        value = header.get(keyword_of(entry[0])) if match else None
        if match and isinstance(value, int | float) and shift[match[2]]:
            comment = header.comment(match[0])
            cards.append(format_card(match[0], value - shift[match[2]], comment))
        else:
            cards += entry
    return Header(tuple(cards))


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
    anew = {keyword_of(card) for card in cards} - COMMENTARY
    in_electrons = readout is not None and readout.unit == "electron"
    if in_electrons and unit is None:
        unit = "electron"
        new.append(format_card("GAIN", 1.0, "pixels are electrons"))
    if len(pixels) < len(images):
        return _assembled_units(path, hdus, frame, pixels[0], new, unit, others)
    by_hdu = {
        image.hdu: (n, own) for n, (image, own) in enumerate(zip(images, pixels, strict=True))
    }
    packed = _is_packed_primary(images)
    units: list[Unit] = []
    for hdu in hdus:
        if packed and hdu.index != images[0].hdu:
            continue
        if hdu.index in by_hdu:
            number, own = by_hdu[hdu.index]
            header = _kept(hdu.header, images[number].compressed, readout, anew)
            header = _moved(header, frame, number)
            header = _with_unit(header, "adu" if unit is None else unit, replace=unit is not None)
            units.append((header.plus(new), own))
            new = []
        elif hdu.index == 0:
            units.append((_kept(hdu.header, False, readout, anew).plus(new), None))
            new = []
        elif others:
            # Tables and the like go with the frame, to the byte.
            units.append(read_unit(path, hdu))
    return units


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
    anew = {keyword_of(card) for card in cards} - COMMENTARY
    header = _kept(hdus[0].header, False, frame.preparation, anew)
    header = header.without(lambda keyword: bool(_OF_PARTS.fullmatch(keyword)))
    # Its reference pixel is that of the whole already.
    header = _with_unit(header, "adu" if unit is None else unit, replace=unit is not None)
    units: list[Unit] = [(header.plus(cards), pixels)]
    if others:
        units += [read_unit(path, hdu) for hdu in hdus[1:] if hdu.index not in parts]
    return units
