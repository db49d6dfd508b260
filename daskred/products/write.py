"""What a product is made of: its header, its planes, and the file it becomes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from daskred.fits.hdus import Hdu, read_hdus, read_unit
from daskred.fits.header import (
    COMMENTARY,
    Header,
    clipped,
    commentary,
    format_card,
    is_structural,
    keyword_of,
)
from daskred.fits.pack import pack
from daskred.fits.write import Bands, LateCards, Unit, write_atomically
from daskred.model.frame import Frame, Image
from daskred.model.plan import Master
from daskred.model.readout import Readout
from daskred.options import Options
from daskred.products.extensions import Extension, extension_units
from daskred.products.provenance import CONTENT_CARD, KEY_CARD
from daskred.steps import steps_of
from daskred.steps.step import Reach, Recipe

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


def _signature(processed_by: str | None) -> list[str]:
    return commentary("COMMENT", f"processed by {processed_by}") if processed_by else []


class CalibratedPixels(Protocol):
    """A frame that is calibrated when its pixels are wanted."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many pixels each step that counts them has touched."""

    @property
    def content(self) -> str:
        """A digest of all pixels that it is made from, once they have been read; or nothing."""

    @property
    def knows_content(self) -> bool:
        """Whether there is such a digest."""

    def images(self) -> tuple[list[Bands], list[Extension]]:
        """Return the images, and what stands beside them."""


def step_cards(recipe: Recipe, reach: Reach, counts: Mapping[str, int]) -> list[str]:
    """Return the cards that steps leave, in IRAF's words where it has some."""
    return [
        format_card(keyword, clipped(value) if isinstance(value, str) else value, comment)
        for step in steps_of(recipe, reach)
        for keyword, value, comment in step.cards(recipe, counts)
    ]


def _prepared_cards(frame: Frame, recipe: Recipe) -> list[str]:
    return step_cards(recipe, "amplifier", {}) if frame.is_prepared else []


def write_calibrated(
    target: Path,
    frame: Frame,
    recipe: Recipe,
    calibrated: CalibratedPixels,
    key: str,
    guard: Path | None = None,
) -> int:
    """Write one calibrated frame: its own header, and what was done to it.

    Parameters
    ----------
    target
        The product.
    frame
        The raw frame.
    recipe
        How it is calibrated.
    calibrated
        Its pixels.
    key
        What the product was made from.
    guard
        As of `daskred.fits.write.write_atomically`.

    Returns
    -------
    int
        The number of pixels without a value.
    """
    pixels, planes = calibrated.images()
    cards = [
        *_prepared_cards(frame, recipe),
        *step_cards(recipe, "band", calibrated.counts),
        *step_cards(recipe, "frame", calibrated.counts),
        format_card("CCDPROC", "CCD processing done", "by daskred"),
        format_card(KEY_CARD, key, "made from these inputs"),
        *commentary("COMMENT", "Calibrated Science Frame"),
        *_signature(recipe.options.processed_by),
    ]
    units = _units(frame.path, read_hdus(frame.path), frame, pixels, cards, None, others=True)
    units += extension_units(planes, _unit_of(frame))
    late = LateCards(0, tuple)
    if calibrated.knows_content:
        late = LateCards(1, lambda: [_content_card(calibrated.content)])
    packing = recipe.options.compress
    packed = None if packing == "none" else partial(pack, packing=packing)
    return write_atomically(target, units, guard, late, packed)


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


def combining_words(options: Options) -> list[str]:
    """Return in words how frames are combined, and what is left out before.

    Examples
    --------
    >>> from daskred.options import Options
    >>> combining_words(Options(combine="mean", reject="minmax"))
    ['mean', 'minmax low=1 high=1']
    """
    rejection = options.rejection
    if options.combine == "clipped-mean" and rejection.method == "none":
        rejection = replace(rejection, method="sigma")
    if rejection.method == "none":
        return [options.combine]
    text = f"{rejection.method} low={rejection.low:g} high={rejection.high:g}"
    if rejection.method == "sigma":
        text += f" {rejection.centre} {rejection.scale}"
    return [options.combine, text]


def write_master(
    target: Path,
    master: Master,
    options: Options,
    pixels: Sequence[Bands],
    planes: Sequence[Extension],
    key: str,
    content: str,
) -> int:
    """Write a master: the header that its inputs share, and what it was made from.

    Parameters
    ----------
    target
        The product.
    master
        The master as planned.
    options
        How it was made.
    pixels
        For each image its pixels, float32 or float64.
    planes
        What stands beside the pixels.
    key
        What the product was made from.
    content
        A digest of all pixels that it was made from.

    Returns
    -------
    int
        The number of pixels without a value.
    """
    combined = combining_words(options)
    recipe = Recipe(master.inputs[0].frame.readout, master.inputs[0].correction, options)
    frames = [member.frame for member in master.inputs]
    n_inputs = len(frames)
    template = _shared(frames)
    title = "master " + master.kind
    cards = _prepared_cards(frames[0], recipe)
    if master.kind == "dark":
        title = f"master {master.facts.exptime_s:g}-second dark"
        if "EXPTIME" not in template[0].header:
            cards.append(format_card("EXPTIME", master.facts.exptime_s, "exposure time, seconds"))
    cards += [
        format_card("NCOMBINE", n_inputs, "frames combined"),
        format_card("COMBINE", combined[0], "per pixel, over frames"),
        *(format_card("REJECT", clipped(text), "values left out") for text in combined[1:]),
    ]
    if master.kind == "flat":
        cards.append(format_card("NORMALIZ", options.normalize, "how levels were measured"))
    if len({one.correction for one in master.inputs}) == 1:  # the same was subtracted from all
        cards += step_cards(recipe, "band", {})
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
        *_signature(options.processed_by),
    ]
    unit = "" if master.kind == "flat" else None
    units = _units(frames[0].path, template, frames[0], pixels, cards, unit, others=False)
    units += extension_units(planes, "" if master.kind == "flat" else _unit_of(frames[0]))
    return write_atomically(target, units)
