"""What the uncertainty of a master follows from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.masterfiles import Masters
from daskred.arrays.normalised import MasterLevel
from daskred.kernels.noise import (
    add_above_levels,
    combined_rounding,
    noise_terms,
    scale_levels,
    signal_variance,
)
from daskred.kernels.reject import Method, Rejection
from daskred.kernels.spread import by_number, combined_part, unlike_variance
from daskred.model.plan import MasterKind, is_lit
from daskred.model.readout import Readout

Pixels = NDArray[np.float64]
# Between these parts of a pixel's variance that do not come from light, all others follow.
_PARTS = np.linspace(0, 1, 17)


class CombinedBand(NamedTuple):
    """Rows of what frames combine to.

    Parameters
    ----------
    value
        The master's pixels, of a flat divided by its level.
    n_used, n_rejected
        Of how many frames each is made, and how many were left out.
    number, first_row
        Of the image, and of the first of the rows in it.
    """

    value: Pixels
    n_used: NDArray[np.uint16]
    n_rejected: NDArray[np.uint16]
    number: int
    first_row: int

    @property
    def rows(self) -> slice:
        """Which rows of the image these are."""
        return slice(self.first_row, self.first_row + len(self.value))

    @classmethod
    def of_all(cls, value: Pixels, n_frames: int, number: int = 0, first_row: int = 0) -> Self:
        """Return rows of what all of so many frames combine to, none left out."""
        n_used = np.full(value.shape, n_frames, "u2")
        return cls(value, n_used, np.zeros(value.shape, "u2"), number, first_row)


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
        Of flats, the masters that are subtracted; of the sky also the flat that divides.
    zero_levels
        Of darks that neither of them tells the level without current: that of each amplifier, by
        their scatter; empty where that is not known either.
    excess
        By how much frames vary more than gain and read noise tell, of each amplifier; empty where
        they do not.
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
    zero_levels: tuple[float, ...] = ()
    excess: tuple[float, ...] = ()

    def single(self, band: CombinedBand, rounded: bool = True) -> Pixels:
        """Return the variance of one frame where a band of the master lies; of flats, of quotients.

        Parameters
        ----------
        band
            The band.
        rounded
            Whether rounding to whole numbers counts.
        """
        if is_lit(self.kind):
            over = self._over(band)
            found = self._single_of_flat(band._replace(value=band.value * over)) / over**2
        else:
            mean = self._mean(band, band.value)
            found = self._variance(self._above_zero(mean, band), band, rounded)
        return self._with_excess(found, band)

    def _with_excess(self, variance: Pixels, band: CombinedBand) -> Pixels:
        """Scale variances, in place, where frames vary more than gain and read noise tell."""
        if self.excess:
            scale_levels(variance, self.excess, self.readout, band.number, band.first_row)
        return variance

    def _single_of_flat(self, band: CombinedBand) -> Pixels:
        zeros = np.zeros_like(band.value)
        current = np.maximum(self._above_zero(self._rows(self.dark, band), band), 0.0)
        lit = self._mean(band, band.value * self._level_of(band))
        photons = self._variance(lit, band) - self._variance(zeros, band)
        return self._of_quotients(self._variance(current, band), photons)

    def _over(self, band: CombinedBand) -> Any:
        """Return what frames of the sky are divided by besides their levels; 1 for all others."""
        if self.kind != "sky" or self.dark is None:
            return 1.0
        over = self.dark.divisor_rows(band.number, band.rows)
        return 1.0 if over is None else over.astype("f8")

    def _level_of(self, band: CombinedBand) -> Any:
        return self.level.of(band.number, band.first_row, band.value.shape)

    def sigma(self, band: CombinedBand) -> NDArray[np.float32]:
        """Return one standard deviation of a band of the master."""
        if is_lit(self.kind):
            over = self._over(band)
            variance = self._variance_of_flat(band._replace(value=band.value * over))
            return _root(variance / over**2)
        mean = self._mean(band, band.value)
        single = self.single(band, rounded=False)
        variance = single * self._part(band, mean, single)
        variance += combined_rounding(
            single,
            band.n_used,
            (self.method, self.rejection),
            self.readout,
            band.number,
            band.first_row,
        )
        return _root(self._of_sum(band, variance))

    def _mean(self, band: CombinedBand, combined: Pixels) -> Pixels:
        """Return what one frame has on average: of a sum, a part."""
        return combined / np.maximum(band.n_used, 1) if self.method == "sum" else combined

    def _of_sum(self, band: CombinedBand, variance: Pixels) -> Pixels:
        """Return the variance of what is combined, given that of a mean."""
        return variance * band.n_used.astype("f8") ** 2 if self.method == "sum" else variance

    def _above_zero(self, value: Pixels, band: CombinedBand) -> Pixels:
        """Return how much light, and dark current, pixels hold."""
        if self.kind == "bias":
            return np.zeros_like(value)
        if self.zero is None and not self.readout.is_above_bias:
            if not self._levels:
                return np.zeros_like(value)
            above = np.zeros_like(value)
            add_above_levels(above, value, self._levels, self.readout, band.number, band.first_row)
            return above
        return np.asarray(value - self._rows(self.zero, band))

    @property
    def _levels(self) -> tuple[float, ...]:
        """The level of each amplifier without dark current, as darks tell it."""
        levels = self.zero_levels or (self.dark.zero_levels() if self.dark else ())
        return levels if len(levels) == len(self.readout.amplifiers) else ()

    def _part(self, band: CombinedBand, value: Pixels, single: Pixels) -> Pixels:
        """Return the variance of a mean, or median, over that of a single value."""
        n_good = band.n_used + band.n_rejected
        part = np.full(n_good.shape, np.nan)
        for n, where in by_number(n_good):
            if n:
                pixels = band.n_used[where], value[where], single[where]
                part[where] = combined_part(self.method, self.rejection, n, *pixels)
        if self.weights:
            w = np.array(self.weights)
            # A weighted mean is as good as one of fewer frames.
            part *= len(w) * (w**2).sum() / w.sum() ** 2
        return part

    def _variance_of_flat(self, band: CombinedBand) -> Pixels:
        level = self._level_of(band)
        lit = self._mean(band, band.value * level)
        single = self._with_excess(self._single_of_flat(band), band)
        variance = single * self._part(band, lit, single)
        # The master dark is the same in every flat, so that nothing averages its noise.
        shared = float(np.sum(self._shares() / np.array(self.levels)))
        variance += shared**2 * self._rows(self.dark, band, "UNCERT")
        variance = self._of_sum(band, variance)
        # The level itself is as uncertain as a median of all pixels.
        typical = self._typical()
        variance += (band.value * level) ** 2 * (np.pi / 2 * typical / self._n_pixels)
        return np.asarray(variance / level**2)

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
        whole = second * floor + first * photons
        return np.asarray(whole * np.interp(second * floor / whole, _PARTS, self._of_unlike))

    @cached_property
    def _of_unlike(self) -> list[float]:
        """By what factor the median of unlike flats scatters less, for each part of the floor.

        Values that scatter little gather round the median.
        """
        levels = np.array(self.levels)
        first, second = np.mean(1 / levels), np.mean(1 / levels**2)
        return [
            unlike_variance(np.sqrt(part / second / levels**2 + (1 - part) / first / levels))
            for part in _PARTS.tolist()
        ]

    def _shares(self) -> NDArray[np.float64]:
        """Return by what part each flat moves what they combine to, where all move alike."""
        if self.weights:
            shares = np.array(self.weights)
        elif self.method in ("median", "lower-median"):  # by the density of its values there
            levels, (floor, photons) = np.array(self.levels), self._typical_terms()
            shares = 1 / np.sqrt(floor / levels**2 + photons / levels)
        else:
            shares = np.ones(len(self.levels))
        return np.asarray(shares / shares.sum())

    def _typical_terms(self) -> tuple[float, float]:
        """Return the variance of a pixel without light, and what its light adds in a flat."""
        terms = [noise_terms(amplifier, self.readout) for amplifier in self.readout.amplifiers]
        floor, slope = np.mean(terms, axis=0).tolist()
        return floor, slope * self.level.whole

    def _typical(self) -> float:
        """Return the variance of a pixel of the master whose response is that of most."""
        floor, photons = self._typical_terms()
        n = len(self.levels)
        single = self._of_quotients(np.array([floor]), np.array([photons]))
        level = np.array([self.level.whole])
        band = CombinedBand.of_all(level, n)
        return float((self._part(band, level, single) * single)[0])

    @property
    def _n_pixels(self) -> int:
        return sum(shape[0] * shape[1] for shape in self.readout.shapes)

    def _variance(self, signal: Pixels, band: CombinedBand, rounded: bool = True) -> Pixels:
        found = signal_variance(signal, self.readout, band.number, band.first_row, rounded=rounded)
        return found.astype("f8")

    def _rows(self, masters: Masters | None, band: CombinedBand, plane: str = "") -> Pixels:
        """Return rows of what masters subtract, or of its variance; zero where there is none."""
        if masters is None:
            return np.zeros_like(band.value)
        return masters.rows(band.number, self.readout.shapes[band.number], band.rows, plane)


def _root(variance: Pixels) -> NDArray[np.float32]:
    sigma: NDArray[np.float32] = np.sqrt(variance).astype("f4")
    return sigma
