"""Columns, parts of columns and clusters: found where they are, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from daskred.kernels.defects import (
    COLUMN_SIGMA,
    PULLED,
    Columns,
    bad_columns,
    clusters_of,
)
from daskred.kernels.neighbours import Pixels, deviations, local_median
from daskred.measure.limits import BEYOND
from daskred.model.readout import Section

SHAPE = (512, 128)
ROWS, COLUMNS = np.indices(SHAPE)


def found_in(image: Pixels) -> Columns:
    local = local_median(image)
    away, sigma = deviations(image, local)
    return bad_columns(away, local / sigma)


@pytest.mark.parametrize("pattern", [0.0, 0.3])
def test_whole_columns_at_the_limit_are_found(pattern: float) -> None:
    """Also where columns differ anyway, as those of a CMOS detector do."""
    n_found = n_others = 0
    places = [15, 40, 65, 90, 115]
    for seed in range(14):
        rng = np.random.default_rng(seed)
        image = rng.normal(100, 4, SHAPE) + rng.normal(0, 4 * pattern, SHAPE[1])
        step = (COLUMN_SIGMA + BEYOND) * found_in(image).spread * 4 * PULLED
        image[:, places] -= step
        columns = {section.columns[0] for section in found_in(image).sections}
        n_found += len(columns & set(places))
        n_others += len(columns - set(places))
    assert n_found >= 0.98 * 14 * len(places) - 4
    assert n_others <= 1


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize(("first", "last"), [(100, 512), (0, 300), (200, 260)])
def test_parts_of_columns_are_found_with_their_ends(width: int, first: int, last: int) -> None:
    away = np.random.default_rng(1).normal(0, 1, SHAPE)
    away[first:last, 60 : 60 + width] += 2.0
    found = bad_columns(away, np.zeros(SHAPE)).sections
    assert [s.columns[0] for s in found] == list(range(60, 60 + width))
    for section in found:
        assert section.rows[0] == pytest.approx(first, abs=8)
        assert section.rows[1] == pytest.approx(last, abs=8)


LIGHT = {
    "none": 1000.0 + 0 * ROWS,
    "a step between amplifiers": np.where(COLUMNS < 64, 1000.0, 300.0),
    "a slit": np.where(abs(COLUMNS - 60) < 20, 3000.0, 30.0),
    "a trace": 50 + 3000 * np.exp(-((COLUMNS - 60) ** 2) / 2 / 4**2),
    "a slope": 20.0 + 30 * COLUMNS,
    "vignetting": 4000 - (COLUMNS - 64.0) ** 2 * 0.9,
}


@pytest.mark.parametrize("name", LIGHT)
@pytest.mark.parametrize("seed", range(3))
def test_light_and_noise_make_no_columns(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert found_in(rng.poisson(LIGHT[name]).astype("f8")).sections == []
    # Whole numbers, columns that each have a level of their own, and single bad pixels.
    image = np.round(rng.normal(100, 1.5, SHAPE) + rng.normal(0, 0.4, SHAPE[1]))
    image[tuple(rng.integers(0, SHAPE, (300, 2)).T)] += 500
    assert found_in(image).sections == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (400, 3), (15, 50)])
def test_what_is_too_small_has_no_columns(shape: tuple[int, int]) -> None:
    away = np.zeros(shape)
    away[:, 0] = 5.0
    assert bad_columns(away, np.zeros(shape)) == ([], np.inf)


def test_clusters_are_what_touches() -> None:
    bad = np.random.default_rng(1).random((60, 80)) < 0.2
    labels, number = label(bad, np.ones((3, 3)))
    sizes = np.bincount(labels.reshape(-1))[1:]
    found = list(clusters_of(bad, 5))
    assert sorted(count for _, count in found) == sorted(sizes[sizes >= 5].tolist())
    for section, count in found:
        assert np.count_nonzero(bad[section.slices]) >= count
    assert list(clusters_of(np.zeros((4, 4), bool), 1)) == []
    assert number > len(found) > 0
    assert str(Section((0, 4), (1, 3))) == "[2:3,1:4]"
