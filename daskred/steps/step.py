"""What a step is, and what flows through the steps.

A frame passes them in three stages: each amplifier by itself, while its pixels still lie as they
were read; then bands of rows of each image; then images whole, for steps that need neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from daskred.model.option import Option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from daskred.model.plan import Correction
    from daskred.model.readout import Amplifier, Readout
    from daskred.options import Options

Reach = Literal["amplifier", "band", "frame"]


class Card(NamedTuple):
    """A card that a step leaves in the header of a product."""

    keyword: str
    value: Any
    comment: str


@dataclass(frozen=True)
class Recipe:
    """How one frame is calibrated.

    Parameters
    ----------
    readout
        How its detector is read out.
    correction
        The masters that calibrate it.
    options
        What the user asked for.
    """

    readout: Readout
    correction: Correction
    options: Options


@dataclass(eq=False)
class Part:
    """Some rows of one amplifier, as they lie in the raw image.

    Parameters
    ----------
    amplifier
        Which.
    signal
        Its light-sensitive pixels, ADU; steps work on them in place. They are float64, or float32
        where that is exact.
    saturated
        Where they are; raw pixels tell it.
    levels
        Returns the level of the overscan for these rows, ``(rows, 1)``, ``(1, columns)`` or of
        each pixel, ADU.
    neighbour
        Returns the signal above the overscan of another amplifier, by its number, for the pixels
        that are read at the same time.
    """

    amplifier: Amplifier
    signal: NDArray[Any]
    saturated: NDArray[np.bool_]
    levels: Callable[[], NDArray[np.float64]]
    neighbour: Callable[[int], NDArray[np.float64]]


@dataclass(eq=False)
class Band:
    """Some rows of one image of a frame, on their way through the steps.

    Parameters
    ----------
    pixels
        As they are now: raw, prepared or calibrated; a step that changes them writes to ``out``
        and puts it here.
    out
        Where calibrated pixels go, of the type of the product.
    mask
        Bits of the pixels, or None where nobody wants them.
    variance
        Of the pixels, or None where nobody wants it.
    masters
        Rows of the masters; see `daskred.arrays.masterfiles.LoadedMasters`.
    """

    pixels: NDArray[Any]
    out: NDArray[Any]
    masters: Any
    mask: NDArray[np.uint8] | None = None
    variance: NDArray[Any] | None = None


@dataclass(eq=False)
class Whole:
    """A whole calibrated image, for steps that need the neighbours of pixels.

    Parameters
    ----------
    number
        Which image of the frame.
    value
        Calibrated pixels.
    mask
        Their bits.
    sigma
        One standard deviation of each, or None where nobody wants it.
    masters
        What calibrates it; see `daskred.arrays.loaded.LoadedMasters`.
    beside
        Returns the same image of other frames of the field, calibrated alike, as far as there are.
    """

    number: int
    value: NDArray[Any]
    mask: NDArray[np.uint8]
    sigma: NDArray[np.float32] | None = None
    masters: Any = None
    beside: Callable[[], list[NDArray[Any]]] = list


def _nothing(*_: Any) -> int:
    return 0


def _no_cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    return []


@dataclass(frozen=True)
class Step:
    """One thing that is done to the pixels of a frame.

    Parameters
    ----------
    name
        What it is called.
    place
        Steps are done in the order of their places.
    reach
        What it works on: a `Part` (``amplifier``), a `Band` (``band``) or a `Whole` (``frame``).
    applies
        Whether it is done to frames of a recipe.
    work
        Does it, given what it works on and the recipe; returns how many pixels it touched where
        that is counted, or several numbers by their names, as the scale of fringes.
    variance
        Of steps on bands: carries the variance along.
    cards
        Returns what it leaves in the header of the product, given the recipe and, where steps reach
        whole images, how many pixels each step has counted: headers stand before bands are read.
    bits
        The bits of the mask that it sets.
    pixel_bytes
        Of steps that reach whole images: the memory that it takes for each pixel of one.
    options
        Its options; see `daskred.options`.
    """

    name: str
    place: int
    reach: Reach
    applies: Callable[[Recipe], bool]
    work: Callable[[Any, Recipe], int | Mapping[str, float] | None] = _nothing
    variance: Callable[[Band], None] | None = None
    cards: Callable[[Recipe, Mapping[str, float]], list[Card]] = _no_cards
    bits: int = 0
    pixel_bytes: int = 0
    options: tuple[Option, ...] = field(default=())
