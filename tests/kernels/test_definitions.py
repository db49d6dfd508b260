"""Rejections beside those of other programs, as their manuals define them, column by column.

The plain loops here were held against the programs themselves: that of Siril 1.0.6 gives all pixels
but one in 10,000, that of IRAF 2.17 all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from daskred.kernels.reject import Rejection, combine_frames

Column = np.ndarray[Any, Any]
LEFT = 4  # values that Siril leaves at least, counting those that are gone twice


def siril(column: Column, drawn_in: bool) -> Column:
    """Return what Siril's sigma clipping leaves, or its winsorized clipping."""
    column, gone = np.sort(column), 0
    while len(column) > LEFT - 1:
        centre, sigma = np.median(column), np.std(column, ddof=1)
        values, settled = column, not drawn_in
        while not settled:
            values = np.clip(values, centre - 1.5 * sigma, centre + 1.5 * sigma)
            now = 1.134 * np.std(values, ddof=1)
            settled, sigma = abs(now - sigma) <= 5e-4 * sigma, now
        out = np.abs(column - centre) > 3 * sigma
        out &= np.cumsum(out) <= max(len(column) - gone - LEFT, 0)
        gone += int(out.sum())
        if not out.any():
            break
        column = column[~out]
    return column


def iraf(column: Column, sigma: Callable[[Column], float]) -> Column:
    """Return what a clipping of IRAF's imcombine about the median leaves."""
    while len(column) > 1:
        inside = np.abs(column - np.median(column)) <= 3 * sigma(column)
        if inside.all() or not inside.any():
            break
        column = column[inside]
    return column


def frames(n: int, spread: float = 10.0, signal: float = 1000.0) -> Any:
    rng = np.random.default_rng(n)
    values = rng.normal(signal, spread, (n, 40, 50))
    hit = rng.random(values.shape) < 0.02
    values[hit] += rng.uniform(100, 5000, hit.sum())
    return values


def used_by(values: Any, keep: Callable[[Column], Column]) -> Any:
    columns = values.reshape(len(values), -1).T
    return np.array([len(keep(column)) for column in columns]).reshape(values.shape[1:])


def equal(found: Any, other: Any) -> float:
    return float(np.mean(found.n_used == other))


@pytest.mark.parametrize(("n", "least"), [(10, 0.99), (25, 0.997)])
def test_winsorized_is_that_of_siril(n: int, least: float) -> None:
    values = frames(n)
    found = combine_frames(values, "mean", Rejection("winsorized", 3, 3, 5))
    assert equal(found, used_by(values, lambda column: siril(column, drawn_in=True))) > least


def test_sigma_of_siril_is_wider_by_its_degrees_of_freedom() -> None:
    """The reason is named: with limits that are wider by as much, hardly a pixel differs."""
    n, values = 25, frames(25)
    theirs = used_by(values, lambda column: siril(column, drawn_in=False))
    found = combine_frames(values, "mean", Rejection("sigma", 3, 3, 9, "median", "std"))
    assert 0.96 < equal(found, theirs) < 0.999
    wider = 3 * np.sqrt(n / (n - 1))
    found = combine_frames(values, "mean", Rejection("sigma", wider, wider, 9, "median", "std"))
    assert equal(found, theirs) > 0.99


@pytest.mark.parametrize("n", [5, 9, 25])
def test_noise_is_ccdclip_of_iraf(n: int) -> None:
    """Of pixels above the bias, without rounding: so many values stay in each pixel."""
    read_noise, gain = 4.0, 1.5
    rng = np.random.default_rng(n)
    signal = rng.uniform(5, 2000, (40, 50))
    values = (rng.poisson(np.broadcast_to(signal * gain, (n, 40, 50))) / gain).astype("f8")
    values += rng.normal(0, read_noise, values.shape)
    hit = rng.random(values.shape) < 0.02
    values[hit] += rng.uniform(100, 5000, hit.sum())

    def sigma(column: Column) -> float:
        return float(np.sqrt(read_noise**2 + max(np.median(column), 0) / gain))

    terms = (read_noise**2, 1 / gain, 0.0)
    found = combine_frames(values, "mean", Rejection("noise", 3, 3, 9), noise=terms)
    assert equal(found, used_by(values, lambda column: iraf(column, sigma))) == 1.0


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 3)])
def test_minmax_is_that_of_iraf_at_any_number(low: int, high: int) -> None:
    values = frames(25)
    found = combine_frames(values, "mean", Rejection("minmax", low, high))
    ordered = np.sort(values, axis=0)[low : 25 - high]
    np.testing.assert_allclose(found.value, ordered.mean(axis=0), rtol=1e-12)


def test_a_tail_without_outliers_is_kept_as_siril_keeps_it() -> None:
    """Gaussian values lose hardly any: as many as in Siril, within a tenth of them."""
    values = np.random.default_rng(2).normal(0, 1, (15, 60, 60))
    found = combine_frames(values, "mean", Rejection("winsorized", 3, 3, 5))
    theirs = 15 - used_by(values, lambda column: siril(column, drawn_in=True))
    assert found.n_rejected.mean() == pytest.approx(theirs.mean(), rel=0.1)
    assert 0.05 < theirs.mean() < 0.3
