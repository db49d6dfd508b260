"""The rules of a camera as plain data: what its headers mean, how its detector is read out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal

from daskred.cameras.criteria import Criterion
from daskred.model.errors import RequestError
from daskred.model.frame import Facts
from daskred.model.readout import FITS, STATISTICS, UNITS

Meaning = Literal["calibrated", "master", "product"]


# The time of day completes a date of observation that lacks it.
FACTS = (*(field.name for field in fields(Facts) if field.name != "settings"), "time_of_day")
# What a criterion may go by that no card holds alone.
COMPUTED = ("temperature", "set_temperature")


KIND_CARDS = (
    *("type", "type_fallback", "mode", "object", "target", "shutter", "name"),
    *("lamp_switch", "flat_lamp", "arc_lamp", "lamp_name"),
)


WORDS = (
    *("bias", "dark", "flat", "flat_type", "science", "auxiliary", "elements", "lamp", "off"),
    *("exposure", "closed", "opened", "vague", "ignored"),
)


@dataclass(frozen=True)
class DetectorRules:
    """How a detector is read out, and what is done to its pixels before they are calibrated.

    The fields are the keys of ``[detector]``, which ``default.toml`` explains.
    """

    data_cards: tuple[str, ...]
    overscan_cards: tuple[str, ...]
    place_cards: tuple[str, ...]
    suffixes: tuple[str, ...]
    overscan: str
    overscan_fit: str
    overscan_order: int
    overscan_reject_sigma: float
    trim: bool
    linearity: bool
    crosstalk_correction: bool
    assemble: bool
    unit: str
    bleed_rows: int
    needs_darks: bool
    crosstalk: tuple[tuple[float | str, ...], ...]

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                text = f"{name} = {getattr(self, name)!r} in [detector]: there are"
                raise RequestError(f"{text} {', '.join(known)}")
        for name in ("overscan_order", "overscan_reject_sigma", "bleed_rows"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise RequestError(f"{name} = {value:g} in [detector] must not be negative")

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> DetectorRules:
        """Make rules of plain data, as a TOML file or JSON has it."""
        given = {key: frozen(value) for key, value in table.items()}
        return cls(**given)


_CHOICES: dict[str, tuple[str, ...]] = {
    "overscan": (*STATISTICS, "none"),
    "overscan_fit": FITS,
    "unit": UNITS,
}


def frozen(value: Any) -> Any:
    """Return a value with tuples in the place of lists."""
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class AmplifierRule:
    """What a camera file says of one amplifier; see `daskred.model.readout.Amplifier`.

    Sections are texts, which may compute with integer cards of the header.
    """

    data: str
    name: str = ""
    image: int = 0
    overscan: tuple[str, ...] = ()
    place: str | None = None
    gain_e_per_adu: float | None = None
    read_noise_e: float | None = None
    saturation_adu: float | None = None
    linearity: tuple[float, ...] = ()
    linearity_table: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Measured:
    """What was measured of an amplifier, and goes before what headers and sections tell."""

    gain_e_per_adu: float | None = None
    read_noise_e: float | None = None
    saturation_adu: float | None = None

    @property
    def known(self) -> dict[str, Any]:
        """What of it was measured."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class ProcessedRule:
    """A sign that a frame is no raw frame any more.

    Parameters
    ----------
    cards
        Any of these keywords.
    pattern
        Searched in the value; None where the card alone is enough.
    file, folder
        Searched in the name of the file, and in those of its folders; None where names do not
        matter.
    means
        What the frame is then.
    """

    cards: tuple[str, ...]
    pattern: re.Pattern[str] | None
    file: re.Pattern[str] | None
    folder: re.Pattern[str] | None
    means: Meaning


