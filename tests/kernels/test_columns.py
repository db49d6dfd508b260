"""Columns that stand out beside those next to them, at the edges of steep light too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daskred
from daskred.kernels.columns import CLEAR, columns_away
from tests.processes import run

NOISE = 40.0  # less than photons have


def columns_off(rows: Any) -> list[int]:
    found: list[int] = np.flatnonzero(columns_away(rows, NOISE) > CLEAR).tolist()
    return found


@pytest.mark.parametrize("width", [24, 64, 300])
@pytest.mark.parametrize("slope", [-20.0, 0.0, 20.0])
def test_slopes_are_no_columns(width: int, slope: float) -> None:
    """Light that falls off towards an edge falls off there too."""
    rng = np.random.default_rng(width)
    light = 5000 + slope * width * (np.arange(width) / width - 0.5) ** 2
    for _ in range(50):
        rows = light + rng.normal(0, NOISE, (64, width))
        assert columns_off(rows) == []


@pytest.mark.parametrize("column", [0, 1, 5, 32, 62, 63])
@pytest.mark.parametrize("slope", [-20.0, 20.0])
def test_a_column_is_found_wherever_it_is(column: int, slope: float) -> None:
    rng = np.random.default_rng(column)
    rows = 5000 + slope * np.arange(64) + rng.normal(0, NOISE, (64, 64))
    rows[:, column] += 12 * NOISE
    assert columns_off(rows) == [column]


@pytest.mark.parametrize("side", [48, 64])
def test_small_nights_have_no_columns_that_only_some_frames_show(tmp_path: Path, side: int) -> None:
    daskred.simulate(tmp_path / "night", shape=(side, side), n_darks=9, n_flats=31, n_science=31)
    status, told = run("inspect", tmp_path / "night")
    assert (status, "column" in told) == (0, False)
