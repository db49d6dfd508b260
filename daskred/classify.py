"""What a frame is an exposure of: each sign allows some kinds, and all signs must agree.

A sign is a card or a name. It allows some kinds and may point to one. The kinds that all signs
allow are left over; among them the strongest sign that points to one decides. Where nothing is
left over, or nothing points, the kind is unknown: a wrong kind would spoil a whole night.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from daskred.cameras import Camera, Meaning
from daskred.facts import present
from daskred.frames import Kind
from daskred.header import Header

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
        type, object, name, folder, shutter, exptime or target.
    """

    text: str
    allowed: frozenset[str]
    points_to: str | None
    strength: str


_STRENGTHS = ("type", "object", "name", "folder", "shutter", "exptime", "target")


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text in lower case, CamelCase both whole and taken apart.

    Examples
    --------
    >>> sorted(words_of("DomeFlat-001 V"))
    ['dome', 'domeflat', 'flat', 'v']
    """
    runs = re.findall(r"[A-Za-z]+", text)
    parts = [part for run in runs for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", run)]
    return frozenset(word.lower() for word in (*runs, *parts))


def _groups(words: frozenset[str], camera: Camera) -> frozenset[str]:
    return frozenset(group for group, members in camera.words.items() if words & members)


def _sign(text: str, groups: frozenset[str], strength: str) -> Sign | None:
    """Make a sign of the groups whose words a text has; None where it has none."""
    calibration = groups & {"bias", "dark", "flat"}
    science = "science" in groups
    if calibration == {"dark", "flat"} and not science:
        return Sign(text, frozenset({"dark"}), "dark", strength)  # darks for the flats
    if calibration:
        # A dark of zero seconds is a bias frame.
        allowed = {*calibration, *(groups & {"science", "auxiliary"})}
        allowed |= {"bias"} if "dark" in calibration else set()
        alone = len(calibration) == 1 and not science and "auxiliary" not in groups
        return Sign(text, frozenset(allowed), next(iter(calibration)) if alone else None, strength)
    if "auxiliary" in groups:
        mixed = science
        allowed = {"auxiliary"} | ({"science"} if mixed else set())
        return Sign(text, frozenset(allowed), None if mixed else "auxiliary", strength)
    if science:
        return Sign(text, frozenset({"science", "auxiliary"}), "science", strength)
    if "lamp" in groups:
        return Sign(text, frozenset({"flat", "auxiliary"}), None, strength)
    if "exposure" in groups:
        return Sign(text, _LIT, "science", strength)
    return None


def _type_signs(headers: Sequence[Header], camera: Camera) -> Iterator[Sign]:
    """Yield the signs of the cards made to tell the type; values that are no words say nothing."""
    unclear: list[Sign] = []
    clear = False
    for card in camera.kind_cards["type"]:
        for value in dict.fromkeys(present(headers, card)):
            words = words_of(value) if isinstance(value, str) else frozenset()
            sign = _sign(f"{card} = {value!r}", _groups(words, camera) - {"closed"}, "type")
            if sign:
                clear = True
                yield sign
            elif words - camera.words["ignored"]:
                unclear.append(Sign(f"{card} = {value!r}", _ALL, None, "type"))
    if not clear:
        yield from unclear


def _object_signs(headers: Sequence[Header], camera: Camera) -> Iterator[Sign]:
    """Yield what the observer's own words say: a calibration, or a target in the sky."""
    for card in camera.kind_cards["object"]:
        for value in dict.fromkeys(present(headers, card)):
            if not isinstance(value, str):
                continue
            words = words_of(value)
            groups = _groups(words, camera) - {"exposure", "closed", "opened"}
            text = f"{card} = {value!r}"
            known = frozenset().union(*camera.words.values())
            foreign = {word for word in words - known if len(word) > 3}
            sign = _sign(text, groups, "object")
            if sign and foreign and sign.points_to in ("bias", "dark", "flat"):
                # "Dark Nebula B 33" is no dark, or is it?
                yield Sign(text, sign.allowed | {"science"}, None, "object")
            elif sign:
                yield sign
            elif words - known:
                yield Sign(text, _ALL, "science", "target")


