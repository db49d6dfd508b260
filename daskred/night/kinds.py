"""What a frame is an exposure of: each sign allows some kinds, and all signs must agree.

The signs stand in one file, longer than others, since each is weighed against the others.

A sign is a card or a name. It allows some kinds and may point to one. The kinds that all signs
allow are left over; among them the strongest sign that points to one decides. Where nothing is
left over, or nothing points, the kind is unknown: a wrong kind would spoil a whole night.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from daskred.cameras.rules import Camera, Meaning
from daskred.fits.header import Header
from daskred.model.frame import Kind
from daskred.night.facts import present

_ALL = frozenset({"bias", "dark", "flat", "science", "auxiliary"})
_NOT_BIAS = _ALL - {"bias"}
_LIT = frozenset({"science", "flat", "auxiliary"})
_UNLIT = frozenset({"bias", "dark"})
# What else may lie in a folder that is named after a kind: darks for the flats among the flats,
# calibration frames beside what they calibrate.
_FOLDERS = {
    "bias": _UNLIT,
    "dark": _UNLIT,
    "flat": frozenset({"bias", "dark", "flat"}),
    "science": _ALL,
    "auxiliary": _ALL - {"science"},
}


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
        type, object, lamp, name, folder, shutter, exptime or target.
    weak
        Whether it tells of an open shutter, and points to science only as the usual case.
    """

    text: str
    allowed: frozenset[str]
    points_to: str | None
    strength: str
    weak: bool = False


# Also one switch for each lamp: "0,1,0".
_SWITCHED_ON = re.compile(r"\s*(on|true|yes|[01 ,]*1[01 ,]*)\s*", re.IGNORECASE)
_STRENGTHS = ("type", "object", "lamp", "name", "folder", "shutter", "exptime", "target")


