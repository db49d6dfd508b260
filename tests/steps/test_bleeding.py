"""Trails of saturated stars, with charge that is counted: what ran over is flagged, no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import Options, open_night, reduce_night
from daskred.kernels.bleeding import trails
from daskred.model.mask import SATURATED

FULL = 30000.0
SHAPE = (300, 200)


def stars(places: list[tuple[float, float, float]], width: float, halo: float) -> Any:
    """Return the light of stars, with the halo that real ones have (Moffat 1969)."""
    y, x = np.indices(SHAPE)
    light = np.full(SHAPE, 100.0)
    for row, column, total in places:
        square = (y - row) ** 2 + (x - column) ** 2
        core = np.exp(-square / 2 / width**2) / (2 * np.pi * width**2)
        light += total * (0.9 * core + 0.1 * (halo - 1) / np.pi / width**2
                          * (1 + square / width**2) ** -halo)  # fmt: skip
    return light


def overflowing(light: Any) -> tuple[Any, Any]:
    """Let what is above full well run along columns, half up and half down; say where it went."""
    pixels, into = light.copy(), np.zeros(SHAPE, bool)
    for column in np.flatnonzero((light > FULL).any(axis=0)):
        line = pixels[:, column]
        full = np.flatnonzero(line > FULL)
        spare = float((line[full] - FULL).sum())
        line[full] = FULL
        for step, row in ((-1, full[0] - 1), (1, full[-1] + 1)):
            left = spare / 2
            while left > 0 and 0 <= row < SHAPE[0]:
                room = min(FULL - line[row], left)
                line[row] += room
                left -= room
                into[row, column] = room > 300  # as charge that is seen
                row += step
    return pixels, into


@pytest.mark.parametrize("width", [1.2, 2.0, 4.0])
@pytest.mark.parametrize("halo", [2.5, 3.5])
def test_trails_are_as_long_as_the_charge_reaches(width: float, halo: float) -> None:
    rng = np.random.default_rng(3)
    places = [(150, 60, 4e6), (120, 130, 1.2e7), (40, 170, 1.5e6), (250, 20, 8e6)]
    places += [(r, c, 3e5) for r, c in rng.uniform(20, 180, (6, 2)).tolist()]
    light = stars(
        [(r + rng.random(), c + rng.random(), total) for r, c, total in places], width, halo
    )
    pixels, into = overflowing(light)
    seen = rng.normal(rng.poisson(pixels), 5)
    saturated = pixels >= FULL
    found = trails(seen, saturated) | saturated
    charge = np.maximum(pixels - light, 0)
    assert charge[found].sum() >= 0.99 * charge.sum()
    assert (found & ~into & ~saturated).sum() <= 0.01 * found.sum()


@pytest.mark.parametrize("length", [1.0, 1.1, 1.3])
@pytest.mark.parametrize("width", [1.5, 3.0])
@pytest.mark.parametrize("halo", [2.5, 3.5])
def test_stars_without_trails_have_none(width: float, halo: float, length: float) -> None:
    """Cut off at full well, whose charge has gone nowhere, also of stars that are longer."""
    rng = np.random.default_rng(4)
    places = [
        (y / length + rng.random(), x + rng.random(), 4e6) for y in (50, 150) for x in (50, 150)
    ]
    places += [(0, 100, 2e6), (299 / length, 199, 2e6)]
    light = np.empty(SHAPE)
    round_light = stars(places, width, halo)
    rows = np.minimum(np.arange(SHAPE[0]) / length, SHAPE[0] - 1)
    for column in range(SHAPE[1]):
        light[:, column] = np.interp(rows, np.arange(SHAPE[0]), round_light[:, column])
    light = np.minimum(light, FULL)
    saturated = light >= FULL
    found = trails(rng.normal(rng.poisson(light), 5), saturated)
    # Of a column that is a little longer than a star makes it, the next pixel.
    assert found.sum() <= 3 * len(places)


def test_what_is_long_and_bright_is_no_trail() -> None:
    rng, (y, x) = np.random.default_rng(1), np.indices(SHAPE)

    def n_found(light: Any, saturated: Any) -> int:
        return int(trails(rng.normal(100 + light, 5), saturated).sum())

    galaxy = 20000 * np.exp(-(((y - 150) / 80) ** 2) / 2 - ((x - 100) / 12) ** 2 / 2)
    assert n_found(galaxy, galaxy > 18000) < 0.1 * (galaxy > 18000).sum()
    star = 3e5 * np.exp(-((y - 150) ** 2 + (x - 100) ** 2) / 18)
    companion = 2e4 * np.exp(-((y - 166) ** 2 + (x - 100) ** 2) / 18)
    assert n_found(star + companion, star > 6e4) <= 4
    spectrum = 5000 * np.exp(-((x - 100) ** 2) / 18.0) * np.ones(SHAPE)
    line = (abs(y - 150) < 3) & (abs(x - 100) < 3)
    assert n_found(spectrum, line) <= 6
    nothing = np.zeros(SHAPE)
    hot = np.zeros(SHAPE, bool)
    hot[30, 30] = True
    assert n_found(nothing, hot) == n_found(nothing, hot & False) == 0
    assert not trails(np.full(SHAPE, np.nan), star > 6e4).any()
    assert n_found(1e4 * (y == 150), y == 150) == 0


def test_a_run_flags_trails_unless_it_is_told_not_to(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    light, _ = overflowing(stars([(150, 100, 1e6)], 2.0, 3.0))
    into = np.zeros(SHAPE, bool)
    into[60:140, 100] = into[165:240, 100] = True  # not full, so not saturated by itself
    light[60:240, 100] = np.maximum(light[60:240, 100], 20000.0)
    for name, kind, pixels in (
        ("d1", "dark", np.full(SHAPE, 500.0)),
        ("d2", "dark", np.full(SHAPE, 500.0)),
        ("s", "science", 500 + light),
    ):
        header = fits.Header({"IMAGETYP": kind, "EXPTIME": 10.0, "SATURATE": FULL + 400})
        noisy = rng.normal(pixels, 5).round().clip(0, 65535).astype("u2")
        (tmp_path / "night").mkdir(exist_ok=True)
        fits.PrimaryHDU(noisy, header).writeto(tmp_path / "night" / f"{name}.fits")
    night = open_night(tmp_path / "night")
    masks = {}
    for bleeding in (True, False):
        out = tmp_path / f"out{bleeding}"
        reduce_night(night, out, Options(mask=True, missing_flat=True, bleeding=bleeding))
        masks[bleeding] = fits.getdata(out / "sc.fits", "MASK") & SATURATED != 0
    assert masks[True][into].all()
    assert not masks[False][into].any()
