"""A first camera file for a new camera, drafted from what its headers say."""

from __future__ import annotations

import re
from collections.abc import Sequence

from daskred.cameras.read import read_camera
from daskred.cameras.rules import FACTS, Camera
from daskred.fits.hdus import read_hdus
from daskred.fits.header import Header
from daskred.fits.images import images_of
from daskred.model.errors import FrameError, RequestError
from daskred.model.readout import parse_section
from daskred.night.values import present

_TELLING = re.compile(
    r".*(SEC|GAIN|NOIS|RON|SATUR|AMP|OVERSC|PRESC|BIN|TRIM|EXP|FILT|TYP|TEMP|COVER|ROVER|TIME)\w*"
)
_SHOWN = 40


def draft_camera(paths: Sequence[str]) -> str:
    """Return a camera file, as TOML, that says what the common rules make of sample frames.

    What they find is written as comments, which need no change; what they do not find, or find
    wrong, is what the file is for.

    Parameters
    ----------
    paths
        Frames of the camera, best one of each kind.

    Raises
    ------
    RequestError
        When none can be read.
    """
    camera = read_camera()
    samples: list[tuple[str, list[Header], list[str]]] = []
    for path in paths:
        try:
            hdus = read_hdus(path)
            images = images_of(path, hdus)
        except FrameError:
            continue
        headers = [hdus[0].header]
        headers += [h.header for h in hdus[1:] if h.index in {image.hdu for image in images}]
        shapes = [f"{image.shape[1]} columns, {image.shape[0]} rows" for image in images]
        samples.append((path.rpartition("/")[2], headers, shapes))
    if not samples:
        raise RequestError(f"no FITS frame can be read of {', '.join(paths)}")
    name, headers, shapes = samples[0]
    everything = [header for _, image_headers, _ in samples for header in image_headers]
    lines = [
        "# Rules of a new camera, on top of the common ones; `daskred reduce NIGHT --camera FILE`.",
        f"# Drafted from {', '.join(sample[0] for sample in samples)}.",
        f'name = "{_camera_name(everything, camera)}"',
        "",
        "# What the common rules read from these headers. Where a line is wrong, or says that",
        '# nothing is found, name the right card: as exptime_s = ["EXPOSED"].',
        "[facts]",
        *_fact_lines(everything, camera),
        "",
        *_detector_lines(headers, shapes),
        "",
        f"# Cards of {name} that may matter:",
        *_card_lines(headers),
    ]
    return "\n".join(lines) + "\n"


def _camera_name(headers: Sequence[Header], camera: Camera) -> str:
    for cards in camera.facts["camera"]:
        for value in present(headers, cards[0]):
            return str(value).replace('"', "'")
    return "new camera"


def _fact_lines(headers: Sequence[Header], camera: Camera) -> list[str]:
    lines = []
    for fact in FACTS:
        found = ""
        for cards in camera.facts.get(fact, ()):
            values = [next(present(headers, card), None) for card in cards]
            if any(value not in (None, 0) for value in values):
                found = ", ".join(f"{c} = {v!r}" for c, v in zip(cards, values, strict=True))
                break
        lines.append(f"# {fact}: {found or 'nothing is found'}")
    return lines


def _detector_lines(headers: Sequence[Header], shapes: Sequence[str]) -> list[str]:
    """Return what sections are told, and a table to fill in where none are."""
    image_headers = headers[-len(shapes) :]
    lines = [f"# {len(shapes)} image{'s'[: len(shapes) > 1]}: {shapes[0]}."]
    told = False
    for number, header in enumerate(image_headers):
        for card in ("TRIMSEC", "DATASEC", "BIASSEC", "DETSEC", "CCDSEC"):
            value = header.get(card)
            if isinstance(value, str):
                section = parse_section(value)
                what = "" if section else ", which is no section"
                lines.append(f"# image {number}: {card} = {value!r}{what}")
                told |= section is not None
    lines += ["[detector]", '# overscan = "median"', '# unit = "electron"']
    if not told:
        lines += [
            "",
            "# No header tells sections. Where there is an overscan, one table for each amplifier:",
            "# [[amplifier]]",
            '# name = "A"',
            '# data = "[1:2048,1:NAXIS2]"',
            '# overscan = ["[2049:2080,1:NAXIS2]"]',
            "# gain_e_per_adu = 1.0  # `daskred characterize NIGHT -o OUT` measures both",
            "# read_noise_e = 5.0",
        ]
    return lines


def _card_lines(headers: Sequence[Header]) -> list[str]:
    lines: list[str] = []
    for header in headers[:2]:
        for keyword in header.keywords:
            if _TELLING.fullmatch(keyword) and len(lines) < _SHOWN:
                comment = header.comment(keyword)
                text = f"#   {keyword} = {header.get(keyword)!r}"
                lines.append(f"{text}  {comment}".rstrip())
    return lines
