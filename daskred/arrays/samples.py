"""What is kept of a science frame's pixels on their way, to see whether it is what it seems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.loaded import LoadedMasters, SampledDark, above
from daskred.kernels.figures import science_figures
from daskred.kernels.robust import known_values
from daskred.kernels.sampling import picked_sample, places_of
from daskred.kernels.scratch import scratch
from daskred.kernels.stars import Light, light_of_stars, strips_of


class Samples:
    """A sparse sample of a frame, before and after it is calibrated, and strips of its rows.

    Parameters
    ----------
    shapes
        Of its images.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]]) -> None:
        self._shapes = shapes
        self._found: list[NDArray[Any]] = []  # of the image whose bands come
        self._raw: list[NDArray[Any]] = []
        self._calibrated: list[NDArray[Any]] = []
        self._hot_pixels: list[NDArray[Any]] = []
        self._darks: list[SampledDark] = []
        self._stars: list[Light] = []

    def add_raw(
        self, number: int, first_row: int, band: NDArray[Any], masters: LoadedMasters
    ) -> None:
        """Take from a band of an image before it is calibrated; bands come in their order."""
        shape, dark = self._shapes[number], masters.sampled
        picked = dark.picked if dark else picked_sample(shape)
        self._found.append(picked.of(band, first_row))
        if first_row + len(band) == shape[0]:
            sample, *hot = picked.apart(self._found)
            self._found = []
            self._raw.append(sample)
            if dark:
                self._hot_pixels.append(above(*hot))
                self._darks.append(dark)

    def add_calibrated(self, number: int, first_row: int, band: NDArray[Any]) -> None:
        """Take from a band of an image as it comes out; bands come in their order."""
        shape = self._shapes[number]
        self._calibrated.append(picked_sample(shape).of(band, first_row))
        strips = strips_of(shape, len(self._shapes))
        rows = scratch("strips", strips.shape, "f4")
        strips.copy(band, first_row, rows)
        if first_row + len(band) == shape[0]:
            self._stars.append(light_of_stars(rows, strips))

    def _joined(self, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Return a sample as pieces of rows; all images of a frame have pieces of one length."""
        pieces = np.concatenate(parts).reshape(-1, places_of(self._shapes[0]).length)
        return pieces if pieces.dtype.kind in "iu" else known_values(pieces)

    @property
    def light(self) -> bytes:
        """Where the light of its stars lies; nothing before its pixels have been read."""
        return b"".join(light.bins.tobytes() for light in self._stars)

    def figures(self, oddities: Mapping[str, float]) -> dict[str, float]:
        """Return what the pixels say of their frame, by the names of the checks.

        Parameters
        ----------
        oddities
            What was found in all raw pixels.

        Returns
        -------
        dict
            Empty before its pixels have been read.
        """
        if not self._stars:
            return {}
        hot_pixels = pattern = None
        if self._darks:
            hot_in_darks = np.concatenate([dark.hot for dark in self._darks])
            hot_pixels = np.concatenate(self._hot_pixels), hot_in_darks
            patterns = np.concatenate([dark.pattern for dark in self._darks])
            pattern = patterns, self._darks[0].n_frames
        return {
            **science_figures(
                self._joined(self._raw), self._joined(self._calibrated), hot_pixels, pattern
            ),
            "wrapped": 0.0,
            "clipped": 0.0,
            **oddities,
            "stars": float(np.mean([light.part for light in self._stars])),
            "trail": float(np.mean([light.length for light in self._stars])),
        }
