"""What a product is made of: its header, its planes, and the file it becomes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from daskred.detector import Preparation
from daskred.fitsfile import Hdu, read_hdus, read_unit
from daskred.fitswrite import Bands, LateCards, Unit, write_atomically
from daskred.frames import Frame, Image
from daskred.header import (
    Header,
    clipped,
    commentary,
    format_card,
    is_structural,
    keyword_of,
)
from daskred.pack import Packing, pack
from daskred.plan import Correction, Master
from daskred.planes import Plane, plane_units
from daskred.provenance import CONTENT_CARD, KEY_CARD

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


def _content_card(content: str) -> str:
    return format_card(CONTENT_CARD, content, "of all pixels it was made from")


def _kept(header: Header, compressed: bool, how: Preparation | None) -> Header:
    """Return a header without what no longer holds."""

    def unwanted(keyword: str) -> bool:
        return bool(
            is_structural(keyword, compressed)
            or _OWN.fullmatch(keyword)
            or (how and _OF_RAW_PIXELS.fullmatch(keyword))
            or (how and how.unit == "electron" and _OF_GAIN.fullmatch(keyword))
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
    how = frame.preparation
    if how is None:
        return header
    first = next(one for one in how.amplifiers if one.target == number)
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


def _preparation_cards(frame: Frame) -> list[str]:
    """Return the cards that tell how pixels were prepared, in IRAF's words where it has some."""
    how = frame.preparation
    if how is None:
        return []
    cards = []
    if how.overscan and any(one.overscan for one in how.amplifiers):
        text: str = how.overscan.statistic
        if how.overscan.fit != "none":
            text += f", {how.overscan.fit} of order {how.overscan.order}"
        cards.append(format_card("OVERSCAN", clipped(text), "level of each row, subtracted"))
    data = [str(one.data) for one in how.amplifiers]
    n_kept = sum(one.data.shape[0] * one.data.shape[1] for one in how.amplifiers)
    if n_kept < sum(image.n_pixels for image in frame.images):
        cards.append(format_card("TRIM", clipped(" ".join(data)), "raw section"))
    if how.crosstalk:
        cards.append(format_card("XTALKCOR", "matrix", "crosstalk subtracted"))
    if any(one.linearity or one.linearity_table for one in how.amplifiers):
        cards.append(format_card("LINCORR", "by amplifier", "made linear"))
    if how.unit == "electron":
        gains = " ".join(f"{one.gain_e_per_adu:g}" for one in how.amplifiers)
        cards.append(format_card("GAINCOR", clipped(gains), "electrons per ADU"))
    return cards