def _name_signs(name: str, headers: Sequence[Header], camera: Camera) -> Iterator[Sign]:
    """Yield what the names of the file and of its nearest telling folder say."""
    path = PurePosixPath(name)
    stem = path.name.split(".")[0] if not path.name.startswith(".") else path.name
    own_names = [(f"the file name {path.name!r}", stem)]
    for card in camera.kind_cards["name"]:
        own_names += [
            (f"{card} = {value!r}", PurePosixPath(value).name)
            for value in present(headers, card)
            if isinstance(value, str)
        ]
    for text, own_name in own_names:
        groups = _groups(words_of(own_name), camera) - {"lamp", "exposure"}
        if sign := _sign(text, groups, "name"):
            yield sign
        elif any(target.fullmatch(part) for target in camera.targets for part in _pieces(own_name)):
            yield Sign(f"{text} names a target", _ALL, "science", "target")
    for folder in reversed(path.parent.parts):
        groups = _groups(words_of(folder), camera) - {"lamp"}
        if sign := _sign(f"the folder {folder!r}", groups - {"exposure"}, "folder"):
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
    for card in camera.kind_cards["shutter"]:
        for value in present(headers, card):
            groups = _groups(words_of(str(value)), camera) if isinstance(value, str) else ()
            if "closed" in groups:
                yield Sign(f"{card} = {value!r}", _UNLIT, "dark", "shutter")
            elif "opened" in groups:
                yield Sign(f"{card} = {value!r}", _LIT, None, "shutter")
    if exptime_s == 0:
        yield Sign("the exposure time is zero", frozenset({"bias"}), "bias", "exptime")
    elif exptime_s is not None:
        allowed = _NOT_BIAS if exptime_s > camera.bias_exptime_s else _ALL
        yield Sign(f"the exposure time is {exptime_s:g} s", allowed, None, "exptime")


def _decide(signs: Sequence[Sign]) -> tuple[str | None, str]:
    """Return the kind that signs of one frame agree on, or None, and the reason."""
    left_over = _ALL.intersection(*(sign.allowed for sign in signs))
    telling = [sign for sign in signs if sign.points_to or sign.allowed != _ALL]
    said = ", ".join(dict.fromkeys(sign.text for sign in telling))
    if not left_over:
        return None, f"the signs disagree: {said}"
    pointing = [sign for sign in signs if sign.points_to in left_over]
    if not pointing:
        what = said or ", ".join(sign.text for sign in signs if sign.strength == "type")
        return None, f"too few signs: {what or 'no card and no name tells its kind'}"
    kind = str(pointing[0].points_to)
    strongest = pointing[0].strength
    targets = [sign for sign in signs if sign.strength == "target"]
    if strongest == "target":
        unclear = [s for s in signs if s.strength == "type"]
        if unclear:
            return None, f"{unclear[0].text} is no word that the camera's rules know"
        if not any(sign.strength == "exptime" for sign in signs):
            return None, f"too few signs: {said}, and no exposure time"
    elif targets and strongest not in ("type", "object") and kind != "science":
        # The observer named a target: a name or a shutter alone does not outweigh that.
        return None, f"the signs disagree: {said}"
    reasons = [sign.text for sign in pointing if sign.points_to == kind]
    return kind, " and ".join(dict.fromkeys(reasons[:2]))


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
    >>> from daskred.cameras import read_camera
    >>> from daskred.header import format_card
    >>> header = Header((format_card("IMAGETYP", "Dark Frame"),))
    >>> kind_of("a.fits", [header], 300.0, read_camera())
    ('dark', "IMAGETYP = 'Dark Frame'")
    """
    signs = [
        *_type_signs(headers, camera),
        *_object_signs(headers, camera),
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

    Returns
    -------
    meaning, reason
        ``calibrated``, ``master`` or ``product`` (of daskred itself), and the sign.
    """
    for rule in camera.processed:
        for card in rule.cards:
            for header in headers:
                for value in header.values(card):
                    if rule.pattern is None or rule.pattern.search(str(value)):
                        return rule.means, f"{card} = {value!r}"
    for card in camera.kind_cards["type"]:
        for value in present(headers, card):
            if isinstance(value, str) and words_of(value) & camera.words["master"]:
                return "master", f"{card} = {value!r}"
    for part in PurePosixPath(name).parts:
        meanings: tuple[Meaning, ...] = ("master", "calibrated")
        for meaning in meanings:
            if words_of(part) & camera.words[meaning]:
                return meaning, f"the name {part!r}"
    return None
