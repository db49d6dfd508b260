"""A night in which things go wrong, one after the other; it shares no code with the package."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from astropy.io import fits

SHAPE = (300, 320)
N_FRAMES = 40
CLOUDED = range(9, 13)
TRAILED = (18,)
DEFOCUSED = range(23, 29)  # wider and wider, until somebody looks
HOT_COLUMN, HOT_FRAMES = 117, range(31, 34)
DAWN = range(37, 40)
_BEGIN = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
_N_STARS = 70
GAIN, BIAS_ADU, READ_NOISE_ADU = 1.5, 400.0, 4.0


def name_of(number: int) -> str:
    return f"m67-{number + 1:03d}.fits"


def _write(path: Path, electrons: np.ndarray, seed: int, **cards: object) -> None:
    rng = np.random.default_rng(seed)
    adu = rng.poisson(electrons) / GAIN + BIAS_ADU + rng.normal(0, READ_NOISE_ADU, SHAPE)
    header = fits.Header()
    header.update(cards)
    header["EGAIN"] = GAIN
    fits.PrimaryHDU(np.clip(np.round(adu), 0, 65535).astype("u2"), header).writeto(path)


def _stars(rng: np.random.Generator) -> np.ndarray:
    places = rng.uniform(12, np.array(SHAPE) - 12, (_N_STARS, 2))
    return np.column_stack([places, 10 ** rng.uniform(3.3, 4.8, _N_STARS)])


def _sky(stars: np.ndarray, fwhm: float, moved: tuple[float, float], along: float) -> np.ndarray:
    """Return the light of stars, each drawn out along columns by so many pixels."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = np.zeros(SHAPE)
    sigma = fwhm / 2.3548
    steps = np.linspace(-along / 2, along / 2, 9) if along else np.zeros(1)
    for row, column, flux in stars:
        for step in steps:
            distance = (y - row - moved[0] - step) ** 2 + (x - column - moved[1]) ** 2
            light += flux / len(steps) * np.exp(-distance / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    return light


def expose_night(folder: Path, n_frames: int = N_FRAMES, spoilt: bool = True) -> None:
    """Write bias frames, flats and science frames of an open cluster."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(67)
    stars = _stars(rng)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    response = 1 - 0.2 * ((y / SHAPE[0] - 0.5) ** 2 + (x / SHAPE[1] - 0.5) ** 2)
    for number in range(5):
        when = (_BEGIN - timedelta(minutes=60 - number)).strftime("%Y-%m-%dT%H:%M:%S")
        cards = {"DATE-OBS": when, "FILTER": "V"}
        _write(
            folder / f"bias-{number}.fits",
            np.zeros(SHAPE),
            1000 + number,
            IMAGETYP="bias",
            EXPTIME=0.0,
            **cards,
        )
        _write(
            folder / f"flat-{number}.fits",
            response * 30000,
            2000 + number,
            IMAGETYP="flat",
            EXPTIME=5.0,
            **cards,
        )
    for number in range(n_frames):
        cloud = 0.35 if spoilt and number in CLOUDED else 1.0
        fwhm = 3.0
        if spoilt and number in DEFOCUSED:
            fwhm += 0.6 * (number - DEFOCUSED.start + 1)
        along = 14.0 if spoilt and number in TRAILED else 0.0
        moved = (0.02 * number + rng.normal(0, 0.1), -0.03 * number + rng.normal(0, 0.1))
        sky = 150.0 * (2.0 ** (number - DAWN.start + 1) if spoilt and number in DAWN else 1.0)
        light = _sky(stars, fwhm, moved, along) * cloud + sky
        electrons = light * response
        if spoilt and number in HOT_FRAMES:
            electrons[:, HOT_COLUMN] += 60.0
        when = (_BEGIN + timedelta(minutes=6 * number)).strftime("%Y-%m-%dT%H:%M:%S")
        _write(
            folder / name_of(number),
            electrons,
            number,
            IMAGETYP="science",
            EXPTIME=60.0,
            FILTER="V",
            OBJECT="M67",
            **{"DATE-OBS": when},
        )