@dataclass(frozen=True)
class Camera:
    """The rules of one camera.

    Parameters
    ----------
    name
        The camera's name.
    detector, amplifiers
        How the detector is read out; amplifiers where headers do not tell them.
    measured
        By the names of amplifiers, what was measured of them.
    reason
        Why these rules are used, where they were recognised.
    source
        The camera file, absolute, or the name of a camera that comes with daskred; None for the
        default rules.
    facts
        For each fact the cards that may hold it; each alternative is a tuple of cards read
        together.
    kind_cards
        The cards that may tell the kind, by what they tell.
    codes
        By card, the words that numbers stand for.
    lamps
        Patterns of cards that tell whether a lamp is on: all (``lamp_switch``), and those for flats
        (``flat_lamp``) and for wavelengths (``arc_lamp``).
    words
        For each group a pattern of the words that belong to it.
    elements
        Symbols of what arc lamps are filled with.
    targets
        Patterns of names of things in the sky.
    processed
        Signs of frames that are no raw frames any more.
    exptime_relative, exptime_tolerance_s
        How closely exposure times must agree.
    criteria
        What else must agree.
    bias_exptime_s
        The longest exposure of a bias frame, seconds.
    gain_limit_e_per_adu
        A gain above it that tells no unit is a setting of the camera.
    units
        Units of cards that tell none.
    cmos
        Patterns of names of cameras whose card GAIN is a setting.
    filter_words
        Names of filters, as they stand in OBJECT and in names of files.

    Examples
    --------
    >>> import daskred
    >>> daskred.read_camera("kast-blue").detector.unit
    'electron'
    """

    name: str
    facts: Mapping[str, tuple[tuple[str, ...], ...]]
    kind_cards: Mapping[str, tuple[str, ...]]
    codes: Mapping[str, Mapping[str, str]]
    lamps: Mapping[str, tuple[re.Pattern[str], ...]]
    words: Mapping[str, re.Pattern[str]]
    elements: frozenset[str]
    targets: tuple[re.Pattern[str], ...]
    processed: tuple[ProcessedRule, ...]
    exptime_relative: float
    exptime_tolerance_s: float
    criteria: tuple[Criterion, ...]
    bias_exptime_s: float
    gain_limit_e_per_adu: float
    units: Mapping[str, str]
    cmos: tuple[re.Pattern[str], ...]
    filter_words: re.Pattern[str]
    detector: DetectorRules
    amplifiers: tuple[AmplifierRule, ...] = ()
    measured: Mapping[str, Measured] = field(default_factory=dict)
    source: str | None = None
    reason: str = ""
    _known: dict[str, frozenset[str]] = field(default_factory=dict, repr=False, compare=False)
    _lamps: dict[tuple[str, str], bool] = field(default_factory=dict, repr=False, compare=False)

    def groups_of(self, word: str) -> frozenset[str]:
        """Return the groups that a word, in lower case, belongs to."""
        found = self._known.get(word)
        if found is None:
            found = frozenset(g for g, pattern in self.words.items() if pattern.fullmatch(word))
            self._known[word] = found
        return found

    @cached_property
    def cards(self) -> Mapping[str, frozenset[str]]:
        """All cards that may hold each fact."""
        return {
            fact: frozenset(card for cards in alternatives for card in cards)
            for fact, alternatives in self.facts.items()
        }

    @cached_property
    def compared(self) -> tuple[Mapping[str, int], Mapping[str, tuple[str, ...]]]:
        """The facts that criteria compare, with their places; and those that each card may tell."""
        facts = dict.fromkeys(criterion.fact for criterion in self.criteria)
        of_card: dict[str, tuple[str, ...]] = {}
        for fact in facts:
            for card in self.cards.get(fact, ()):
                of_card[card] = (*of_card.get(card, ()), fact)
        return {fact: place for place, fact in enumerate(facts)}, of_card

    def is_lamp(self, switch: str, purpose: str = "lamp_switch") -> bool:
        """Whether a card tells whether a lamp is on, or one of some purpose.

        Of a card with several switches, as "0,1,0", CARD:2 is the second.
        """
        found = self._lamps.get((purpose, switch))
        if found is None:
            found = any(pattern.fullmatch(switch) for pattern in self.lamps[purpose])
            self._lamps[purpose, switch] = found
        return found

    def same_exptime(self, first_s: float, second_s: float) -> bool:
        """Whether two exposure times, in seconds, are the same but for how they were written."""
        longer = max(first_s, second_s)
        tolerance = max(self.exptime_tolerance_s, self.exptime_relative * longer)
        return abs(first_s - second_s) <= tolerance

    def criteria_of(self, kind: str) -> tuple[Criterion, ...]:
        """Return what masters of a kind must share with the frames that they calibrate."""
        return tuple(criterion for criterion in self.criteria if kind in criterion.masters)

    def telling_apart(self, cards: Iterable[str]) -> Camera:
        """Return the rules with further cards in which frames that belong together must agree."""
        kinds = frozenset(("bias", "dark", "flat"))
        facts, criteria = dict(self.facts), list(self.criteria)
        for card in map(str.upper, cards):
            facts[card] = ((card,),)
            criteria.append(Criterion(card, card, kinds, kinds))
        return replace(self, facts=facts, criteria=tuple(criteria))
