"""What a frame is an exposure of: each sign allows some kinds, and all signs must agree.

A sign is a card or a name. It allows some kinds and may point to one. The kinds that all signs
allow are left over; among them the strongest sign that points to one decides. Where nothing is
left over, or nothing points, the kind is unknown: a wrong kind would spoil a whole night.
"""

from __future__ import annotations

from collections.abc import Sequence

from daskred.model.frame import Kind
from daskred.night.signs import ALL, UNLIT, Sign

AUXILIARY = "a lamp, focus, pointing or test exposure"
_TOO_FEW = "too few signs"


def _weighed(signs: Sequence[Sign]) -> list[Sign]:
    """Return the signs that count: some habits of observers contradict nothing.

    A card made to tell the type outweighs words in OBJECT and in names. A generic one stays as it
    was while a zero-second bias is read out, to which an open shutter matters little; and OBJECT
    still names the lamp, or the dome, while the type card tells of a bias or a dark.
    """
    zero = any(s.strength == "exptime" and s.points_to == "bias" for s in signs)
    bias = any(s.points_to == "bias" and s.strength in ("type", "object", "name") for s in signs)
    unlit = any(s.strength == "type" and s.allowed <= UNLIT for s in signs)
    explicit = {s.points_to for s in signs if s.strength == "type" and not s.weak}
    kind = explicit.pop() if len(explicit) == 1 else None
    off = any(s.strength == "off" for s in signs)
    return [
        sign
        for sign in signs
        if not (zero and bias and (sign.weak or sign.strength == "shutter"))
        and not (off and sign.points_to == "flat")
        and not (unlit and sign.strength == "object" and sign.points_to is None)
        and not (kind and _is_outweighed(sign, kind, signs))
    ]


def _is_outweighed(sign: Sign, kind: str, signs: Sequence[Sign]) -> bool:
    """Whether a word in OBJECT or in a name says nothing against an explicit type card.

    Light is what several programs write when nobody tells them a type: a plain word such as "flat"
    is not outweighed by it. Nor is any type by OBJECT and name that agree on another.
    """
    if sign.strength not in ("object", "name", "folder") or kind in sign.allowed:
        return False
    if kind == "science":
        words = sign.points_to is None or sign.points_to == "auxiliary" or sign.strength == "object"
        return words and sign.foreign
    if kind == "dark":
        # A dark of zero seconds may be called a bias; and darks of flats are named after these.
        return "bias" not in sign.allowed
    if kind == "flat" and not sign.allowed - UNLIT:
        return False
    also = {s.strength for s in signs if s.points_to == sign.points_to}
    return not {"object", "name"} <= also


def _decide(signs: Sequence[Sign]) -> tuple[str | None, str]:
    """Return the kind that signs of one frame agree on, or None, and the reason."""
    signs = _weighed(signs)
    left_over = ALL.intersection(*(sign.allowed for sign in signs))
    telling = [sign for sign in signs if sign.points_to or sign.allowed != ALL]
    said = ", ".join(dict.fromkeys(sign.text for sign in telling))
    if not left_over:
        return None, f"the signs disagree: {said}"
    pointing = [sign for sign in signs if sign.points_to in left_over]
    if not pointing:
        what = said or ", ".join(sign.text for sign in signs if sign.strength == "type")
        return None, f"{_TOO_FEW}: {what or 'no card and no name tells its kind'}"
    strongest = pointing[0]
    if all(sign.strength == "exptime" for sign in pointing):
        return None, f"{_TOO_FEW}: {said} alone, which a header says also where nobody told it"
    kind = str(strongest.points_to)
    reasons = [sign for sign in pointing if sign.points_to == kind]
    unclear = [s for s in signs if s.points_to is None and s.strength in ("object", "name")]
    if strongest.weak and unclear:
        return None, f"{_TOO_FEW}: {said}"
    if strongest.strength == "target":
        words = [s for s in signs if s.strength == "type"]
        if words:
            return None, f"{words[0].text} is no word that the camera's rules know"
        if not any(sign.strength == "exptime" for sign in signs):
            return None, f"{_TOO_FEW}: {said}, and no exposure time"
    # Where the observer named a target, one name or the shutter alone does not outweigh that.
    named = any(sign.strength == "target" for sign in signs) and kind != "science"
    alone = len({sign.strength for sign in reasons}) == 1
    if named and alone and strongest.strength not in ("type", "object"):
        return None, f"the signs disagree: {said}"
    return kind, " and ".join(dict.fromkeys(sign.text for sign in reasons[:2]))


def kind_of(name: str, signs: Sequence[Sign], above: Sign | None = None) -> tuple[Kind, str]:
    """Return what a frame is an exposure of, and why.

    Parameters
    ----------
    name
        The frame's path below the night, with forward slashes.
    signs
        Of its headers and names, the strongest first; see `daskred.night.signs.signs_of`.
    above
        That of the folder that holds the night; it counts where all else tells too little.

    Returns
    -------
    kind, reason
        The signs that told the kind. For an unknown kind what is missing or disagrees, and what
        would settle it.

    Examples
    --------
    >>> from daskred.cameras.read import read_camera
    >>> from daskred.fits.header import Header, format_card
    >>> from daskred.night.signs import signs_of
    >>> header = Header((format_card("IMAGETYP", "Dark Frame"),))
    >>> kind_of("a.fits", signs_of("a.fits", [header], 300.0, read_camera()))
    ('dark', "IMAGETYP = 'Dark Frame'")
    """
    kind, reason = _decide(signs)
    if kind is None and reason.startswith(_TOO_FEW) and above:
        kind, reason = _decide([*signs, above])
    settle = f"--kind KIND='{name}' settles it"
    match kind:
        case None:
            return "unknown", f"{reason}; {settle}"
        case "auxiliary":
            light = [s for s in signs if s.strength == "type" and s.points_to == "science"]
            text = AUXILIARY
            if light and not light[0].weak:  # then something is lost by passing it over
                text = f"science ({light[0].text}), or {AUXILIARY}"
            return "unknown", f"{text} ({reason}); {settle}"
    return kind, reason  # type: ignore[return-value]
