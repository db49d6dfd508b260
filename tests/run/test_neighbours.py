"""Science frames beside each other: clouds, jumps, trails stand out; drifts, dithers do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from daskred import Options, Summary, open_night, reduce_night
from tests.conftest import NightMaker

SHAPE = (128, 160)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]


def field(seed: int, n_stars: int = 70) -> NDArray[np.float64]:
    """Return rows, columns and light of stars, some of them beyond the edges."""
    random = np.random.default_rng(seed)
    return np.stack(
        [
            random.uniform(-30, SHAPE[0] + 30, n_stars),
            random.uniform(-30, SHAPE[1] + 30, n_stars),
            6000 * (random.pareto(1.5, n_stars) + 0.5),
        ]
    )


def exposure(
    stars: NDArray[np.float64],
    random: np.random.Generator,
    shift: tuple[float, float] = (0.0, 0.0),
    sigma: float = 1.6,
    light: float = 1.0,
    sky: float = 300.0,
) -> Any:
    """Return a frame of a field: offset, sky, stars, photon noise, a few cosmic rays."""
    image = np.full(SHAPE, sky)
    for row, column, flux in stars.T:
        distance = (Y - row - shift[0]) ** 2 + (X - column - shift[1]) ** 2
        image += light * flux / (2 * np.pi * sigma**2) * np.exp(-distance / (2 * sigma**2))
    frame = random.poisson(image) + random.normal(500, 5, SHAPE)
    for row, column in random.integers(0, SHAPE[0] - 6, (3, 2)):
        frame[row : row + 3, column : column + 2] += 2000
    return np.rint(frame).clip(0, 65535).astype("u2")


Series = Callable[[int, np.random.Generator], dict[str, Any]]
A, B = field(1), field(2)
SOUND: dict[str, Series] = {
    "a field that is followed": lambda n, random: {"stars": A},
    "a drift": lambda n, random: {"stars": A, "shift": (1.3 * n, -0.9 * n)},
    "dithers": lambda n, random: {"stars": A, "shift": tuple(random.uniform(-25, 25, 2))},
    "small dithers": lambda n, random: {"stars": A, "shift": tuple(random.uniform(-8, 8, 2))},
    "seeing that changes": lambda n, random: {"stars": A, "sigma": random.uniform(1.2, 2.2)},
    "thin clouds": lambda n, random: {"stars": A, "light": random.uniform(0.6, 1.0)},
    "dawn": lambda n, random: {"stars": A, "sky": 300 * 1.2**n},
    "two fields, one after the other": lambda n, random: {"stars": A if n < 5 else B},
    "two fields in turn": lambda n, random: {"stars": A if n % 2 else B},
    "hardly any star": lambda n, random: {"stars": A[:, :2]},
    "no star": lambda n, random: {"stars": A[:, :0]},
}
SPOILT: dict[str, tuple[dict[str, Any], str]] = {
    "a cloud": ({"light": 0.15}, "times the light of those of the frames beside it"),
    "a jump": ({"shift": (45.0, 60.0)}, "its stars are elsewhere"),
    "a trail": ({"trail": (0.0, 14.0)}, "trails, or what crossed it?"),
    "a trail askew": ({"trail": (9.0, 9.0)}, "trails, or what crossed it?"),
    "a satellite": ({"satellite": 900.0}, "cross"),
}


def frame_of(random: np.random.Generator, spoil: dict[str, Any]) -> Any:
    trail, satellite = spoil.pop("trail", None), spoil.pop("satellite", 0.0)
    if trail:
        parts = [(trail[0] * k / 20, trail[1] * k / 20) for k in range(-10, 11)]
        stars = np.concatenate([A + np.array([[y], [x], [0]]) for y, x in parts], axis=1)
        stars[2] /= len(parts)
        return exposure(stars, random)
    frame = exposure(**{"stars": A, "random": random, **spoil}).astype("f8")
    frame += satellite * np.exp(-((X - 0.7 * Y - 20) ** 2) / 8)
    return frame.clip(0, 65535).astype("u2")


def reduced(night: NightMaker, out: Path, frames: list[Any]) -> Summary:
    night.shape = SHAPE
    for n in range(4):
        night.add(f"d{n}.fits", "Dark", 500, 30.0)
        night.add(f"f{n}.fits", "Flat", 20000, 30.0)
    for number, pixels in enumerate(frames):
        path = night.add(f"s{number:02d}.fits", "Light", 0, 30.0)
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = pixels
            hdus[0].header["DATE-OBS"] = f"2024-01-01T01:{number:02d}:00"
    summary = reduce_night(open_night(night.folder), out, Options(missing_flat=True))
    assert not summary.failed
    return summary


@pytest.mark.parametrize("series", SOUND)
def test_nothing_is_said_of_sound_series(
    make_night: NightMaker, tmp_path: Path, series: str
) -> None:
    random = np.random.default_rng(7)
    frames = [exposure(random=random, **SOUND[series](n, random)) for n in range(10)]
    assert reduced(make_night, tmp_path / "out", frames).named == ()


# A jump of the first or the last frame may be another field.
PLACES = [(way, n) for way in SPOILT for n in (0, 1, 4, 8) if way != "a jump" or n in (1, 4)]


@pytest.mark.parametrize(("way", "place"), PLACES)
def test_what_happened_to_one_frame_is_named(
    make_night: NightMaker, tmp_path: Path, way: str, place: int
) -> None:
    random = np.random.default_rng(9)
    spoil, said = SPOILT[way]
    frames = [frame_of(random, dict(spoil) if n == place else {}) for n in range(9)]
    (text,) = reduced(make_night, tmp_path / "out", frames).named
    assert text.startswith(f"s{place:02d}.fits stands out: ")
    assert said in text


@pytest.mark.parametrize("value", [0, 7, 900])
@pytest.mark.parametrize("rows", [10, 70, 120])
def test_a_frame_that_was_not_read_out_whole_is_named(
    make_night: NightMaker, tmp_path: Path, rows: int, value: int
) -> None:
    random = np.random.default_rng(11)
    frames = [exposure(random=random, stars=A) for _ in range(5)]
    frames[2][-rows:] = value
    named = reduced(make_night, tmp_path / "out", frames).named
    assert any(text.startswith("s02.fits stands out: ") for text in named)
    assert any("was it read out whole?" in text for text in named if "s02" in text)
    assert not any("s01" in text or "s03" in text for text in named)
