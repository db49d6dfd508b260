"""What raw integers tell of their camera: where they pile up, and how many have wrapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.fits.pixels import bands_of
from daskred.kernels.piles import piled_up
from daskred.model.frame import Image
from daskred.model.readout import Section

_WRAPPED = -1000  # ADU: signed integers below it were larger than their type could hold
_NEAR = 32  # ADU, or thousandths of the largest value: pixels near it are kept


def wrapped_in(raw: NDArray[Any]) -> int:
    """Return how many raw pixels are signed integers of 16 bits that had no room for their value.

    Examples
    --------
    >>> wrapped_in(np.array([-25536, -3, 900], "i2")), wrapped_in(np.array([40000], "u2"))
    (1, 0)
    """
    return int(np.count_nonzero(raw < _WRAPPED)) if raw.dtype == np.int16 else 0


# Raw integers of some rows, by the amplifiers that read them out.
Kept = dict[int, list[NDArray[Any]]]


def keep_raw(keep: Kept | None, number: int, raw: NDArray[Any]) -> None:
    """Add integers to those that are kept of an amplifier, where any are."""
    if keep is not None and raw.dtype.kind in "iu":
        keep.setdefault(number, []).append(raw.reshape(-1).copy())


def pile_in(keep: Kept) -> tuple[float | None, float]:
    """Return at which level integers pile up, and what part of them does; None where none do.

    Examples
    --------
    >>> raw = np.minimum(np.random.default_rng(1).normal(4000, 100, 10000), 4095).astype("u2")
    >>> pile_in({0: [raw]})[0], pile_in({})
    (4095.0, (None, 0.0))
    """
    amplifiers = [np.concatenate(parts) for parts in keep.values()]
    piles = [(raw.size, pile) for raw in amplifiers if (pile := piled_up(raw))]
    if not piles:
        return None, 0.0
    n_piled = sum(size * part for size, (_, part) in piles)
    return max(level for _, (level, _) in piles), n_piled / sum(raw.size for raw in amplifiers)


def _limit(top: Any) -> float:
    """Return above which values are near the largest one."""
    return float(top) - max(_NEAR, _NEAR * float(top) / 1000)


def piles_of(path: str, image: Image, sections: Sequence[Section]) -> list[float | None]:
    """Return for sections of a raw image the level at which their pixels pile up, or None.

    Parameters
    ----------
    path, image
        The image, which is read.
    sections
        Parts of it that are read out each by an amplifier of its own.

    Raises
    ------
    FrameError
        When it cannot be read.
    """
    if image.largest is None:
        return [None] * len(sections)
    ends: list[list[Any]] = [[] for _ in sections]
    near: list[list[NDArray[Any]]] = [[] for _ in sections]
    for start, band in _bands(path, image):
        for number, part in _parts(sections, start, band):
            top = part.max()
            ends[number] += [part.min(), top]
            # What is near the largest value of all is near that of the first rows.
            limit = _limit(max(ends[number]))
            if top > limit:
                near[number].append(part[part > limit])
    piles: list[float | None] = []
    for found, parts in zip(ends, near, strict=True):
        if not parts or float(max(found)) >= image.largest:
            piles.append(None)
            continue
        # The largest values, and one that is not.
        largest = np.concatenate(parts)
        largest = largest[largest > _limit(max(found))]
        pile = piled_up(np.append(largest, np.array([min(found)], image.dtype)))
        piles.append(pile[0] if pile else None)
    return piles


def _bands(path: str, image: Image) -> Iterator[tuple[int, NDArray[Any]]]:
    start = 0
    for band in bands_of(path, image):
        yield start, band
        start += len(band)


def _parts(
    sections: Sequence[Section], start: int, band: NDArray[Any]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the numbers of the sections that lie in a band, and their pixels there."""
    for number, section in enumerate(sections):
        first, last = max(section.rows[0] - start, 0), min(section.rows[1] - start, len(band))
        part = band[first:last, slice(*section.columns)] if first < last else band[:0]
        if part.size:
            yield number, part