@lru_cache(maxsize=4096)
def runs_of(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the words of a text in lower case, each with the parts of its CamelCase.

    Examples
    --------
    >>> runs_of("DomeFlat-001 V")
    (('domeflat', ('dome', 'flat')), ('v', ('v',)))
    """
    runs = re.findall(r"[A-Za-z]+", text)
    return tuple(
        (run.lower(), tuple(p.lower() for p in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", run)))
        for run in runs
    )


@dataclass(frozen=True)
class Reading:
    """What the words of a text say.

    Parameters
    ----------
    groups
        The groups that its words belong to.
    foreign
        Whether a word of more than three letters belongs to none.
    unknown
        Whether any word belongs to none.
    """

    groups: frozenset[str]
    foreign: bool
    unknown: bool


def read_words(text: str, camera: Camera) -> Reading:
    """Read the words of a text."""
    groups: set[str] = set()
    strange: list[str] = []
    symbols = 0
    for run, parts in runs_of(text):
        own = camera.groups_of(run)
        for part in parts:
            groups |= camera.groups_of(part)
        groups |= own
        symbols += run in camera.elements
        if not own:
            strange += [part for part in parts if not camera.groups_of(part)]
    if symbols > 1 or (symbols and symbols == len(runs_of(text)) and not re.search(r"\d", text)):
        groups.add("elements")
    if "elements" in groups:
        groups.add("auxiliary")
    return Reading(frozenset(groups), any(len(word) > 3 for word in strange), bool(strange))


def _sign(text: str, groups: frozenset[str], strength: str) -> Sign | None:
    """Make a sign of the groups whose words a text has; None where it has none."""
    calibration = groups & {"bias", "dark", "flat"}
    others = groups & {"science", "auxiliary"}
    if calibration == {"dark", "flat"} and not others:
        return Sign(text, frozenset({"dark"}), "dark", strength)  # darks for the flats
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


def _texts(headers: Sequence[Header], cards: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield card and value of each card that holds words."""
    for card in cards:
        for value in dict.fromkeys(present(headers, card)):
            if isinstance(value, str):
                yield card, value


def _type_signs(headers: Sequence[Header], camera: Camera) -> list[Sign]:
    """Return the signs of the cards made to tell the type; unclear ones where none is clear."""
    unclear: list[Sign] = []
    for key in ("type", "type_fallback"):
        clear: list[Sign] = []
        for card, value in _texts(headers, camera.kind_cards[key]):
            reading = read_words(value, camera)
            text = f"{card} = {value!r}"
            if sign := _sign(text, reading.groups, "type"):
                clear.append(sign)
            elif reading.unknown or "vague" in reading.groups:
                unclear.append(Sign(text, _ALL, None, "type"))
        if clear:
            break
    for card, value in _texts(headers, camera.kind_cards["mode"]):
        groups = read_words(value, camera).groups & {"bias", "dark", "flat", "auxiliary"}
        if sign := _sign(f"{card} = {value!r}", groups, "type"):
            clear.append(sign)
    return clear or unclear


def _object_signs(headers: Sequence[Header], camera: Camera) -> Iterator[Sign]:
    """Yield what the observer's own words say: a calibration, or a target in the sky."""
    for card, value in _texts(headers, camera.kind_cards["object"]):
        reading = read_words(value, camera)
        text = f"{card} = {value!r}"
        sign = _sign(text, reading.groups - {"exposure"}, "object")
        if sign and reading.foreign and sign.points_to in ("bias", "dark"):
            # "Dark Nebula B 33" is no dark, or is it?
            yield Sign(text, sign.allowed | {"science"}, None, "object")
        elif sign:
            yield sign
        elif "vague" in reading.groups and not reading.foreign:
            yield Sign(text, _ALL, None, "object")
        elif reading.unknown:
            yield Sign(text, _ALL, "science", "target")
    for card, value in _texts(headers, camera.kind_cards["target"]):
        reading = read_words(value, camera)
        if reading.unknown and not _sign("", reading.groups - {"exposure"}, ""):
            yield Sign(f"{card} = {value!r}", _ALL, "science", "target")


def _lamp_signs(headers: Sequence[Header], camera: Camera) -> Iterator[Sign]:
    """Yield the lamps that are on: then the frame is not of the sky."""
    unlit = _ALL - {"science"}
    for header in headers:
        for keyword in header.keywords:
            if any(pattern.fullmatch(keyword) for pattern in camera.lamp_switches):
                value = header.get(keyword)
                if value is True or _SWITCHED_ON.fullmatch(str(value)):
                    yield Sign(f"{keyword} = {value!r}", unlit, None, "lamp")
    for card, value in _texts(headers, camera.kind_cards["lamp_name"]):
        groups = read_words(value, camera).groups
        if groups & {"auxiliary", "lamp"} and "ignored" not in groups:
            yield Sign(f"{card} = {value!r}", unlit, None, "lamp")


def _name_signs(name: str, headers: Sequence[Header], camera: Camera) -> Iterator[Sign]:
    """Yield what the names of the file and of its nearest telling folder say."""
    path = PurePosixPath(name)
    own_names = [(f"the file name {path.name!r}", path.name.split(".")[0] or path.name)]
    own_names += [
        (f"{card} = {value!r}", re.split(r"[/\\]", value)[-1])
        for card, value in _texts(headers, camera.kind_cards["name"])
    ]
    for text, own_name in own_names:
        groups = read_words(own_name, camera).groups - {"exposure"}
        if sign := _sign(text, groups, "name"):
            yield sign
        elif any(target.fullmatch(part) for target in camera.targets for part in _pieces(own_name)):
            yield Sign(f"{text} names a target", _ALL, "science", "target")
    for folder in reversed(path.parent.parts):
        groups = read_words(folder, camera).groups - {"lamp", "exposure"}
        if sign := _sign(f"the folder {folder!r}", groups, "folder"):
            kinds = groups & _FOLDERS.keys()
            allowed = frozenset[str]().union(*(_FOLDERS[kind] for kind in kinds))
            yield Sign(sign.text, allowed, sign.points_to if len(kinds) == 1 else None, "folder")
            return


def _pieces(name: str) -> Iterator[str]:
    """Yield a name's pieces between blanks and underscores, and the whole."""
    yield name
    yield from re.split(r"[ _.]+", name)


def _other_signs(
    headers: Sequence[Header], exptime_s: float | None, camera: Camera
) -> Iterator[Sign]:
    """Yield what the shutter and the exposure time say."""
    for card, value in _texts(headers, camera.kind_cards["shutter"]):
        groups = read_words(value, camera).groups
        if "closed" in groups:
            yield Sign(f"{card} = {value!r}", _UNLIT, "dark", "shutter")
        elif "opened" in groups:
            yield Sign(f"{card} = {value!r}", _LIT, None, "shutter")
    if exptime_s == 0:
        yield Sign("the exposure time is zero", frozenset({"bias"}), "bias", "exptime")
    elif exptime_s is not None:
        allowed = _NOT_BIAS if exptime_s > camera.bias_exptime_s else _ALL
        yield Sign(f"the exposure time is {exptime_s:g} s", allowed, None, "exptime")


def _weighed(signs: Sequence[Sign]) -> list[Sign]:
    """Return the signs that count: some habits of observers contradict nothing.

    A generic type card stays as it was while a zero-second bias is read out; and OBJECT still
    names the lamp, or the dome, while the type card tells of a bias or a dark.
    """
    zero = any(s.strength == "exptime" and s.points_to == "bias" for s in signs)
    bias = any(s.points_to == "bias" and s.strength in ("object", "name") for s in signs)
    unlit = any(s.strength == "type" and s.allowed <= _UNLIT for s in signs)
    return [
        sign
        for sign in signs
        if not (zero and bias and sign.weak)
        and not (unlit and sign.strength == "object" and sign.points_to is None)
    ]


def _decide(signs: Sequence[Sign]) -> tuple[str | None, str]:
    """Return the kind that signs of one frame agree on, or None, and the reason."""
    signs = _weighed(signs)
    left_over = _ALL.intersection(*(sign.allowed for sign in signs))
    telling = [sign for sign in signs if sign.points_to or sign.allowed != _ALL]
    said = ", ".join(dict.fromkeys(sign.text for sign in telling))
    if not left_over:
        return None, f"the signs disagree: {said}"
    pointing = [sign for sign in signs if sign.points_to in left_over]
    if not pointing:
        what = said or ", ".join(sign.text for sign in signs if sign.strength == "type")
        return None, f"too few signs: {what or 'no card and no name tells its kind'}"
    strongest = pointing[0]
    kind = str(strongest.points_to)
    reasons = [sign for sign in pointing if sign.points_to == kind]
    unclear = [s for s in signs if s.points_to is None and s.strength in ("object", "name")]
    if strongest.weak and unclear:
        return None, f"too few signs: {said}"
    if strongest.strength == "target":
        words = [s for s in signs if s.strength == "type"]
        if words:
            return None, f"{words[0].text} is no word that the camera's rules know"
        if not any(sign.strength == "exptime" for sign in signs):
            return None, f"too few signs: {said}, and no exposure time"
    # Where the observer named a target, one name or the shutter alone does not outweigh that.
    named = any(sign.strength == "target" for sign in signs) and kind != "science"
    alone = len({sign.strength for sign in reasons}) == 1
    if named and alone and strongest.strength not in ("type", "object"):
        return None, f"the signs disagree: {said}"
    return kind, " and ".join(dict.fromkeys(sign.text for sign in reasons[:2]))


def kind_of(
    name: str, headers: Sequence[Header], exptime_s: float | None, camera: Camera
) -> tuple[Kind, str]:
    """Return what a frame is an exposure of, and why.

    Parameters
    ----------
    name
        The frame's path below the night, with forward slashes.
    headers
        Its primary header, then that of its first image where that is an extension.
    exptime_s
        Its exposure time in seconds, or None.
    camera
        The rules.

    Returns
    -------
    kind, reason
        The signs that told the kind. For an unknown kind what is missing or disagrees, and what
        would settle it.

    Examples
    --------
    >>> from daskred.cameras.read import read_camera
    >>> from daskred.fits.header import format_card
    >>> header = Header((format_card("IMAGETYP", "Dark Frame"),))
    >>> kind_of("a.fits", [header], 300.0, read_camera())
    ('dark', "IMAGETYP = 'Dark Frame'")
    """
    signs = [
        *_type_signs(headers, camera),
        *_object_signs(headers, camera),
        *_lamp_signs(headers, camera),
        *_name_signs(name, headers, camera),
        *_other_signs(headers, exptime_s, camera),
    ]
    signs.sort(key=lambda sign: _STRENGTHS.index(sign.strength))
    kind, reason = _decide(signs)
    settle = f"--kind KIND='{name}' settles it"
    match kind:
        case None:
            return "unknown", f"{reason}; {settle}"
        case "auxiliary":
            return "unknown", f"{AUXILIARY} ({reason}); {settle}"
    return kind, reason  # type: ignore[return-value]


AUXILIARY = "a lamp, focus, pointing or test exposure"


def processed_sign(
    name: str, headers: Sequence[Header], camera: Camera
) -> tuple[Meaning, str] | None:
    """Return why a frame is no raw frame any more, or None for a raw frame.

    Parameters
    ----------
    name
        The frame's path below the night, with forward slashes.
    headers
        As of `kind_of`.
    camera
        The rules.

    Returns
    -------
    meaning, reason
        ``calibrated``, ``master`` or ``product`` (of daskred itself), and the sign.
    """
    path = PurePosixPath(name)
    stem = path.name.split(".")[0]
    folders = path.parent.parts
    for rule in camera.processed:
        for card in rule.cards:
            for header in headers:
                for value in header.values(card) if card in header else ():
                    if rule.pattern is None or rule.pattern.search(str(value)):
                        return rule.means, f"{card} = {value!r}"
        if rule.file and rule.file.search(stem):
            return rule.means, f"the file name {path.name!r}"
        if rule.folder and (folder := next(filter(rule.folder.search, folders), None)):
            return rule.means, f"the folder {folder!r}"
    for card, value in _texts(headers, camera.kind_cards["type"]):
        if any(run.startswith("master") for run, _ in runs_of(value)):
            return "master", f"{card} = {value!r}"
    return None
