"""What the uncertainty of a master follows from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.masterfiles import Masters
from daskred.arrays.masters import MasterLevel
from daskred.kernels.noise import combined_rounding, noise_terms, signal_variance
from daskred.kernels.reject import Method, Rejection
from daskred.kernels.spread import combined_part
from daskred.model.plan import MasterKind
from daskred.model.readout import Readout

Pixels = NDArray[np.float64]
# Between these parts of a pixel's variance that do not come from light, all others follow.
_PARTS = np.linspace(0, 1, 65)


@dataclass(frozen=True)
class MasterNoise:
    """What the uncertainty of a master follows from.

    Parameters
    ----------
    kind
        Of the master: bias frames have no light, and flats are divided by their levels.
    readout
        Tells gain and read noise.
    method, rejection
        How frames are combined.
    zero
        The master above which a pixel's signal makes noise. Where there is none, that level is
        zero if frames are above their bias by an overscan; else nobody tells it, and the signal is
        left out.
    levels
        Of flats, their levels; empty for other masters.
    level
        Of a flat, what it is divided by in the end.
    weights
        Of frames; empty where all count alike.
    dark
        Of flats, the masters that are subtracted.
    """

    kind: MasterKind
    readout: Readout
    method: Method
    rejection: Rejection
    zero: Masters | None = None
    levels: tuple[float, ...] = ()
    level: MasterLevel = field(default_factory=MasterLevel)
    weights: tuple[float, ...] = ()
    dark: Masters | None = None

    def sigma(
        self,
        value: Pixels,
        n_used: NDArray[np.uint16],
        n_rejected: NDArray[np.uint16],
        number: int,
        first_row: int,
    ) -> NDArray[np.float32]:
        """Return one standard deviation of a band of the master.

        Parameters
        ----------
        value
            The master's pixels, of a flat divided by its level.
        n_used, n_rejected
            Of how many frames each is made, and how many were left out.
        number, first_row
            Of the image, and of the band's first row in it.
        """
        if self.kind == "flat":
            return self._sigma_of_flat(value, n_used, n_rejected, number, first_row)
        mean = value / np.maximum(n_used, 1) if self.method == "sum" else value
        above = self._above_zero(mean, number, first_row)
        single = self._variance(above, number, first_row, rounded=False)
        variance = single * self._part(n_used, n_rejected, mean, single)
        combining = self.method, self.rejection
        variance += combined_rounding(single, n_used, combining, self.readout, number, first_row)
        if self.method == "sum":
            variance *= n_used.astype("f8") ** 2
        return _root(variance)

    def _above_zero(self, value: Pixels, number: int, first_row: int) -> Pixels:
        """Return how much light, and dark current, pixels hold."""
        if self.kind == "bias" or (self.zero is None and not self.readout.is_above_bias):
            return np.zeros_like(value)
        return np.asarray(value - self._band(self.zero, value, number, first_row))

    def _part(
        self,
        n_used: NDArray[np.uint16],
        n_rejected: NDArray[np.uint16],
        value: Pixels,
        single: Pixels,
    ) -> Pixels:
        """Return the variance of what values combine to over that of one; of a sum, of its mean."""
        n_good = n_used + n_rejected
        part = np.full(n_used.shape, np.nan)
        for n in np.unique(n_good[n_used > 0]).tolist():
            where = n_good == n
            ratio = np.abs(value[where]) / np.sqrt(single[where])
            part[where] = combined_part(self.method, self.rejection, n, n_used[where], ratio)
        if self.weights:
            w = np.array(self.weights)
            # A weighted mean is as good as one of fewer frames.
            part *= len(w) * (w**2).sum() / w.sum() ** 2
        return part

    def _sigma_of_flat(
        self,
        value: Pixels,
        n_used: NDArray[np.uint16],
        n_rejected: NDArray[np.uint16],
        number: int,
        first_row: int,
    ) -> NDArray[np.float32]:
        zeros = np.zeros_like(value)
        dark = self._band(self.dark, value, number, first_row)
        current = zeros
        if self.zero is not None or self.readout.is_above_bias:
            current = np.maximum(dark - self._band(self.zero, value, number, first_row), 0.0)
        floor = self._variance(current, number, first_row)
        level = self.level.of(number, first_row, value.shape)
        lit = value * level
        if self.method == "sum":
            lit = lit / np.maximum(n_used, 1)
        photons = self._variance(lit, number, first_row) - self._variance(zeros, number, first_row)
        single = self._of_quotients(floor, photons)
        variance = single * self._part(n_used, n_rejected, lit, single)
        # The master dark is the same in every flat, so that nothing averages its noise.
        inverse_square = float(np.mean(1 / np.array(self.levels) ** 2))
        variance += inverse_square * self._band(self.dark, value, number, first_row, "UNCERT")
        if self.method == "sum":
            variance *= n_used.astype("f8") ** 2
        # The level itself is as uncertain as a median of all pixels.
        typical = self._typical()
        variance += (value * level) ** 2 * (np.pi / 2 * typical / self._n_pixels)
        return _root(variance / level**2)

    def _of_quotients(self, floor: Pixels, photons: Pixels) -> Pixels:
        """Return the variance of a quotient as all together have it: flats are not equally bright.

        Parameters
        ----------
        floor
            The variance of a pixel without light, ADU squared.
        photons
            What one unit of light adds, over the level of a flat.
        """
        levels = np.array(self.levels)
        if self.weights:
            w = np.array(self.weights)
            shares = w**2 / (w**2).sum()
            return np.asarray(
                floor * (shares / levels**2).sum() + photons * (shares / levels).sum()
            )
        first, second = np.mean(1 / levels), np.mean(1 / levels**2)
        if self.method not in ("median", "lower-median"):
            return np.asarray(second * floor + first * photons)
        # Values that scatter little gather round the median: its variance follows from the mean
        # of their densities there, which are one over their deviations.
        sums = (
            np.mean(
                1
                / np.sqrt(
                    _PARTS[:, np.newaxis] / second / levels**2
                    + (1 - _PARTS[:, np.newaxis]) / first / levels
                ),
                axis=1,
            )
            ** -2.0
        )
        whole = second * floor + first * photons
        return np.asarray(whole * np.interp(second * floor / whole, _PARTS, sums))

    def _typical(self) -> float:
        """Return the variance of a pixel of the master whose response is that of most."""
        terms = [noise_terms(amplifier, self.readout) for amplifier in self.readout.amplifiers]
        floor, slope = np.mean(terms, axis=0).tolist()
        n = len(self.levels)
        single = self._of_quotients(np.array([floor]), np.array([slope * self.level.whole]))
        level = np.array([self.level.whole])
        used = np.array([n], "u2")
        return float(self._part(used, np.zeros(1, "u2"), level, single)[0] * single[0])

    @property
    def _n_pixels(self) -> int:
        return sum(shape[0] * shape[1] for shape in self.readout.shapes)

    def _variance(
        self, signal: Pixels, number: int, first_row: int, rounded: bool = True
    ) -> Pixels:
        found = signal_variance(signal, self.readout, number, first_row, rounded=rounded)
        return found.astype("f8")

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
