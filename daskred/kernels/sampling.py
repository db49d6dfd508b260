"""A sparse sample of a frame: short pieces of some rows, the same whatever the height of bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_N_ROWS = 12
_N_PIECES = 24
_PIECE = 16


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


def places_of(shape: tuple[int, int], n_rows: int = _N_ROWS, n_pieces: int = _N_PIECES) -> Places:
    """Return the places of a sample of an image of shape ``(y, x)``: pieces of some rows.

    Examples
    --------
    >>> places_of((4, 32))
    Places(rows=(0, 1, 2, 3), columns=(0, 16), length=16)
    """
    height, width = shape
    n_rows, length = min(height, n_rows), min(width, _PIECE)
    n_pieces = max(1, min(width // length, n_pieces))
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
    columns = (np.array(places.columns)[:, np.newaxis] + np.arange(places.length)).reshape(-1)
    found = block[..., rows, :][..., columns]
    return found.reshape(*block.shape[:-2], len(rows), len(places.columns), places.length)
