"""An image on disk while it is made: workers write its rows, and nobody holds it whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from daskred.fits.parts import part_in
from daskred.fits.pixels import band_rows


@dataclass(frozen=True)
class Raster:
    """Rows of pixels in a file of their own, in this machine's byte order, without a header.

    Parameters
    ----------
    path
        The file.
    shape
        Rows and columns.
    dtype
        float32, float64 or uint16.
    """

    path: Path
    shape: tuple[int, int]
    dtype: str

    @classmethod
    def create(cls, folder: Path, shape: tuple[int, int], dtype: str) -> Self:
        """Make a raster in a folder; it bears the mark of what an interrupted run leaves."""
        folder.mkdir(parents=True, exist_ok=True)
        path = part_in(folder)
        with path.open("xb") as file:
            file.truncate(shape[0] * shape[1] * np.dtype(dtype).itemsize)
        return cls(path, shape, dtype)

    @property
    def _row_bytes(self) -> int:
        return self.shape[1] * np.dtype(self.dtype).itemsize

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Write rows at their place."""
        data = np.ascontiguousarray(rows, self.dtype).reshape(-1).view("u1").data
        offset = start * self._row_bytes
        descriptor = os.open(self.path, os.O_WRONLY)
        try:
            while data:
                n = os.pwrite(descriptor, data, offset)
                data, offset = data[n:], offset + n
        finally:
            os.close(descriptor)

    def bands(self) -> Iterator[NDArray[Any]]:
        """Yield the image band by band, from the first row to the last."""
        n_rows = band_rows(self.shape)
        with self.path.open("rb") as file:
            for start in range(0, self.shape[0], n_rows):
                shape = (min(n_rows, self.shape[0] - start), self.shape[1])
                yield np.fromfile(file, self.dtype, shape[0] * shape[1]).reshape(shape)

    def row(self, number: int) -> NDArray[Any]:
        """Return one row, shape ``(1, x)``."""
        with self.path.open("rb") as file:
            file.seek(number * self._row_bytes)
            return np.fromfile(file, self.dtype, self.shape[1])[np.newaxis]

    def every(self, step: int) -> NDArray[Any]:
        """Return every so many rows, from the first."""
        kept = []
        start = 0
        for band in self.bands():
            kept.append(band[-start % step :: step].copy())  # a view would keep the whole band
            start += len(band)
        return np.concatenate(kept)

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
