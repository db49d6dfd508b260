"""Words in cards and names, and the groups that they belong to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from daskred.cameras.rules import Camera

# A setting of the camera in a name, as offset10; or as offset_10 beside other words.
_SETTING = re.compile(r"offset(?=\d)", re.IGNORECASE)
_SETTING_BESIDE = re.compile(r"offset(?=[ _=-]*\d)", re.IGNORECASE)
_OFFSETS = frozenset({"offset", "offsets"})


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


def _without_settings(text: str, camera: Camera) -> str:
    """Return a text without the word offset where it tells no bias frame.

    An offset beside other words is a setting of the camera, or a distance in the sky.
    """
    words = [run for run, _ in runs_of(text)]
    others = [word for word in words if word not in _OFFSETS]
    beside = any("ignored" not in camera.groups_of(word) for word in others)
    text = (_SETTING_BESIDE if beside else _SETTING).sub("", text)
    return re.sub(r"offsets?", "", text, flags=re.IGNORECASE) if beside else text


def read_words(text: str, camera: Camera) -> Reading:
    """Read the words of a text."""
    if "offset" in text.lower():
        text = _without_settings(text, camera)
    groups: set[str] = set()
    strange: list[str] = []
    symbols = 0
    for run, parts in runs_of(text):
        run_groups = camera.groups_of(run)
        for part in parts:
            groups |= camera.groups_of(part)
        groups |= run_groups
        symbols += run in camera.elements
        if not run_groups:
            strange += [part for part in parts if not camera.groups_of(part)]
    if symbols > 1 or (symbols and symbols == len(runs_of(text)) and not re.search(r"\d", text)):
        groups.add("elements")
    if "elements" in groups:
        groups.add("auxiliary")
    return Reading(frozenset(groups), any(len(word) > 3 for word in strange), bool(strange))
