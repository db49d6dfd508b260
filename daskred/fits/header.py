"""FITS header cards as text: read their values, drop some, add some; all others stay as they are.

Cards that are kept are kept to the letter, so what a camera wrote, right or wrong, survives into
the product. Layout of cards: FITS standard 4.0, section 4.

Cards are read and made by the same rules, which makes the file a little longer than others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

Value = str | int | float | bool | None

CARD = 80
BLOCK = 2880
END_CARD = "END".ljust(CARD)
COMMENTARY = frozenset({"COMMENT", "HISTORY", ""})

_STRING = re.compile(r"'((?:[^']|'')*)'")
_INTEGER = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[EDed][+-]?\d+)?")


# Cards that tell how pixels lie in a file, and what says more of what lies there.
_OF_IMAGE = r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|GROUPS|BSCALE|BZERO|BLANK"
_OF_PACKING = r"IMAGE|BITPIX|NAXIS\d*|TILE\d+|CMPTYPE|NAME\d+|VAL\d+|QUANTIZ|DITHER0|BLANK"
_LAYOUT = re.compile(rf"{_OF_IMAGE}|Z({_OF_PACKING})")
_STRUCTURE = re.compile(rf"{_OF_IMAGE}|EXTEND|CHECKSUM|DATASUM|DATAMIN|DATAMAX")
_COMPRESSION = re.compile(
    rf"Z({_OF_PACKING}|SIMPLE|TENSION|PCOUNT|GCOUNT|EXTEND|MASKCMP|HECKSUM|DATASUM|BLOCKED)"
    r"|T(FIELDS|TYPE\d+|FORM\d+|UNIT\d+)|THEAP"
)


def is_structural(keyword: str, compressed: bool = True) -> bool:
    """Whether a card tells how pixels lie in a file, and nothing of the exposure.

    Parameters
    ----------
    keyword
        The card's keyword.
    compressed
        Whether the cards of tile compression count as such too.

    Examples
    --------
    >>> is_structural("NAXIS1"), is_structural("EXPTIME")
    (True, False)
    """
    found = _STRUCTURE.fullmatch(keyword) or (compressed and _COMPRESSION.fullmatch(keyword))
    return bool(found)


# Most cards of a night are the same in all of its frames.
_remembered = lru_cache(maxsize=2**12)


@_remembered
def keyword_of(card: str) -> str:
    """Return the keyword of a card, ``ESO DPR TYPE`` for ``HIERARCH ESO DPR TYPE = ...``.

    Some cameras write them in lower case; they are taken for what they mean.

    Examples
    --------
    >>> keyword_of("EXPTIME =                 10.0 / seconds")
    'EXPTIME'
    """
    if card.startswith("HIERARCH ") and "=" in card:
        keyword = card[9 : card.index("=")].strip().upper()
        # What tells where pixels lie is told by cards of the standard alone.
        return f"HIERARCH {keyword}" if is_structural(keyword) else keyword
    return card[:8].rstrip().upper()


_NAMED = re.compile(r"\s*([A-Za-z]+\d*)\s*=")


@_remembered
def is_askew(card: str) -> bool:
    """Whether a card that tells how pixels lie does not stand as FITS wants it.

    Its keyword begins the card, an equals sign and a blank follow in columns 9 and 10, and nothing
    but a comment follows a text: what else there is, is read in one way by some, and in another, or
    not at all, by others.

    Examples
    --------
    >>> [is_askew(card) for card in (" BSCALE = 8", "BSCALE  =8", "BSCALE  = 8")]
    [True, True, False]
    """
    found = _NAMED.match(card)
    if not found or not card[:8].strip() or not _LAYOUT.fullmatch(found[1].upper()):
        return False
    text = _STRING.match(card[10:].lstrip())
    behind = card[10:].lstrip()[text.end() :].lstrip() if text else ""
    return card[:10] != f"{found[1]:<8}= " or behind[:1] not in ("", "/")


@_remembered
def value_of(text: str) -> Value:
    """Return the value in the text that follows a card's equals sign.

    What is no FITS value is returned as the text that stands there.

    Examples
    --------
    >>> value_of(" 'Dark Frame'       / type"), value_of("  1.5D2 / s"), value_of("  T")
    ('Dark Frame', 150.0, True)
    """
    text = text.lstrip()
    if text.startswith("'"):
        match = _STRING.match(text)
        inside = match.group(1).replace("''", "'") if match else text[1:]
        return inside.rstrip()
    token = text.split("/", 1)[0].strip()
    if token in ("T", "F"):
        return token == "T"
    if _INTEGER.fullmatch(token):
        return int(token)
    if _FLOAT.fullmatch(token):
        return float(token.upper().replace("D", "E"))
    return token or None


def format_card(keyword: str, value: Value, comment: str = "") -> str:
    """Return one 80-character card; a comment that does not fit is cut.

    Raises
    ------
    ValueError
        When the value itself does not fit.

    Examples
    --------
    >>> format_card("NCOMBINE", 61, "frames combined").rstrip()
    'NCOMBINE=                   61 / frames combined'
    """
    match value:
        case bool():
            text = f"{'T' if value else 'F':>20}"
        case str():
            quoted = value.replace("'", "''")
            text = f"'{quoted:<8}'".ljust(20)
        case float():
            # FITS wants a decimal point, also before an exponent.
            digits = repr(value).upper()
            mantissa, *exponent = digits.split("E")
            whole = mantissa if "." in mantissa else mantissa + ".0"
            text = f"{'E'.join([whole, *exponent]):>20}"
        case None:
            text = " " * 20
        case _:
            text = f"{value:>20}"
    card = f"{keyword:<8}= {text}"
    if len(card) > CARD:
        raise ValueError(f"{keyword} = {value!r} does not fit on a FITS card")
    if comment:
        card += f" / {comment}"
    return card[:CARD].ljust(CARD)


def _plain(text: str) -> str:
    """Return a text in the characters that FITS has, 32 to 126; FITS 4.0, section 4.2.1."""
    return "".join(character if " " <= character <= "~" else "?" for character in text)


def clipped(text: str) -> str:
    """Return as much of a text as fits on one card, in the characters that FITS has.

    Examples
    --------
    >>> len(clipped("x" * 100)), clipped("caf\u00e9.fits")
    (68, 'caf?.fits')
    """
    text = _plain(text)[:68]
    while len(text) + text.count("'") > 68:
        text = text[:-1]
    return text


def commentary(keyword: str, text: str) -> list[str]:
    """Return COMMENT or HISTORY cards that hold a text, as many as it needs.

    Examples
    --------
    >>> [card.rstrip() for card in commentary("COMMENT", "master flat")]
    ['COMMENT master flat']
    """
    width = CARD - 8
    text = _plain(text)
    pieces = [text[i : i + width] for i in range(0, len(text), width)] or [""]
    return [f"{keyword:<8}{piece}".ljust(CARD) for piece in pieces]


@dataclass(frozen=True)
class Header:
    """The cards of one header-data unit, without END and without the blank cards behind the last.

    Parameters
    ----------
    cards
        80 characters each.

    Examples
    --------
    >>> header = Header((format_card("EXPTIME", 10),))
    >>> header.get("EXPTIME"), header.get("FILTER")
    (10, None)
    """

    cards: tuple[str, ...]

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        """Where each keyword stands; most headers that are made are never asked."""
        places: dict[str, list[int]] = {}
        for place, card in enumerate(self.cards):
            places.setdefault(keyword_of(card), []).append(place)
        return places

    @classmethod
    def parse(cls, text: bytes) -> Header:
        """Make a header from its bytes up to, and without, the END card."""
        line = text.decode("latin-1")
        cards = [line[i : i + CARD].ljust(CARD) for i in range(0, len(line), CARD)]
        while cards and not cards[-1].strip():
            cards.pop()
        return cls(tuple(cards))

    def __contains__(self, keyword: str) -> bool:
        return keyword in self._places

    def lacks(self, keywords: frozenset[str]) -> bool:
        """Whether none of some keywords stands in it."""
        return keywords.isdisjoint(self._places)

    def __len__(self) -> int:
        return len(self.cards)

    def get(self, keyword: str, default: Value = None) -> Value:
        """Return the first value of a keyword."""
        return next(self.values(keyword), default)

    def values(self, keyword: str) -> Iterator[Value]:
        """Yield every value of a keyword, in the order of its cards; long strings are joined."""
        for place in self._places.get(keyword, ()):
            card = self.cards[place]
            if keyword in COMMENTARY:
                yield card[8:].rstrip()
                continue
            separator = card.find("=")
            if separator < 0 or (separator != 8 and not card.startswith("HIERARCH ")):
                continue
            value = value_of(card[separator + 1 :])
            pieces = [value] if isinstance(value, str) else []
            while pieces and pieces[-1].endswith("&"):
                place += 1
                if place >= len(self.cards) or not self.cards[place].startswith("CONTINUE  "):
                    break
                pieces[-1] = pieces[-1][:-1]
                pieces.append(str(value_of(self.cards[place][10:]) or ""))
            yield "".join(pieces) if pieces else value

    def comment(self, keyword: str) -> str:
        """Return the comment of a keyword's first card, empty where there is none."""
        for place in self._places.get(keyword, ()):
            text = self.cards[place].partition("=")[2].lstrip()
            if match := _STRING.match(text):
                text = text[match.end() :]
            return text.partition("/")[2].strip()
        return ""

    @property
    def keywords(self) -> Iterator[str]:
        """Each keyword once."""
        return iter(self._places)

    @property
    def repeated(self) -> list[str]:
        """Each keyword that stands more than once."""
        return [keyword for keyword, places in self._places.items() if len(places) > 1]

    @property
    def entries(self) -> list[tuple[str, ...]]:
        """The cards, each together with the CONTINUE cards that belong to it."""
        entries: list[tuple[str, ...]] = []
        for card in self.cards:
            if entries and card.startswith("CONTINUE"):
                entries[-1] = (*entries[-1], card)
            else:
                entries.append((card,))
        return entries

    def without(self, unwanted: Callable[[str], bool]) -> Header:
        """Return the header without the cards whose keyword is unwanted, and their CONTINUEs."""
        kept = (entry for entry in self.entries if not unwanted(keyword_of(entry[0])))
        return Header(tuple(card for entry in kept for card in entry))

    def plus(self, cards: Iterable[str]) -> Header:
        """Return the header with further cards at its end."""
        return Header((*self.cards, *cards))

    @property
    def n_bytes(self) -> int:
        """Its length in a file."""
        return -(-(len(self.cards) + 1) * CARD // BLOCK) * BLOCK

    def to_bytes(self) -> bytes:
        """Return the header as it stands in a file: END, and blanks up to a whole block."""
        text = "".join((*self.cards, END_CARD))
        # Bytes that are no ASCII are no FITS either, but stand as the camera wrote them.
        data = text.encode("latin-1")
        return data + b" " * (-len(data) % BLOCK)


def stands_in(headers: Sequence[Header], keyword: str) -> bool:
    """Whether a keyword stands in any of some headers: asked a hundred times a frame."""
    for header in headers:  # noqa: SIM110 - a generator takes twice as long
        if keyword in header:
            return True
    return False
