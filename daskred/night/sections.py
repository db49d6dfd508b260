"""Sections that headers or camera files tell, and amplifiers that camera files tell."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from daskred.cameras.rules import Camera
from daskred.fits.hdus import Hdu
from daskred.fits.header import Header
from daskred.model.errors import FrameError
from daskred.model.frame import Image
from daskred.model.readout import (
    Amplifier,
    Section,
    parse_section,
)
from daskred.night.facts import gain_of, parse_number, positive

# What headers say where there is no section.
_NO_SECTION = re.compile(r"\s*(unknown|none|n/?a|null|undefined|\[?0:0,\s*0:0\]?)?\s*", re.I)


_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
    ast.FloorDiv: operator.floordiv,
}


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


@lru_cache(maxsize=256)
def _expression(text: str) -> ast.expr:
    """Return a sum of cards and numbers; those of one camera are the same in all frames."""
    return ast.parse(text, mode="eval").body


def _computed(path: str, text: str, headers: Sequence[Header], shape: tuple[int, int]) -> str:
    """Return a section whose sums and cards are computed."""
    match = re.fullmatch(r"\s*\[([^:,]+):([^:,]+),([^:,]+):([^:,]+)\]\s*", text)
    if not match:
        raise FrameError(path, f"the camera's section {text!r} is none: write [x1:x2,y1:y2]")

    def number(node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int(value)):
                return value
            case ast.Name(
                id="NAXIS1" | "NAXIS2" as axis
            ):  # of a packed image, its table has others
                return shape[1] if axis == "NAXIS1" else shape[0]
            case ast.Name(id=card):
                found = next((h.get(card) for h in headers if card in h), None)
                parsed = parse_number(found)
                if parsed is None or parsed[0] != int(parsed[0]):
                    told = f"{card} = {found!r}, which the camera's section {text} needs"
                    raise FrameError(path, f"{told}, is no whole number")
                return int(parsed[0])
            case ast.BinOp(left, operation, right) if type(operation) in _OPERATORS:
                return _OPERATORS[type(operation)](number(left), number(right))
        raise FrameError(path, f"the camera's section {text!r} can have + - * / only")

    try:
        parts = [number(_expression(part.strip())) for part in match.groups()]
    except (SyntaxError, ZeroDivisionError) as error:
        raise FrameError(path, f"the camera's section {text!r} cannot be computed") from error
    x1, x2, y1, y2 = parts
    return f"[{x1}:{x2},{y1}:{y2}]"
