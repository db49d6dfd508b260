"""From headers to amplifiers: which pixels see light, which are overscan, what each reads out.

What headers contradict is refused by card and value, never guessed around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from typing import cast

from daskred.cameras.rules import AmplifierRule, Camera, Measured
from daskred.fits.hdus import Hdu
from daskred.fits.header import Header
from daskred.model.errors import FrameError, RequestError
from daskred.model.frame import Facts, Image
from daskred.model.readout import (
    Amplifier,
    Fit,
    Overscan,
    PixelUnit,
    Readout,
    Section,
    Statistic,
    whole,
)
from daskred.night.sections import (
    amplifier_by_rule,
    amplifiers_by_header,
    headers_of,
    section_of,
    with_suffix,
)
from daskred.night.values import parse_number


def readout_of(
    path: str, hdus: Sequence[Hdu], images: Sequence[Image], camera: Camera, facts: Facts
) -> Readout:
    """Return how a frame was read out, and what is done to its pixels before they are calibrated.

    Parameters
    ----------
    path
        The frame's file, for errors.
    hdus, images
        Its units, and those that hold pixels.
    camera
        The rules.
    facts
        What the headers say.

    Raises
    ------
    FrameError
        When a section lies outside its image, two overlap, an overscan lies neither beside nor
        above its pixels, or a gain that is needed is not known.
    """
    rules = camera.detector
    if _is_simple(hdus, images, camera):
        simple = _simple(images[0], facts.gain_e_per_adu, facts.read_noise_e, facts.saturation_adu)
        if not camera.measured:
            return simple  # the very same of many frames
        return replace(simple, amplifiers=tuple(_with_measured(simple.amplifiers, camera)))
    if camera.amplifiers and not rules.trim:
        raise RequestError("--no-trim: a camera file that tells amplifiers tells what is cut off")
    if camera.amplifiers:
        numbers = range(1, len(camera.amplifiers) + 1)
        amplifiers = [amplifier_by_rule(path, hdus, images, camera, n) for n in numbers]
        amplifiers = _placed(path, amplifiers, camera.amplifiers)
    else:
        amplifiers = [
            amplifier
            for number in range(len(images))
            for amplifier in amplifiers_by_header(path, hdus, images, camera, number)
        ]
    if camera.measured:
        amplifiers = _with_measured(amplifiers, camera)
    _check(path, amplifiers, camera)
    names = tuple(image.name for image in images)
    n_targets = len(images)
    if rules.assemble and len(amplifiers) > 1 and not camera.amplifiers:
        amplifiers = _assembled(path, hdus, images, camera, amplifiers)
        names, n_targets = ("",), 1
    shapes = []
    for target in range(n_targets):
        places = [amplifier.place for amplifier in amplifiers if amplifier.target == target]
        if not places:
            raise FrameError(path, f"the camera's rules have no amplifier for {names[target]!r}")
        shapes.append((max(s.rows[1] for s in places), max(s.columns[1] for s in places)))
        for first, second in combinations(places, 2):
            if first.overlaps(second):
                raise FrameError(path, f"two amplifiers are to lie at {first} and {second}")
    overscan = None
    if rules.overscan != "none":
        overscan = Overscan(
            cast(Statistic, rules.overscan),
            cast(Fit, rules.overscan_fit),
            rules.overscan_order,
            rules.overscan_reject_sigma,
        )
    readout = Readout(
        amplifiers=tuple(amplifiers),
        names=names,
        shapes=tuple(shapes),
        raw_shapes=tuple(image.shape for image in images),
        overscan=overscan,
        unit=cast(PixelUnit, rules.unit),
        crosstalk=_crosstalk(
            path,
            hdus[0].header,
            rules.crosstalk if rules.crosstalk_correction else (),
            len(amplifiers),
        ),
        bleed_rows=rules.bleed_rows,
        step_adu=max(image.step for image in images),
    )
    if rules.unit == "electron":
        _check_gains(path, hdus, images, camera, amplifiers)
    return readout


def _with_measured(amplifiers: Sequence[Amplifier], camera: Camera) -> list[Amplifier]:
    """Return amplifiers with what was measured of them, by their names."""
    titles = [amplifier.title for amplifier in amplifiers]
    for name in camera.measured:
        if name not in titles:
            text = f"[measured.{name}] is of no amplifier of this detector; there are"
            raise RequestError(f"{camera.source}: {text} {', '.join(titles)}")
    nothing = Measured()
    return [replace(a, **camera.measured.get(a.title, nothing).known) for a in amplifiers]


def _is_simple(hdus: Sequence[Hdu], images: Sequence[Image], camera: Camera) -> bool:
    """Whether there is one image, and nothing tells sections of it: the most usual case."""
    rules = camera.detector
    if len(images) > 1 or images[0].hdu or camera.amplifiers or rules.unit != "adu":
        return False
    cards = [*rules.data_cards, *rules.overscan_cards]
    cards += [with_suffix(card, suffix) for card in cards for suffix in rules.suffixes]
    plain = not rules.bleed_rows and not rules.crosstalk
    return plain and not any(card in hdus[0].header for card in cards)


@lru_cache(maxsize=64)
def _simple(image: Image, gain: float | None, noise: float | None, limit: float | None) -> Readout:
    """Return the preparation that does nothing, of one image."""
    section = whole(image.shape)
    limit = image.largest if limit is None else limit
    amplifier = Amplifier(
        name=image.name,
        image=0,
        data=section,
        overscan=(),
        target=0,
        place=section,
        gain_e_per_adu=gain,
        read_noise_e=noise,
        saturation_adu=limit,
    )
    shapes = (image.shape,)
    return Readout(
        (amplifier,), (image.name,), shapes, None, raw_shapes=shapes, step_adu=image.step
    )


def _crosstalk(
    path: str, header: Header, rows: Sequence[Sequence[float | str]], n_amplifiers: int
) -> tuple[tuple[float, ...], ...]:
    """Return the crosstalk matrix, its cards read."""
    if rows and [len(row) for row in rows] != [n_amplifiers] * n_amplifiers:
        raise FrameError(path, f"has {n_amplifiers} amplifiers, the camera's crosstalk has others")

    def number(entry: float | str) -> float:
        if not isinstance(entry, str):
            return float(entry)
        parsed = parse_number(header.get(entry))
        if parsed is None:
            told = f"{entry} = {header.get(entry)!r}"
            raise FrameError(path, f"{told}, which the camera's crosstalk needs, is no number")
        return parsed[0]

    matrix = tuple(tuple(map(number, row)) for row in rows)
    return matrix if any(any(row) for row in matrix) else ()


def _placed(
    path: str, amplifiers: Sequence[Amplifier], rules: Sequence[AmplifierRule]
) -> list[Amplifier]:
    """Put amplifiers where they lie in their image, less what is cut off, unless rules tell."""
    placed = []
    for amplifier, rule in zip(amplifiers, rules, strict=True):
        place = amplifier.place
        if rule.place is None:
            sections = [other.data for other in amplifiers if other.image == amplifier.image]
            top, left = min(s.rows[0] for s in sections), min(s.columns[0] for s in sections)
            place = replace(amplifier.data.moved(-top, -left), flips=(False, False))
        elif place.shape != amplifier.data.shape:
            text = f"amplifier {amplifier.name!r} has data {amplifier.data} and place {place}"
            raise FrameError(path, f"{text}, of other sizes")
        placed.append(_with_place(amplifier, place, amplifier.target))
    return placed


def _with_place(amplifier: Amplifier, place: Section, target: int) -> Amplifier:
    return replace(amplifier, place=place, target=target)


def _check(path: str, amplifiers: Sequence[Amplifier], camera: Camera) -> None:
    """Refuse an overscan that is none, and what needs one where there is none."""
    for amplifier in amplifiers:
        if (amplifier.linearity or amplifier.linearity_table) and not amplifier.overscan:
            text = "the camera's linearity is told for ADU above the bias, and needs an overscan"
            raise FrameError(path, f"{text}; --no-linearity goes without")
        for strip in amplifier.overscan:
            if not strip.lies_beside(amplifier.data) and not strip.lies_above(amplifier.data):
                raise FrameError(
                    path,
                    f"its overscan {strip} lies neither beside nor above its data {amplifier.data}",
                )
            for other in amplifiers:
                if (
                    other.image == amplifier.image
                    and strip.overlaps(other.data)
                    and camera.detector.trim
                ):
                    text = f"its overscan {strip} overlaps pixels that see light, {other.data}"
                    raise FrameError(path, text)


def _assembled(
    path: str,
    hdus: Sequence[Hdu],
    images: Sequence[Image],
    camera: Camera,
    amplifiers: Sequence[Amplifier],
) -> list[Amplifier]:
    """Put amplifiers together into one image by their places on the detector."""
    places = []
    for amplifier in amplifiers:
        headers = headers_of(hdus, images[amplifier.image])
        if sum(other.image == amplifier.image for other in amplifiers) > 1:
            text = "has several amplifiers in each image, which --assemble cannot put together"
            raise FrameError(path, text)
        told = section_of(
            path, headers[0], camera.detector.place_cards, images[amplifier.image].shape
        )
        if told is None:
            cards = " or ".join(camera.detector.place_cards)
            raise FrameError(path, f"{amplifier.name} has no {cards}, and cannot be assembled")
        text, on_detector = told
        # Places count pixels of the detector, also where the readout bins them.
        factors = [
            large / small
            for large, small in zip(on_detector.shape, amplifier.data.shape, strict=True)
        ]
        if any(factor < 1 or factor != int(factor) for factor in factors):
            raise FrameError(
                path, f"{text} does not fit the pixels of {amplifier.name}, {amplifier.data}"
            )
        bins = tuple(map(int, factors))
        rows = (on_detector.rows[0] // bins[0], on_detector.rows[1] // bins[0])
        columns = (on_detector.columns[0] // bins[1], on_detector.columns[1] // bins[1])
        places.append(Section(rows, columns, on_detector.flips))
    top, left = min(s.rows[0] for s in places), min(s.columns[0] for s in places)
    return [
        _with_place(amplifier, place.moved(-top, -left), 0)
        for amplifier, place in zip(amplifiers, places, strict=True)
    ]


def _check_gains(
    path: str,
    hdus: Sequence[Hdu],
    images: Sequence[Image],
    camera: Camera,
    amplifiers: Sequence[Amplifier],
) -> None:
    """Refuse a frame whose gain is wanted and not told."""
    for amplifier in amplifiers:
        if amplifier.gain_e_per_adu is not None:
            continue
        cards = [card for (card, *_) in camera.facts["gain_e_per_adu"]]
        headers = headers_of(hdus, images[amplifier.image])
        told = [f"{c} = {h.get(c)!r}" for h in headers for c in cards if c in h]
        what = f"{', '.join(told)} is no gain" if told else f"has no gain ({', '.join(cards)})"
        name = f"amplifier {amplifier.name}: " if amplifier.name else ""
        raise FrameError(path, f"{name}{what}, which electrons need; a camera file can tell it")