def _units(
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
    images, how = frame.images, frame.preparation
    new = [*_preparation_cards(frame), *cards]
    in_electrons = how is not None and how.unit == "electron"
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
            header = _kept(hdu.header, images[number].compressed, how)
            header = _moved(header, frame, number)
            header = _with_unit(header, "adu" if unit is None else unit, replace=unit is not None)
            units.append((header.plus(new), own))
            new = []
        elif hdu.index == 0:
            units.append((_kept(hdu.header, False, how).plus(new), None))
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
    header = _kept(hdus[0].header, False, frame.preparation)
    header = header.without(lambda keyword: bool(_OF_PARTS.fullmatch(keyword)))
    # Its reference pixel is that of the whole already.
    header = _with_unit(header, "adu" if unit is None else unit, replace=unit is not None)
    units: list[Unit] = [(header.plus(cards), pixels)]
    if others:
        units += [read_unit(path, hdu) for hdu in hdus[1:] if hdu.index not in parts]
    return units


def _signature(processed_by: str | None) -> list[str]:
    return commentary("COMMENT", f"processed by {processed_by}") if processed_by else []


def _correction_cards(correction: Correction) -> list[str]:
    """Return the cards that name the masters used, in IRAF's words."""
    cards = []
    if correction.bias and not correction.dark:
        cards.append(_named("ZEROCOR", correction.bias, "bias subtracted"))
    if correction.dark:
        scale = ""
        if correction.dark_scale != 1 and correction.bias:
            cards.append(_named("ZEROCOR", correction.bias, "bias of the dark"))
            scale = f" with scale={correction.dark_scale:.8g}"
        cards.append(_named("DARKCOR", correction.dark, "dark subtracted", scale))
    if correction.terms:
        cards.append(format_card("DARKCOR", "straight line over exposure time", "through masters"))
        cards += [
            _named(f"DARKC{number:03d}", name, "factor of a master", f" with scale={factor:.8g}")
            for number, (name, factor) in enumerate(correction.terms, start=1)
        ]
    if correction.flat:
        cards.append(_named("FLATCOR", correction.flat, "divided by"))
    return cards


def _named(keyword: str, master: str, comment: str, scale: str = "") -> str:
    """Return a card that names a master's file."""
    return format_card(keyword, clipped(f"{master}.fits{scale}"), comment)


def write_calibrated(
    target: Path,
    frame: Frame,
    pixels: Sequence[Bands],
    correction: Correction,
    key: str,
    content: Callable[[], str] | None = None,
    processed_by: str | None = None,
    guard: Path | None = None,
    planes: Sequence[Plane] = (),
    n_cosmics: int | None = None,
    packing: Packing = "none",
) -> int:
    """Write one calibrated frame: its own header, and what was done to it.

    Parameters
    ----------
    target
        The product.
    frame
        The raw frame.
    pixels
        For each image its calibrated pixels, float32 or float64.
    correction
        The masters used.
    key
        What the product was made from.
    content
        Returns, when all pixels have been read, the digest of what it was made from.
    processed_by
        Whom to ask about it.
    guard
        As of `daskred.fitswrite.write_atomically`.
    planes
        What stands beside the pixels.
    n_cosmics
        How many pixels cosmic rays have hit; None where nobody looked.
    packing
        As of `daskred.pack.pack`.

    Returns
    -------
    int
        The number of pixels without a value.
    """
    cards = [
        *_correction_cards(correction),
        *_cosmics_cards(n_cosmics),
        format_card("CCDPROC", "CCD processing done", "by daskred"),
        format_card(KEY_CARD, key, "made from these inputs"),
        *commentary("COMMENT", "Calibrated Science Frame"),
        *_signature(processed_by),
    ]
    hdus = read_hdus(frame.path)
    units = _units(frame.path, hdus, frame, pixels, cards, None, others=True)
    units += plane_units(planes, _unit_of(frame))
    late = LateCards(1, lambda: [_content_card(content())]) if content else LateCards(0, tuple)
    packed = None if packing == "none" else partial(pack, how=packing)
    return write_atomically(target, units, guard, late, packed)


def _cosmics_cards(n_cosmics: int | None) -> list[str]:
    return [] if n_cosmics is None else [format_card("NCOSMIC", n_cosmics, "pixels hit by rays")]


def _unit_of(frame: Frame) -> str:
    return frame.preparation.unit if frame.preparation else "adu"


def _by_role(frame: Frame) -> dict[tuple[str, int], Hdu]:
    """Return a frame's units by what they are: its so-many-th image, or another unit."""
    numbers = {image.hdu: number for number, image in enumerate(frame.images)}
    return {
        ("image", numbers[hdu.index]) if hdu.index in numbers else ("other", hdu.index): hdu
        for hdu in read_hdus(frame.path)
    }


def _shared(frames: Sequence[Frame]) -> list[Hdu]:
    """Return the first frame's units, with the cards on which all frames agree."""
    first = _by_role(frames[0])
    kept = {role: hdu.header.entries for role, hdu in first.items()}
    for frame in frames[1:]:  # one after the other: any number of frames fits into memory
        for role, hdu in _by_role(frame).items():
            if role in kept:
                entries = set(hdu.header.entries)
                kept[role] = [entry for entry in kept[role] if entry in entries]
    return [
        replace(hdu, header=Header(tuple(card for entry in kept[role] for card in entry)))
        for role, hdu in first.items()
    ]


def write_master(
    target: Path,
    master: Master,
    pixels: Sequence[Bands],
    key: str,
    content: str,
    normalize: str | None = None,
    processed_by: str | None = None,
    combined: Sequence[str] = ("median",),
    planes: Sequence[Plane] = (),
) -> int:
    """Write a master: the header that its inputs share, and what it was made from.

    Parameters
    ----------
    target
        The product.
    master
        The master as planned.
    pixels
        For each image its pixels, float32 or float64.
    key
        What the product was made from.
    content
        A digest of all pixels that it was made from.
    normalize
        How levels were measured, of a flat.
    processed_by
        Whom to ask about it.
    combined
        How frames were combined, and what was rejected.
    planes
        What stands beside the pixels.

    Returns
    -------
    int
        The number of pixels without a value.
    """
    frames = [one.frame for one in master.inputs]
    n_inputs = len(frames)
    template = _shared(frames)
    title = "master " + master.kind
    cards: list[str] = []
    if master.kind == "dark":
        title = f"master {master.facts.exptime_s:g}-second dark"
        if "EXPTIME" not in template[0].header:
            cards.append(format_card("EXPTIME", master.facts.exptime_s, "exposure time, seconds"))
    cards += [
        format_card("NCOMBINE", n_inputs, "frames combined"),
        format_card("COMBINE", combined[0], "per pixel, over frames"),
        *(format_card("REJECT", clipped(text), "values left out") for text in combined[1:]),
    ]
    if normalize:
        cards.append(format_card("NORMALIZ", normalize, "how levels were measured"))
    cards += _correction_cards_of_inputs(master)
    if n_inputs < 1000:
        cards += [
            format_card(f"IMCMB{number:03d}", clipped(frame.basename))
            for number, frame in enumerate(frames, start=1)
        ]
    cards += [
        format_card(KEY_CARD, key, "made from these inputs"),
        _content_card(content),
        *commentary("COMMENT", title),
        *commentary("COMMENT", f"{n_inputs} frames {combined[0]} combined"),
        *_signature(processed_by),
    ]
    unit = "" if master.kind == "flat" else None
    units = _units(frames[0].path, template, frames[0], pixels, cards, unit, others=False)
    units += plane_units(planes, "" if master.kind == "flat" else _unit_of(frames[0]))
    return write_atomically(target, units)


def _correction_cards_of_inputs(master: Master) -> list[str]:
    """Return the cards of what was subtracted from a master's inputs, where it was the same."""
    corrections = {one.correction for one in master.inputs}
    return _correction_cards(corrections.pop()) if len(corrections) == 1 else []
