"""Nights below a sky of emission lines, whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

SHAPE = (160, 192)
GAIN, READ_NOISE_ADU, BIAS = 1.5, 4.0, 300
Y, X = np.indices(SHAPE)


@dataclass
class Observatory:
    """A telescope below a sky of emission lines, which shares no code with what it tests.

    Moonlight lies across each frame in its own way, by so large a part from side to side.
    """

    folder: Path
    fringes: float = 0.03
    sky_e: float = 900.0
    moves: float = 25.0
    moonlight: float = 0.0
    n_science: int = 12
    has_flats: bool = True
    dtype: str = "u2"
    offset: int = 0
    filter: str = "I"
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def __post_init__(self) -> None:
        wave = np.sin(2 * np.pi * (X / 17 + 0.6 * np.sin(Y / 31) + Y / 43))
        self.pattern = self.fringes * wave
        self.uneven = 1 + 0.06 * (X / SHAPE[1] - 0.5) + 0.04 * (Y / SHAPE[0] - 0.5)
        vignetting = 1 - 0.3 * ((X / SHAPE[1] - 0.5) ** 2 + (Y / SHAPE[0] - 0.5) ** 2)
        self.flat = vignetting * self.rng.normal(1, 0.01, SHAPE)
        self.truth: dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}
        self.number = 0
        for exptime_s in (60.0, 2.0):
            for _ in range(7):
                self.expose("dark", exptime_s, np.zeros(SHAPE))
        for _ in range(7 if self.has_flats else 0):
            self.expose("flat", 2.0, np.full(SHAPE, 30000.0))
        places = self.rng.uniform(0, 1, (14, 2)) * SHAPE
        light = 10 ** self.rng.uniform(3, 4.7, 14)
        for _ in range(self.n_science):
            moved = self.moves * self.rng.uniform(-1, 1, 2)
            stars = np.zeros(SHAPE)
            for (y, x), electrons in zip(places + moved, light, strict=True):
                profile = np.exp(-((Y - y) ** 2 + (X - x) ** 2) / 2 / 1.5**2)
                stars += electrons * profile / (2 * np.pi * 1.5**2)
            down, right = self.moonlight * self.rng.uniform(-0.5, 0.5, 2)
            moon = 1 + down * (Y / SHAPE[0] - 0.5) + right * (X / SHAPE[1] - 0.5)
            sky = self.sky_e * self.rng.uniform(0.7, 1.4) * moon
            name = self.expose("science", 60.0, sky * self.uneven * (1 + self.pattern) + stars)
            self.truth[name] = sky / GAIN, stars / GAIN

    def expose(self, kind: str, exptime_s: float, light_e: np.ndarray[Any, Any]) -> str:
        pixels = BIAS + self.rng.poisson(light_e * self.flat) / GAIN
        pixels = np.round(pixels + self.rng.normal(0, READ_NOISE_ADU, SHAPE))
        self.number += 1
        header = fits.Header()
        header["IMAGETYP"], header["EXPTIME"], header["FILTER"] = kind, exptime_s, self.filter
        header["GAIN"], header["RDNOISE"] = (GAIN, "e-/ADU"), READ_NOISE_ADU * GAIN
        header["DATE-OBS"] = f"2026-01-01T0{1 + self.number // 60}:{self.number % 60:02d}:00"
        name = f"{kind}-{self.number:03d}"
        self.folder.mkdir(parents=True, exist_ok=True)
        pixels = (pixels + self.offset).astype(self.dtype)
        fits.PrimaryHDU(pixels, header).writeto(self.folder / f"{name}.fits")
        return name

    def left(self, out: Path) -> np.ndarray[Any, Any]:
        """Return by what part of the sky calibrated frames differ from it, stars left out."""
        frames = []
        for name, (sky, stars) in self.truth.items():
            value = fits.getdata(out / f"{name}c.fits").astype("f8")
            frames.append(np.where(stars < 0.5, value / sky, np.nan))
        return np.asarray(np.nanmedian(frames, axis=0))
