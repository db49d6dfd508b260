"""How estimates scatter, beside experiments that numpy alone makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from daskred.kernels.reject import Method, Rejection
from daskred.kernels.spread import (
    combined_part,
    combined_parts,
    median_factor,
    rounding_variance,
)

N_TRIES = 40000
ESTIMATES: dict[Method, Callable[[Any], Any]] = {
    "median": lambda values: np.median(values, axis=0),
    "mean": lambda values: np.mean(values, axis=0),
    "lower-median": lambda values: np.sort(values, axis=0)[(len(values) - 1) // 2],
}


@pytest.mark.parametrize("n", [2, 3, 4, 5, 10, 15, 61, 100])
def test_the_factor_of_the_median_is_that_of_an_experiment(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(n, N_TRIES))
    found = n * np.var(np.median(values, axis=0))
    assert median_factor(n) == pytest.approx(found, rel=4 * np.sqrt(2 / N_TRIES))


def test_the_factor_of_the_median_comes_near_its_limit() -> None:
    assert median_factor(299) == pytest.approx(np.pi / 2, rel=4e-3)
    assert median_factor(300) == pytest.approx(median_factor(301), rel=6e-3)


@pytest.mark.parametrize("method", list(ESTIMATES))
@pytest.mark.parametrize("n", [1, 2, 3, 4, 10, 31, 60])
@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.6, 1.0, 2.0, 5.0])
def test_rounding_adds_what_an_experiment_shows(method: Method, n: int, sigma: float) -> None:
    rng = np.random.default_rng(n)
    truth = rng.uniform(0, 1, N_TRIES)
    step = 0.5
    values = step * np.round(truth + sigma * rng.normal(size=(n, N_TRIES)))
    scatter = np.var(ESTIMATES[method](values) - step * truth)
    single = (step * sigma) ** 2
    part = combined_parts(method, Rejection(), n)[n]
    stated = part * single + rounding_variance(method, n, np.array(single), step)
    assert stated == pytest.approx(scatter, rel=0.035)


def trimmed(values: Any) -> Any:
    return np.sort(values, axis=0)[2:-1].mean(axis=0)


@pytest.mark.parametrize("n", [5, 12, 40])
def test_a_trimmed_mean_is_better_than_its_number_of_values_tells(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(n, N_TRIES))
    found = combined_parts("mean", Rejection("minmax", low=2, high=1), n)
    assert found[n - 3] == pytest.approx(np.var(trimmed(values)), rel=0.03)


def clipped(values: Any, most: Any) -> Any:
    """Take values near the median in one round: simpler than any of ours, and so another one."""
    far = np.abs(values - np.median(values, axis=0)) > most
    return np.ma.array(values, mask=far)


def test_a_rejection_scatters_as_an_experiment_shows_for_each_number_of_values() -> None:
    values = np.random.default_rng(1).normal(size=(4, N_TRIES))
    kept = clipped(values, 1.5)
    found = combined_parts("mean", Rejection("noise", 1.5, 1.5, iterations=1), 4)
    for number in (2, 3, 4):
        some = kept.count(axis=0) == number
        assert found[number] == pytest.approx(np.var(kept.mean(axis=0)[some]), rel=0.05)


def test_where_more_is_rejected_than_chance_does_the_number_of_values_counts() -> None:
    found = combined_parts("mean", Rejection("noise", 5, 5), 30)
    assert found[20] == pytest.approx(1 / 20, rel=0.01)
    assert np.isnan(found[0])


def test_limits_that_are_parts_of_the_value_reject_more_where_it_is_faint() -> None:
    rejection = Rejection("percentile", 0.2, 0.2)
    values = 8 + np.random.default_rng(2).normal(size=(9, N_TRIES))
    kept = clipped(values, 0.2 * np.abs(np.median(values, axis=0)))
    used = kept.count(axis=0)
    stated = combined_part("mean", rejection, 9, used, np.full(N_TRIES, 8.0), np.ones(N_TRIES))
    error = (kept.mean(axis=0) - 8) / np.sqrt(stated)
    assert np.std(error) == pytest.approx(1, abs=0.01)
    bright = combined_part("mean", rejection, 9, np.array([9]), np.array([1000.0]), np.ones(1))
    assert bright == pytest.approx(1 / 9)
