"""The signs of a frame's kind: cards and names, each with the kinds that it allows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from daskred.cameras.rules import Camera
from daskred.fits.header import Header, Value, stands_in
from daskred.night.values import present
from daskred.night.words import read_words

ALL = frozenset({"bias", "dark", "flat", "science", "auxiliary"})
_NOT_BIAS = ALL - {"bias"}
_LIT = frozenset({"science", "flat", "auxiliary"})
UNLIT = frozenset({"bias", "dark"})
# What else may lie in a folder that is named after a kind: darks for the flats among the flats,
# calibration frames beside what they calibrate.
_FOLDERS = {
    "bias": UNLIT,
    "dark": UNLIT,
    "flat": frozenset({"bias", "dark", "flat"}),
    "science": ALL,
    "auxiliary": ALL - {"science"},
}


# A flat with its lamp off is none.
_OFF = frozenset({"auxiliary"})
_NO_CODES: Mapping[str, Mapping[str, str]] = {}


@dataclass(frozen=True)
class Sign:
    """One sign of a frame's kind.

    Parameters
    ----------
    text
        The sign in words: ``IMAGETYP = 'Dark Frame'``.
    allowed
        The kinds that it allows.
    points_to
        The kind that it points to, or None.
    strength
        type, object, off (of a lamp), lamp, name, folder, shutter, exptime or target.
    weak
        Whether it tells of an open shutter, and points to science only as the usual case.
    foreign
        Whether words stand beside it that say something else: in the name of something in the sky.
    card
        Of lamps, the card that says that it is on.
    """

    text: str
    allowed: frozenset[str]
    points_to: str | None
    strength: str
    weak: bool = False
    foreign: bool = False
    card: str = ""


# Also one switch for each lamp: "0,1,0".
_SWITCHED_ON = re.compile(r"\s*(on|true|yes|[01 ,]*1[01 ,]*)\s*", re.IGNORECASE)
_STRENGTHS = ("type", "object", "off", "lamp", "name", "folder", "shutter", "exptime", "target")


def _sign(text: str, groups: frozenset[str], strength: str) -> Sign | None:
    """Make a sign of the groups whose words a text has; None where it has none."""
    calibration = groups & {"bias", "dark", "flat"}
    others = groups & {"science", "auxiliary"}
    if calibration == {"dark", "flat"} and not others:
        return Sign(text, frozenset({"dark"}), "dark", strength)  # darks for the flats
    if calibration == {"flat"} and "off" in groups:
        return Sign(text, _OFF, "auxiliary", "off")
    if calibration:
        # A dark of zero seconds is a bias frame.
        allowed = calibration | others | ({"bias"} if "dark" in calibration else set())
        alone = len(calibration) == 1 and not others
        return Sign(text, frozenset(allowed), next(iter(calibration)) if alone else None, strength)
    if len(others) == 2:
        return Sign(text, others, None, strength)
    if "auxiliary" in groups:
        return Sign(text, others, "auxiliary", strength)
    if "science" in groups:
        return Sign(text, frozenset({"science", "auxiliary"}), "science", strength)
    if "lamp" in groups:
        return Sign(text, frozenset({"flat", "auxiliary"}), None, strength)
    if "exposure" in groups:
        return Sign(text, _LIT, "science", strength, weak=True)
    return None


def texts_of(
    headers: Sequence[Header],
    cards: Sequence[str],
    codes: Mapping[str, Mapping[str, str]] = _NO_CODES,
) -> Iterator[tuple[str, str]]:
    """Yield card and value of each card that holds words, or a number that stands for one."""
    for card in cards:
        if not stands_in(headers, card):
            continue
        for value in dict.fromkeys(present(headers, card)):
            if word := codes.get(card, {}).get(str(value).strip()):
                yield card, word
            elif isinstance(value, str):
                yield card, value


def _of_type(groups: frozenset[str]) -> frozenset[str]:
    """Return the groups of words, with what means a flat only where it is called a type."""
    return groups | {"flat"} if "flat_type" in groups else groups


def _type_signs(headers: Sequence[Header], camera: Camera) -> list[Sign]:
    """Return the signs of the cards made to tell the type; unclear ones where none is clear."""
    unclear: list[Sign] = []
    for key in ("type", "type_fallback"):
        clear: list[Sign] = []
        for card, value in texts_of(headers, camera.kind_cards[key], camera.codes):
            reading = read_words(value, camera)
            text = f"{card} = {value!r}"
            if sign := _sign(text, _of_type(reading.groups), "type"):
                clear.append(sign)
            elif reading.unknown or "vague" in reading.groups:
                unclear.append(Sign(text, ALL, None, "type"))
        if clear:
            break
    for card, value in texts_of(headers, camera.kind_cards["mode"]):
        groups = read_words(value, camera).groups & {"bias", "dark", "flat", "auxiliary"}
        if sign := _sign(f"{card} = {value!r}", groups, "type"):
            clear.append(sign)
    return clear or unclear


def _object_signs(headers: Sequence[Header], camera: Camera) -> Iterator[Sign]:
    """Yield what the observer's own words say: a calibration, or a target in the sky."""
    for card, value in texts_of(headers, camera.kind_cards["object"]):
        reading = read_words(value, camera)
        text = f"{card} = {value!r}"
        sign = _sign(text, reading.groups - {"exposure"}, "object")
        if any(target.fullmatch(value.strip()) for target in camera.targets):
            yield Sign(text, ALL, "science", "target")
        elif sign and reading.foreign and sign.points_to in ("bias", "dark", "auxiliary"):
            # "Dark Nebula B 33" is no dark, or is it? And "Cygnus Arc" no arc lamp?
            yield Sign(text, sign.allowed | {"science"}, None, "object", foreign=True)
        elif sign and sign.points_to == "flat" and _names_target(value, camera):
            # A "Flat galaxy" may be one, and "Flat M 31" a flat.
            yield Sign(text, sign.allowed | {"science"}, None, "object", foreign=True)
        elif sign:
            is_foreign = reading.unknown or bool(re.search(r"\d", value))
            yield replace(sign, foreign=is_foreign)
        elif "vague" in reading.groups and not reading.foreign:
            yield Sign(text, ALL, None, "object")
        elif reading.unknown:
            yield Sign(text, ALL, "science", "target")
    for card, value in texts_of(headers, camera.kind_cards["target"]):
        reading = read_words(value, camera)
        if reading.unknown and not _sign("", reading.groups - {"exposure"}, ""):
            yield Sign(f"{card} = {value!r}", ALL, "science", "target")


