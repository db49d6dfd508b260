"""A simulator of its own, which shares no code with what it tests: photons, noise, rounding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from daskred import Options, open_night, reduce_night
from daskred.engine.progress import Silent

SHAPE = (160, 192)

GAIN = 2.0

NIGHT = "2026-01-0"

Pixels = np.ndarray[Any, np.dtype[np.float64]]


@dataclass
class Telescope:
    """A camera and its lamp, with a truth that is drawn once.

    Parameters
    ----------
    read_noise_adu, gain
        Of each pixel; in electrons for one ADU.
    structure_adu
        How much the bias differs from pixel to pixel.
    n_overscan
        Columns to the right.
    current
        Electrons a second, on average.
    """

    folder: Path
    read_noise_adu: float = 4.0
    gain: float = GAIN
    structure_adu: float = 5.0
    n_overscan: int = 0
    current: float = 0.5
    seed: int = 1

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.rows = 1000 + self.rng.uniform(0, 1, (SHAPE[0], 1))
        self.structure = self.rng.normal(0, self.structure_adu, SHAPE)
        self.dark = self.current * self.rng.gamma(4, 0.25, SHAPE)
        y, x = np.indices(SHAPE)
        vignetting = 1 - 0.2 * ((y / SHAPE[0] - 0.5) ** 2 + (x / SHAPE[1] - 0.5) ** 2)
        self.flat = vignetting * self.rng.normal(1, 0.01, SHAPE)
        self.number = 0

    @property
    def bias(self) -> Pixels:
        """The level without light, less that of the overscan where there is one."""
        return self.structure if self.n_overscan else self.rows + self.structure

    def expose(self, kind: str, exptime_s: float, light_e: Pixels | float = 0.0) -> None:
        """Write a frame of so many electrons of light in front of the flat field."""
        electrons = self.rng.poisson(self.dark * exptime_s + light_e * self.flat)
        pixels = self.rows + self.structure + electrons / self.gain
        if self.n_overscan:
            pixels = np.hstack([pixels, np.repeat(self.rows, self.n_overscan, axis=1)])
        pixels = np.round(pixels + self.rng.normal(0, self.read_noise_adu, pixels.shape))
        header = fits.Header()
        header["IMAGETYP"], header["EXPTIME"], header["FILTER"] = kind, exptime_s, "V"
        header["GAIN"] = (self.gain, "e-/ADU")
        header["RDNOISE"] = (self.read_noise_adu * self.gain, "electrons")
        self.number += 1
        header["DATE-OBS"] = f"{NIGHT}1T01:{self.number // 60:02d}:{self.number % 60:02d}"
        if self.n_overscan:
            header["TRIMSEC"] = f"[1:{SHAPE[1]},1:{SHAPE[0]}]"
            header["BIASSEC"] = f"[{SHAPE[1] + 1}:{pixels.shape[1]},1:{SHAPE[0]}]"
        path = self.folder / f"{kind}-{self.number:04d}.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        fits.PrimaryHDU(pixels.astype("u2"), header).writeto(path)

    def reduce(self, **options: Any) -> Path:
        out = self.folder.parent / "out"
        alone = not list(self.folder.glob("science*"))
        chosen = Options(uncertainty=True, mask=True, threads=True, masters_only=alone, **options)
        summary = reduce_night(open_night(self.folder), out, chosen)
        assert not summary.failed
        return out


def pulls(path: Path, truth: Pixels, scaled: bool = False) -> Pixels:
    """Return residuals over their uncertainties; of flats, which are known but for a factor."""
    with fits.open(path) as hdus:
        value, sigma = hdus[0].data.astype("f8"), hdus["UNCERT"].data.astype("f8")
    factor = np.median(truth) / np.median(value) if scaled else 1.0
    return np.asarray((value * factor - truth) / (sigma * factor))


def scatter(pull: Pixels) -> float:
    return float(np.std(pull[np.abs(pull) < 6]))


class Heard(Silent):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, message: str) -> None:
        self.messages.append(message)
