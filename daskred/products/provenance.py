"""By what a product is known: a key of what it was made from, and a digest of those pixels."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.fits.hdus import read_first_header, read_hdus
from daskred.fits.header import Header, Value
from daskred.fits.storage import tried_twice
from daskred.model.errors import FrameError, RequestError, UnreadableError

# Raised whenever the same inputs and options would give other pixels or cards.
ARITHMETIC = 6
KEY_CARD = "DASKRED"
# Of each amplifier the level of a dark without its current.
LEVEL_CARD = "ZEROL"
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
    levels
        Of darks, where their own scatter tells it, the level of each amplifier without dark
        current, in the unit of the pixels.
    colours
        Whether each colour of a flat was divided by its own level.
    scatter
        The variance of its frames over what gain and read noise tell; NaN where nobody asked.
    """

    key: str
    content: str
    figures: Mapping[str, float]
    levels: tuple[float, ...] = ()
    colours: bool = False
    scatter: float = math.nan


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


def content_of_pixels(images: Iterable[NDArray[Any]]) -> str:
    """Return a digest of the pixels of a product, where nobody has seen the raw ones."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()[:32]


class ProductState(NamedTuple):
    """What stands in the place of a product.

    Parameters
    ----------
    kind
        Nothing (``absent``), what daskred did not make (``foreign``), what it made (``ours``), and
        what of that is not whole (``damaged``). What cannot be read is an error.
    headers
        As far as they can be read.
    """

    kind: Literal["absent", "foreign", "damaged", "ours"]
    headers: tuple[Header, ...] = ()

    def card(self, keyword: str) -> Value:
        """Return a card; of an image that was packed, it is in the second header."""
        return next((header.get(keyword) for header in self.headers if keyword in header), None)


def state_of_product(path: Path) -> ProductState:
    """Return what stands in the place of a product.

    Raises
    ------
    UnreadableError
        When it cannot be read: then nobody knows.
    """
    return tried_twice(partial(_state, path), UnreadableError)


def _state(path: Path) -> ProductState:
    try:
        headers = tuple(hdu.header for hdu in read_hdus(str(path))[:2])
        whole = True
    except UnreadableError:
        raise
    except FrameError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return ProductState("absent")
        headers, whole = _first_header(path), False
    found = ProductState("ours" if whole else "damaged", headers)
    return found if found.card(KEY_CARD) is not None else ProductState("foreign", headers)


def _first_header(path: Path) -> tuple[Header, ...]:
    """Return the first header of a file that is not whole, if it has one."""
    try:
        return (read_first_header(str(path)),)
    except UnreadableError:
        raise
    except FrameError:
        return ()


def read_content(path: Path) -> str:
    """Return the digest that a product keeps; empty where it keeps none.

    Raises
    ------
    FrameError
        When it is not there, or cannot be read.
    """
    state = state_of_product(path)
    if state.kind in ("absent", "foreign"):
        raise FrameError(str(path), "is gone; the same command makes it again")
    return str(state.card(CONTENT_CARD) or "")


_MARKED_WITHIN = 1000  # characters


def check_own_text(path: Path, mark: str) -> None:
    """Raise RequestError where a text stands in the place of one of ours, and has not its mark.

    Parameters
    ----------
    path
        Where one of ours will be written.
    mark
        What ours have somewhere at their beginnings.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            begin = file.read(_MARKED_WITHIN)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RequestError(f"{path}: cannot be read: {error.strerror}") from error
    if begin.strip() and mark not in begin:
        text = "stands there already, and daskred did not make it; move it away"
        raise RequestError(f"{path}: {text}")


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
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UnreadableError(str(path), f"cannot be read: {error.strerror}") from error
    free = empty and str(path) not in raw
    if not free and not is_own(path):
        raise FrameError(
            str(path), "stands there already, and daskred did not make it; move it away"
        )


def is_own(path: Path) -> bool:
    """Whether daskred made a file, whole or not."""
    return state_of_product(path).kind in ("ours", "damaged")


def stands(path: Path, key: str) -> bool:
    """Whether a product is there whole, with this key."""
    state = state_of_product(path)
    return state.kind == "ours" and state.card(KEY_CARD) == key
