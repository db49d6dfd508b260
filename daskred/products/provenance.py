"""By what a product is known: a key of what it was made from, and a digest of those pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskred.fits.hdus import read_first_header, read_hdus
from daskred.fits.header import Value
from daskred.model.errors import FrameError

# Raised whenever the same inputs and options would give other pixels or cards.
ARITHMETIC = 3
KEY_CARD = "DASKRED"
# A digest of all pixels that a product was made from.
CONTENT_CARD = "RAWSUM"


@dataclass(frozen=True)
class Origin:
    """What a master was made from.

    Parameters
    ----------
    key
        Of its inputs and options.
    content
        A digest of all pixels that it was made from.
    figures
        Of the checks of its frames, by their names.
    """

    key: str
    content: str
    figures: Mapping[str, float]


def key_of(*parts: Any) -> str:
    """Return a digest of plain data: what a product was made from, and how."""
    text = json.dumps([ARITHMETIC, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def content_of(sums: Sequence[int], masters: Sequence[str]) -> str:
    """Return a digest of all pixels that a product is made from.

    Parameters
    ----------
    sums
        For each raw frame the sum of its pixels.
    masters
        For each master its own digest.
    """
    text = json.dumps([list(sums), list(masters)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_content(path: Path) -> str:
    """Return the digest that a product keeps; empty where there is none."""
    return str(_card(path, CONTENT_CARD) or "")


def check_own(path: Path, raw: Collection[str] = ()) -> None:
    """Raise FrameError where a file stands in a product's place that daskred did not make.

    Parameters
    ----------
    path
        The product.
    raw
        Files of the night, which are never written over, not even where they are empty.
    """
    try:
        empty = path.stat().st_size == 0  # what a crash of the machine may leave
    except OSError:
        return
    free = empty and str(path) not in raw
    if not free and not is_own(path):
        raise FrameError(
            str(path), "stands there already, and daskred did not make it; move it away"
        )


def is_own(path: Path) -> bool:
    """Whether daskred made a file, as far as its header can be read."""
    return _card(path, KEY_CARD) is not None


def stands(path: Path, key: str) -> bool:
    """Whether a product is there whole, with this key."""
    try:
        headers = [hdu.header for hdu in read_hdus(str(path))[:2]]
    except FrameError:
        return False
    return any(header.get(KEY_CARD) == key for header in headers)


def _card(path: Path, keyword: str) -> Value:
    """Return a card of a product, as far as its headers can be read.

    Of an image that was packed, it is in the second one.
    """
    try:
        first = read_first_header(str(path))
        if keyword in first or path.suffix != ".fz":
            return first.get(keyword)
        headers = [hdu.header for hdu in read_hdus(str(path))[:2]]
    except FrameError:
        return None
    return next((header.get(keyword) for header in headers if keyword in header), None)
