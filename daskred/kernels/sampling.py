"""A sparse sample of a frame: short pieces of some rows, the same whatever the height of bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_N_ROWS = 12
_N_PIECES = 24
_PIECE = 16
_MOST_PIXELS = 2**16  # of all frames of a master


@dataclass(frozen=True)
class Places:
    """Where the pixels of a sample lie.

    Parameters
    ----------
    rows
        Some rows of an image.
    columns
        The first columns of the pieces of each.
    length
        Of the pieces, pixels.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    length: int

    @property
    def pixel_columns(self) -> NDArray[np.intp]:
        """The columns of all pixels, shape ``(piece, pixel)``."""
        return np.array(self.columns)[:, np.newaxis] + np.arange(self.length)


@lru_cache(maxsize=64)
def places_of(shape: tuple[int, int], n_frames: int = 1) -> Places:
    """Return the places of a sample of images of shape ``(y, x)``: pieces of some rows.

    Of very many frames each has fewer, so that all together stay small.

    Examples
    --------
    >>> places_of((4, 32))
    Places(rows=(0, 1, 2, 3), columns=(0, 16), length=16)
    """
    height, width = shape
    n_rows, length = min(height, _N_ROWS), min(width, _PIECE)
    n_pieces = max(1, min(width // length, _N_PIECES))
    n_rows = max(1, min(n_rows, _MOST_PIXELS // (n_frames * n_pieces * length)))
    n_pieces = max(1, min(n_pieces, _MOST_PIXELS // (n_frames * n_rows * length)))
    rows = ((np.arange(n_rows) + 0.5) * height / n_rows).astype(int)
    columns = ((np.arange(n_pieces) + 0.5) * width / n_pieces - length / 2).astype(int)
    return Places(tuple(rows.tolist()), tuple(columns.tolist()), length)


def sample_of(block: NDArray[Any], first_row: int, places: Places) -> NDArray[Any]:
    """Return the sample's pixels in a band of rows.

    Parameters
    ----------
    block
        Shape ``(..., rows, x)``.
    first_row
        Of the band, in the image.
    places
        Of the sample.

    Returns
    -------
    array
        Shape ``(..., n, piece, pixel)``: of as many rows of the sample as the band has.

    Examples
    --------
    >>> sample_of(np.arange(64).reshape(2, 32), 1, places_of((4, 32))).shape
    (2, 2, 16)
    """
    rows = [row - first_row for row in places.rows if 0 <= row - first_row < block.shape[-2]]
    columns = places.pixel_columns.reshape(-1)
    found = block[..., rows, :][..., columns]
    return found.reshape(*block.shape[:-2], len(rows), len(places.columns), places.length)


_HOT_ROWS = 512
_HOT_COLUMNS = 512
_HOT_BANDS = 128
_ASIDE = 2  # columns: of one colour, where a sensor has a pattern of colours


def hot_rows(shape: tuple[int, int], rows: slice, n_frames: int = 1) -> slice:
    """Return which of some rows of an image, from the first of them, are asked for hot pixels.

    Examples
    --------
    >>> hot_rows((2048, 2048), slice(6, 20)), hot_rows((2048, 2048), slice(6, 20), 64)
    (slice(2, None, 4), slice(2, None, 8))
    """
    height, width = shape
    n_asked = min(height, _HOT_ROWS) * max(1, width // _HOT_COLUMNS)
    step = max(1, height // _HOT_ROWS) * max(1, n_asked * n_frames // _MOST_PIXELS)
    return slice(-rows.start % step, None, step)


def hottest(rows: NDArray[Any]) -> NDArray[np.intp]:
    """Return the columns of the largest values of each row, one for some hundreds of pixels.

    Examples
    --------
    >>> hottest(np.array([[1, 9, 3], [4, 5, 8]]))
    array([[1],
           [2]])
    """
    width = rows.shape[-1]
    n_parts = max(1, width // _HOT_COLUMNS)
    part = width // n_parts
    values = rows[:, : n_parts * part].reshape(len(rows), n_parts, part)
    columns = values.argmax(-1)  # where there is NaN, of the first
    found = np.take_along_axis(values, columns[..., np.newaxis], axis=-1)
    if values.dtype.kind == "f" and not np.isfinite(found).all():
        columns = np.where(np.isfinite(values), values, -np.inf).argmax(-1)
    return np.asarray(columns + np.arange(n_parts) * part)


def excess(rows: NDArray[Any], columns: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return by how much pixels are above one beside them.

    Parameters
    ----------
    rows
        Shape ``(..., row, x)``.
    columns
        Shape ``(row, n)``.

    Returns
    -------
    array
        Shape ``(..., row * n)``.

    Examples
    --------
    >>> excess(np.array([[1, 9, 3, 4]], "u2"), np.array([[1]]))
    array([5.], dtype=float32)
    """
    beside = _beside(columns, rows.shape[-1])
    which = np.arange(rows.shape[-2])[:, np.newaxis]
    found = rows[..., which, columns].astype("f4") - rows[..., which, beside].astype("f4")
    return np.asarray(found.reshape(*rows.shape[:-2], -1))


def _beside(columns: NDArray[np.intp], width: int) -> NDArray[np.intp]:
    """Return the columns of the pixels with which hot ones are compared."""
    return np.where(columns >= _ASIDE, columns - _ASIDE, np.minimum(columns + _ASIDE, width - 1))


class Picked:
    """Some pixels of an image, to be taken from its bands as they come.

    Parameters
    ----------
    sets
        Of each set of pixels the rows and columns where they lie.
    shape
        Of the image.

    Examples
    --------
    >>> two, one = np.array([[0, 2], [1, 3]]), np.array([[0], [2]])
    >>> picked = Picked([two, one], (3, 4))
    >>> image = np.arange(12).reshape(3, 4)
    >>> found = [picked.of(image[:2], 0), picked.of(image[2:], 2)]
    >>> [pixels.tolist() for pixels in picked.apart(found)]
    [[1, 11], [2]]
    """

    def __init__(self, sets: Sequence[NDArray[np.intp]], shape: tuple[int, int]) -> None:
        rows, columns = np.concatenate(sets, axis=1)
        order = np.lexsort((columns, rows))
        self._back = np.argsort(order)
        rows, columns = rows[order], columns[order]
        self._ends = np.cumsum([places.shape[1] for places in sets])[:-1]
        self._places = rows * shape[1] + columns
        self._width = shape[1]
        # How many lie before each row.
        self._before = np.searchsorted(rows, np.arange(shape[0] + 1)).tolist()
        self._within: dict[tuple[int, int], NDArray[np.intp]] = {}  # bands: of all frames the same

    def of(self, band: NDArray[Any], first_row: int) -> NDArray[Any]:
        """Return those that a band of rows has."""
        places = self._within.get((first_row, len(band)))
        if places is None:
            start, stop = self._before[first_row], self._before[first_row + len(band)]
            places = self._places[start:stop] - first_row * self._width
            self._within[first_row, len(band)] = places
        return band.reshape(-1).take(places)

    def apart(self, found: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the pixels of each set, of what all bands of an image have, on the last axis."""
        pixels = np.concatenate(found, axis=-1).take(self._back, axis=-1)
        return np.split(pixels, self._ends, axis=-1)


def pixels_of_sample(shape: tuple[int, int]) -> NDArray[np.intp]:
    """Return rows and columns of the pixels of a sample: the first of all pieces, and so on."""
    places = places_of(shape)
    rows, columns = np.broadcast_arrays(
        np.array(places.rows)[:, np.newaxis], places.pixel_columns.T[:, np.newaxis]
    )
    return np.stack([rows.reshape(-1), columns.reshape(-1)])


@lru_cache(maxsize=64)
def picked_sample(shape: tuple[int, int]) -> Picked:
    """Return the pixels of a sample of an image, to be taken from its bands."""
    return Picked([pixels_of_sample(shape)], shape)


def hot_pixels_of(dark: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where hot pixels of a dark are, and one beside each: of some rows the hottest.

    Parameters
    ----------
    dark
        Shape ``(y, x)``.

    Returns
    -------
    hot, beside
        Rows and columns, shape ``(2, n)``.

    Examples
    --------
    >>> dark = np.zeros((4, 8)); dark[1, 5] = dark[2, 0] = 100
    >>> [places.tolist() for places in hot_pixels_of(dark)]
    [[[0, 1, 2, 3], [0, 5, 0, 0]], [[0, 1, 2, 3], [2, 3, 2, 2]]]
    """
    step = max(1, dark.shape[0] // _HOT_ROWS)
    asked = dark[::step]
    columns = hottest(asked)
    values = np.take_along_axis(asked, columns, axis=1)
    # Of so many rows the one that has the hottest pixel of its part.
    n_rows = max(1, len(asked) // _HOT_BANDS)
    n_bands = len(asked) // n_rows
    values = values[: n_bands * n_rows].reshape(n_bands, n_rows, -1)
    known = np.where(np.isfinite(values), values, -np.inf)
    rows = (known.argmax(1) + np.arange(n_bands)[:, np.newaxis] * n_rows).reshape(-1)
    columns = columns[rows, np.tile(np.arange(columns.shape[1]), n_bands)]
    beside = _beside(columns, dark.shape[1])
    return np.stack([rows * step, columns]), np.stack([rows * step, beside])