def _names_target(text: str, camera: Camera) -> bool:
    """Whether some of the words of a text are the name of a thing in the sky."""
    words = re.split(r"[\s_]+", text.strip())
    some = (" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, i + 3))
    return any(target.fullmatch(name) for name in some for target in camera.targets)


def lamp_signs(
    headers: Sequence[Header], camera: Camera, stuck: Collection[str] = ()
) -> Iterator[Sign]:
    """Yield the lamps that are on: then the frame is not of the sky.

    Cards that are stuck, on also in frames without light, tell nothing.
    """
    unlit = ALL - {"science"}
    for header in headers:
        for keyword in header.keywords:
            if not camera.is_lamp(keyword) or keyword in stuck:
                continue
            value = header.get(keyword)
            for switch in _switched_on(keyword, value):
                text, allowed, kind = f"{keyword} = {value!r}", unlit, None
                if camera.is_lamp(switch, "flat_lamp"):
                    allowed, kind = UNLIT | {"flat"}, "flat"
                elif camera.is_lamp(switch, "arc_lamp"):
                    allowed, kind = UNLIT | {"auxiliary"}, "auxiliary"
                yield Sign(text, allowed, kind, "lamp", card=keyword)
    for card, value in texts_of(headers, camera.kind_cards["lamp_name"]):
        groups = read_words(value, camera).groups
        if groups & {"auxiliary", "lamp"} and "ignored" not in groups and card not in stuck:
            yield Sign(f"{card} = {value!r}", unlit, None, "lamp", card=card)


def _switched_on(keyword: str, value: Value) -> list[str]:
    """Return the lamps that a card says are on: itself, or CARD:2 where it has several switches.

    >>> _switched_on("LAMP", "on"), _switched_on("LAMPS", "0,1,1"), _switched_on("LAMP", "off")
    (['LAMP'], ['LAMPS:2', 'LAMPS:3'], [])
    """
    if value is not True and not _SWITCHED_ON.fullmatch(str(value)):
        return []
    switches = str(value).split(",")
    if len(switches) == 1:
        return [keyword]
    return [f"{keyword}:{n}" for n, switch in enumerate(switches, 1) if "1" in switch]


def _name_signs(name: str, headers: Sequence[Header], camera: Camera) -> Iterator[Sign]:
    """Yield what the names of the file and of its nearest telling folder say."""
    path = PurePosixPath(name)
    names = [(f"the file name {path.name!r}", path.name.split(".")[0] or path.name)]
    names += [
        (f"{card} = {value!r}", re.split(r"[/\\]", value)[-1])
        for card, value in texts_of(headers, camera.kind_cards["name"])
    ]
    for text, name in names:
        reading = read_words(name, camera)
        if sign := _sign(text, reading.groups - {"exposure"}, "name"):
            yield replace(sign, foreign=reading.unknown)
        elif any(target.fullmatch(part) for target in camera.targets for part in _pieces(name)):
            yield Sign(f"{text} names a target", ALL, "science", "target")
    for folder in reversed(path.parent.parts):
        if sign := _folder_sign(folder, camera):
            yield sign
            return


def _folder_sign(folder: str, camera: Camera) -> Sign | None:
    """Return what the name of a folder says of the frames in it."""
    groups = read_words(folder, camera).groups - {"lamp", "exposure"}
    sign = _sign(f"the folder {folder!r}", groups, "folder")
    if sign is None:
        return None
    kinds = groups & _FOLDERS.keys()
    allowed = frozenset[str]().union(*(_FOLDERS[kind] for kind in kinds))
    points_to = sign.points_to if len(kinds) == 1 else None
    if kinds == {"dark", "flat"} and not _BOTH.search(folder):
        allowed, points_to = _FOLDERS["dark"], "dark"  # FlatDarks, dark-flats
    return Sign(sign.text, allowed, points_to, "folder")


def source_sign(folder: str, camera: Camera) -> Sign | None:
    """Return what the folder that holds the night says, where all its words are known."""
    return None if read_words(folder, camera).unknown else _folder_sign(folder, camera)


# A folder of darks and of flats, not of darks for flats.
_BOTH = re.compile(
    r"darks[^a-z]*flats|flats[^a-z]*darks|\band\b|[^a-z]and[^a-z]|[+&]", re.IGNORECASE
)


def _pieces(name: str) -> Iterator[str]:
    """Yield a name's pieces between blanks and underscores, and the whole."""
    yield name
    yield from re.split(r"[ _.]+", name)


def _other_signs(
    headers: Sequence[Header], exptime_s: float | None, camera: Camera
) -> Iterator[Sign]:
    """Yield what the shutter and the exposure time say."""
    for card, value in texts_of(headers, camera.kind_cards["shutter"]):
        groups = read_words(value, camera).groups
        if "closed" in groups:
            yield Sign(f"{card} = {value!r}", UNLIT, "dark", "shutter")
        elif "opened" in groups:
            yield Sign(f"{card} = {value!r}", _LIT, None, "shutter")
    if exptime_s == 0:
        yield Sign("the exposure time is zero", frozenset({"bias"}), "bias", "exptime")
    elif exptime_s is not None:
        allowed = _NOT_BIAS if exptime_s > camera.bias_exptime_s else ALL
        yield Sign(f"the exposure time is {exptime_s:g} s", allowed, None, "exptime")


def signs_of(
    name: str,
    headers: Sequence[Header],
    exptime_s: float | None,
    camera: Camera,
    stuck: Collection[str] = (),
) -> list[Sign]:
    """Return all signs of a frame's kind, the strongest first; see `kind_of`."""
    signs = [
        *_type_signs(headers, camera),
        *_object_signs(headers, camera),
        *lamp_signs(headers, camera, stuck),
        *_name_signs(name, headers, camera),
        *_other_signs(headers, exptime_s, camera),
    ]
    return sorted(signs, key=lambda sign: _STRENGTHS.index(sign.strength))
