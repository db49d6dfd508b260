"""What the uncertainty of a master follows from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.masterfiles import Masters
from daskred.arrays.masters import MasterLevel
from daskred.kernels.noise import combined_part, noise_terms, signal_variance
from daskred.model.readout import Readout

Pixels = NDArray[np.float64]


@dataclass(frozen=True)
class MasterNoise:
    """What the uncertainty of a master follows from.

    Parameters
    ----------
    readout
        Tells gain and read noise.
    method
        How frames are combined.
    zero
        The master above which a pixel's signal makes noise, or None where that is zero, or where
        nobody tells.
    levels
        Of flats, their levels; empty for other masters.
    level
        Of a flat, what it is divided by in the end.
    weights
        Of frames; empty where all count alike.
    dark
        Of flats, the masters that are subtracted.
    """

    readout: Readout
    method: str
    zero: Masters | None = None
    levels: tuple[float, ...] = ()
    level: MasterLevel = field(default_factory=MasterLevel)
    weights: tuple[float, ...] = ()
    dark: Masters | None = None

    def sigma(
        self, value: Pixels, n_used: NDArray[np.uint16], number: int, first_row: int
    ) -> NDArray[np.float32]:
        """Return one standard deviation of a band of the master.

        Parameters
        ----------
        value
            The master's pixels, of a flat divided by its level.
        n_used
            Of how many frames each is made.
        number, first_row
            Of the image, and of the band's first row in it.
        """
        part = combined_part(self.method, n_used)
        if self.weights:
            w = np.array(self.weights)
            # A weighted mean is as good as one of fewer frames.
            part = part * float(len(w) * (w**2).sum() / w.sum() ** 2)
        zeros = np.zeros_like(value)
        if not self.levels:
            mean = value / np.maximum(n_used, 1) if self.method == "sum" else value
            above = mean - self._band(self.zero, value, number, first_row)
            if self.zero is None and not self.readout.is_above_bias:
                above = zeros
            return _root(part * self._variance(above, number, first_row))
        first = float(np.mean(1 / np.array(self.levels)))
        second = float(np.mean(1 / np.array(self.levels) ** 2))
        dark = self._band(self.dark, value, number, first_row)
        current = np.maximum(dark - self._band(self.zero, value, number, first_row), 0.0)
        if self.zero is None and not self.readout.is_above_bias:
            current = zeros
        floor = self._variance(zeros, number, first_row)
        level = self.level.of(number, first_row, value.shape)
        lit = value * level
        if self.method == "sum":
            lit = lit / np.maximum(n_used, 1)
        photons = self._variance(lit, number, first_row) - floor
        variance = part * (second * self._variance(current, number, first_row) + first * photons)
        # The master dark is the same in every flat, so that nothing averages its noise.
        variance += second * self._band(self.dark, value, number, first_row, "UNCERT")
        # The level itself is as uncertain as a median of all pixels.
        variance += value**2 * (np.pi / 2 * self._typical(first, second) / self._n_pixels)
        return _root(variance / level**2)

    def _typical(self, first: float, second: float) -> float:
        """Return the variance of a pixel of the master whose response is that of most."""
        terms = [noise_terms(amplifier, self.readout) for amplifier in self.readout.amplifiers]
        floor, slope = np.mean(terms, axis=0).tolist()
        part = float(combined_part(self.method, len(self.levels)))
        return float(part * (second * floor + first * slope * self.level.whole))

    @property
    def _n_pixels(self) -> int:
        return sum(shape[0] * shape[1] for shape in self.readout.shapes)

    def _variance(self, signal: Pixels, number: int, first_row: int) -> Pixels:
        return signal_variance(signal, self.readout, number, first_row).astype("f8")

    def _band(
        self,
        masters: Masters | None,
        like: Pixels,
        number: int,
        first_row: int,
        plane: str = "",
    ) -> Pixels:
        """Return rows of what masters subtract, or of its variance; zero where there is none."""
        if masters is None:
            return np.zeros_like(like)
        rows = slice(first_row, first_row + len(like))
        return masters.rows(number, self.readout.shapes[number], rows, plane)


def _root(variance: Pixels) -> NDArray[np.float32]:
    sigma: NDArray[np.float32] = np.sqrt(variance).astype("f4")
    return sigma
