"""Sections, and the amplifiers that they tell: those of headers, and those of camera files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from daskred.cameras.arithmetic import compute
from daskred.cameras.rules import Camera
from daskred.fits.hdus import Hdu
from daskred.fits.header import Header
from daskred.model.errors import FrameError
from daskred.model.frame import Image
from daskred.model.readout import (
    Amplifier,
    Section,
    parse_section,
    whole,
)
from daskred.night.facts import gain_of
from daskred.night.values import first_positive, parse_number, positive

# What headers say where there is no section.
_NO_SECTION = re.compile(r"\s*(unknown|none|n/?a|null|undefined|\[?0:0,\s*0:0\]?)?\s*", re.I)


def saturation_of(headers: Sequence[Header], camera: Camera, image: Image) -> float | None:
    """Return the level at which raw pixels are saturated: the header's, or their type's largest."""
    told = positive(headers, camera, "saturation_adu")
    return image.largest if told is None else told


def headers_of(hdus: Sequence[Hdu], image: Image) -> list[Header]:
    """Return the headers that tell of an image: its own, then the primary one."""
    header = next(hdu.header for hdu in hdus if hdu.index == image.hdu)
    return [header] if image.hdu == 0 else [header, hdus[0].header]


def section_of(
    path: str, header: Header, cards: Sequence[str], shape: tuple[int, int]
) -> tuple[str, Section] | None:
    """Return the first card that tells a section, and the section, of an image of a shape."""
    for card in cards:
        value = header.get(card)
        if value is None or _NO_SECTION.fullmatch(str(value)):
            continue
        section = parse_section(str(value), shape)
        if section is None:
            raise FrameError(path, f"{card} = {value!r} is no section like [x1:x2,y1:y2]")
        return f"{card} = {value!r}", section
    return None


def checked_section(path: str, told: tuple[str, Section], shape: tuple[int, int]) -> Section:
    """Return a section that is told, which must lie inside its image."""
    text, section = told
    if not section.fits_into(shape):
        axes = f"{shape[1]} columns and {shape[0]} rows"
        raise FrameError(path, f"{text} lies outside its image of {axes}")
    return section


def with_suffix(card: str, suffix: str) -> str:
    """Return the card that tells of one amplifier what a card tells of an image.

    Examples
    --------
    >>> with_suffix("DATASEC", "A"), with_suffix("SATURATE", "B")
    ('DATASECA', 'SATURATB')
    """
    return card[: 8 - len(suffix)] + suffix


def amplifiers_by_header(
    path: str, hdus: Sequence[Hdu], images: Sequence[Image], camera: Camera, number: int
) -> list[Amplifier]:
    """Return the amplifiers that an image's own header tells of: one, or those with a suffix."""
    rules, shape = camera.detector, images[number].shape
    header = headers_of(hdus, images[number])[0]

    def told_by(cards: Sequence[str]) -> dict[str, str]:
        """Return for each suffix the card that tells a section."""
        found = {}
        for suffix in rules.suffixes:
            section = section_of(path, header, [with_suffix(card, suffix) for card in cards], shape)
            if section:
                found[suffix] = section[0]
        return found

    data, strips = told_by(rules.data_cards), told_by(rules.overscan_cards)
    wants_strips = rules.overscan != "none" and rules.trim
    if len(data) < 2 and not (strips and wants_strips):
        return [_amplifier(path, hdus, images, camera, number, "")]
    if not rules.trim:
        text = "a header that tells amplifiers tells what is cut off"
        raise FrameError(path, f"{next(iter(data.values()))}: {text}; not with --no-trim")
    if wants_strips and strips and data.keys() != strips.keys():
        known = ", ".join([*data.values(), *strips.values()])
        text = f"{known} tell of some amplifiers their pixels, and of others their overscans"
        raise FrameError(path, f"{text}; --overscan none goes without these")
    amplifiers = [_amplifier(path, hdus, images, camera, number, suffix) for suffix in data]
    # Side by side, without what lies between them.
    rows = _packed([amplifier.data.rows for amplifier in amplifiers])
    columns = _packed([amplifier.data.columns for amplifier in amplifiers])
    overlapping = any(a.data.overlaps(b.data) for a, b in combinations(amplifiers, 2))
    if rows is None or columns is None or overlapping:
        text = "amplifiers that do not lie side by side"
        raise FrameError(path, f"{', '.join(data.values())} tell {text}")
    places = [Section(*place) for place in zip(rows, columns, strict=True)]
    return [replace(a, place=place) for a, place in zip(amplifiers, places, strict=True)]


def _packed(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]] | None:
    """Return where spans of pixels lie when the gaps between them are closed; None if they overlap.

    Examples
    --------
    >>> _packed([(60, 100), (8, 48), (8, 48)]), _packed([(0, 40), (0, 39)])
    ([(40, 80), (0, 40), (0, 40)], None)
    """
    starts: dict[tuple[int, int], int] = {}
    end = last = 0
    for first, stop in sorted(set(spans)):
        if starts and first < last:
            return None
        starts[first, stop] = end
        end += stop - first
        last = stop
    return [(starts[span], starts[span] + span[1] - span[0]) for span in spans]


