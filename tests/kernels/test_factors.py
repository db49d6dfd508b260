"""By what factors flats differ: photons, read noise and rounding, with known levels.

Each case is one in which a level of single frames is blurred: what scatters least of their mode,
their median and their clipped mean is the measure for the refined levels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from astropy.stats import sigma_clipped_stats
from numpy.typing import NDArray

from daskred.arrays.factors import refined_levels, rows_of_factors
from daskred.kernels.factors import relative_factors
from daskred.kernels.level import light_of

Pixels = NDArray[np.float64]
ROWS, COLUMNS = (axis / 256 - 0.5 for axis in np.mgrid[:256, :256])
SMALL = np.ones((16, 16)) - 0.1 * (np.mgrid[:16, :16][0] / 16 - 0.5) ** 2
MILD = 1 - 0.1 * (ROWS**2 + COLUMNS**2)
STRONG = 1 - 1.2 * (ROWS**2 + COLUMNS**2)
HALF = np.where(COLUMNS > 0, 1.0, 0.001)
ECHELLE = np.where(np.arange(256)[:, None] % 25 < 5, np.exp(-4 * COLUMNS**2), 0.0005)
TWO = np.where(COLUMNS > 0, 1.3, 1.0)


def stars(rng: np.random.Generator, n: int, level: float) -> Pixels:
    light = np.zeros((256, 256))
    for row, column, flux in zip(
        rng.uniform(0, 256, n),
        rng.uniform(0, 256, n),
        0.3 * level * rng.pareto(1.2, n),
        strict=True,
    ):
        rows = slice(max(int(row) - 8, 0), int(row) + 9)
        columns = slice(max(int(column) - 8, 0), int(column) + 9)
        away = (256 * (ROWS[rows, columns] + 0.5) - row) ** 2
        away = away + (256 * (COLUMNS[rows, columns] + 0.5) - column) ** 2
        light[rows, columns] += flux / (2 * np.pi * 2.25) * np.exp(-away / 4.5)
    return light


def scatter(estimates: Any, levels: Pixels) -> float:
    ratios = np.asarray(estimates) / levels
    return float(np.std(ratios / ratios.mean()))


@pytest.mark.parametrize(
    ("response", "level", "n_stars", "n_frames"),
    [
        (SMALL, 20000, 0, 21),
        (MILD, 20000, 0, 21),
        (MILD, 20000, 0, 3),
        (MILD, 20000, 0, 2),
        (STRONG, 20000, 0, 21),
        (MILD, 20000, 100, 15),
        (MILD, 20000, 5000, 15),
        (HALF, 20000, 0, 21),
        (ECHELLE, 20000, 0, 21),
        (TWO, 20000, 0, 21),
        (MILD, 5, 0, 21),
    ],
    ids=[
        *("small", "mild vignetting", "three frames", "two frames", "strong vignetting"),
        *("twilight", "5000 stars", "half lit", "echelle", "two amplifiers", "low light"),
    ],
)
def test_no_estimate_of_single_frames_is_much_better(
    response: Pixels, level: float, n_stars: int, n_frames: int
) -> None:
    methods: dict[str, Callable[[Pixels], float]] = {
        "mode": lambda flat: light_of(flat, "mode").level,
        "median": lambda flat: float(np.median(flat)),
        "clipped mean": lambda flat: float(sigma_clipped_stats(flat)[0]),
    }
    found: dict[str, list[float]] = {name: [] for name in (*methods, "refined")}
    for seed in range(16 if n_frames < 10 else 3 if n_stars else 8):
        rng = np.random.default_rng(seed)
        levels = level * rng.uniform(0.97, 1.03, n_frames)
        flats = []
        for one in levels:
            light = one + (stars(rng, n_stars, level) if n_stars else 0.0)
            electrons = rng.poisson(light * response) + rng.normal(0, 3, response.shape)
            flats.append(np.round(electrons))
        estimates = {name: [method(flat) for flat in flats] for name, method in methods.items()}
        first = np.array(estimates["mode"])
        lit = np.array(flats).reshape(n_frames, -1) / first[:, np.newaxis]
        refined = refined_levels(first.tolist(), relative_factors(lit.astype("f4")))
        assert np.median(refined / first) == pytest.approx(1, abs=0.02)
        for name in methods:
            found[name].append(scatter(estimates[name], levels))
        found["refined"].append(scatter(refined, levels))
    mean = {name: float(np.mean(values)) for name, values in found.items()}
    assert mean["refined"] < 1.2 * min(mean[name] for name in methods), mean


def test_some_factors_are_those_of_all() -> None:
    flats = np.random.default_rng(3).normal(1, 0.01, (30, 500)).astype("f4")
    whole = relative_factors(flats)
    assert [*relative_factors(flats, range(10)), *relative_factors(flats, range(10, 30))] == whole


@pytest.mark.parametrize("n_frames", [3, 30])
def test_flats_without_light_or_values_keep_their_levels(n_frames: int) -> None:
    flats = np.random.default_rng(4).normal(1, 0.01, (n_frames, 400)).astype("f4")
    flats[1] = np.nan
    assert relative_factors(flats)[1] == 1
    assert relative_factors(np.zeros((n_frames, 400), "f4")) == [1.0] * n_frames
    assert relative_factors(flats[:, :5]) == [1.0] * n_frames
    assert relative_factors(np.ones((n_frames, 400), "f4")) == pytest.approx([1.0] * n_frames)


@pytest.mark.parametrize("n_frames", [3, 6, 30])
@pytest.mark.parametrize("dark_part", [0.1, 0.6, 1.0])
def test_a_flat_of_another_shape_harms_no_other(n_frames: int, dark_part: float) -> None:
    flats = np.random.default_rng(5).normal(1, 0.005, (n_frames, 4000)).astype("f4")
    flats[-1, : int(4000 * dark_part)] -= 1.002  # lit elsewhere, or not at all
    found = relative_factors(flats)
    # Of few flats all others may differ from what is common by one factor, which tells nothing.
    np.testing.assert_allclose(np.array(found[:-1]) / found[0], 1, atol=0.01)
    assert 0 < found[-1] < np.inf


@pytest.mark.parametrize(
    "shapes", [[(1, 7)], [(3, 5000), (4, 5000)], [(2048, 2048)], [(9, 1)], [(512, 4096)] * 61]
)
@pytest.mark.parametrize("n_frames", [2, 61, 5000])
def test_bands_lie_within_their_images(shapes: list[tuple[int, int]], n_frames: int) -> None:
    bands = rows_of_factors(shapes, n_frames)
    n_pixels = sum((rows.stop - rows.start) * shapes[number][1] for number, rows in bands)
    assert n_pixels * n_frames < 2**22 or len(bands) == 1 or n_frames == 5000
    if len(shapes) < 3 and n_frames < 5000:
        assert {number for number, _ in bands} == set(range(len(shapes)))
    for number, rows in bands:
        assert 0 <= rows.start < rows.stop <= shapes[number][0]
    places = [(number, row) for number, rows in bands for row in range(rows.start, rows.stop)]
    assert len(places) == len(set(places))