def _amplifier(
    path: str,
    hdus: Sequence[Hdu],
    images: Sequence[Image],
    camera: Camera,
    number: int,
    suffix: str,
) -> Amplifier:
    """Return an amplifier of an image, of which cards with a suffix tell, or without any."""
    image, rules = images[number], camera.detector
    headers = headers_of(hdus, image)

    def told(cards: Sequence[str]) -> tuple[str, Section] | None:
        named = [with_suffix(card, suffix) for card in cards]
        return section_of(path, headers[0], named, image.shape)

    def value(fact: str) -> float | None:
        """Return what is told of this amplifier alone."""
        if not suffix:
            return None
        return first_positive(headers, [with_suffix(c, suffix) for (c, *_) in camera.facts[fact]])

    # What is packed keeps its sections; a name of their image is no part of them.
    data = whole(image.shape)
    overscan: tuple[Section, ...] = ()
    if rules.trim and (found := told(rules.data_cards)):
        data = checked_section(path, found, image.shape)
    found = told(rules.overscan_cards)
    if found and rules.overscan != "none":
        strip = checked_section(path, found, image.shape)
        if rules.trim and strip.overlaps(data):
            text = f"{found[0]} overlaps the pixels that see light, {data}"
            raise FrameError(
                path, f"{text}; --no-trim takes no overscan away, a camera file tells it"
            )
        overscan = (strip,)
    return Amplifier(
        name=f"{image.name} {suffix}".strip(),
        image=number,
        data=Section(data.rows, data.columns),
        overscan=overscan,
        target=number,
        place=whole(data.shape),
        gain_e_per_adu=value("gain_e_per_adu") or gain_of(headers, camera),
        read_noise_e=value("read_noise_e") or positive(headers, camera, "read_noise_e"),
        saturation_adu=value("saturation_adu") or saturation_of(headers, camera, image),
    )


def amplifier_by_rule(
    path: str,
    hdus: Sequence[Hdu],
    images: Sequence[Image],
    camera: Camera,
    number: int,
) -> Amplifier:
    """Return the amplifier that a camera file tells of; numbers count from 1."""
    rule = camera.amplifiers[number - 1]
    if rule.image >= len(images):
        text = f"has {len(images)} images, and the camera's amplifier {rule.name!r} is in number"
        raise FrameError(path, f"{text} {rule.image + 1}")
    image = images[rule.image]
    headers = headers_of(hdus, image)

    def section(text: str) -> Section:
        computed = _computed(path, text, headers, image.shape)
        found = parse_section(computed)
        if not found:
            raise FrameError(path, f"the camera's section {text!r} comes out as {computed!r}")
        told = text if computed == text else f"{text} = {computed}"
        return checked_section(path, (f"the camera's section {told}", found), image.shape)

    data = section(rule.data)
    place = section(rule.place) if rule.place else data
    return Amplifier(
        name=rule.name or (str(number) if len(camera.amplifiers) > 1 else ""),
        image=rule.image,
        data=data,
        overscan=tuple(map(section, rule.overscan)) if camera.detector.overscan != "none" else (),
        target=rule.image,
        place=place,
        gain_e_per_adu=rule.gain_e_per_adu or gain_of(headers, camera),
        read_noise_e=rule.read_noise_e or positive(headers, camera, "read_noise_e"),
        saturation_adu=rule.saturation_adu or saturation_of(headers, camera, image),
        linearity=rule.linearity if camera.detector.linearity else (),
        linearity_table=rule.linearity_table if camera.detector.linearity else (),
    )


def _computed(path: str, text: str, headers: Sequence[Header], shape: tuple[int, int]) -> str:
    """Return a section whose sums and cards are computed."""
    match = re.fullmatch(r"\s*\[([^:,]+):([^:,]+),([^:,]+):([^:,]+)\]\s*", text)
    if not match:
        raise FrameError(path, f"the camera's section {text!r} is none: write [x1:x2,y1:y2]")

    def value_of(card: str) -> int:
        if card in ("NAXIS1", "NAXIS2"):  # of a packed image, its table has others
            return shape[1] if card == "NAXIS1" else shape[0]
        found = next((header.get(card) for header in headers if card in header), None)
        parsed = parse_number(found)
        if parsed is None or parsed[0] != int(parsed[0]):
            told = f"{card} = {found!r}, which the camera's section {text} needs"
            raise FrameError(path, f"{told}, is no whole number")
        return int(parsed[0])

    try:
        x1, x2, y1, y2 = (compute(part, value_of) for part in match.groups())
    except ValueError as error:
        raise FrameError(path, f"the camera's section {text!r} {error}") from error
    return f"[{x1}:{x2},{y1}:{y2}]"
