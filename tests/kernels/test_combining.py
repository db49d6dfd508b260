"""Combining and rejection against numpy, astropy and plain loops; noise against experiments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from astropy.stats import sigma_clip
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from daskred.kernels.combine import combined_flat_tile, combined_tile
from daskred.kernels.noise import add_flat_variance, sigma_of
from daskred.kernels.reject import Rejection, combine_frames

Column = np.ndarray[Any, Any]


def stack(n_frames: int = 31, holes: float = 0.02) -> Any:
    rng = np.random.default_rng(n_frames)
    values = rng.normal(1000, 10, (n_frames, 20, 30))
    values[rng.random(values.shape) < 0.03] += rng.exponential(300)
    values[rng.random(values.shape) < holes] = np.nan
    return values


def column_by_column(values: Any, keep: Callable[[Column], Column]) -> tuple[Any, Any]:
    """Return mean and number of what is kept of each column's numbers: the slow, plain way."""
    flat = values.reshape(len(values), -1)
    means, numbers = [], []
    for column in flat.T:
        kept = keep(column[np.isfinite(column)])
        means.append(kept.mean() if len(kept) else np.nan)
        numbers.append(len(kept))
    shape = values.shape[1:]
    return np.reshape(means, shape), np.reshape(numbers, shape)


def clip(centre: Any, scale: Any, low: float, high: float, rounds: int) -> Callable[..., Column]:
    def keep(column: Column) -> Column:
        for _ in range(rounds if len(column) else 0):
            middle, width = centre(column), scale(column)
            inside = (column >= middle - low * width) & (column <= middle + high * width)
            if inside.all() or not inside.any():
                break
            column = column[inside]
        return column

    return keep


def mad(column: Column) -> Any:
    return 1.482602218505602 * np.median(np.abs(column - np.median(column)))


@pytest.mark.parametrize("n_frames", [1, 2, 3, 8, 31, 300])
@pytest.mark.parametrize(
    ("rejection", "centre", "scale"),
    [
        (Rejection("sigma", 3, 3, 9), np.median, mad),
        (Rejection("sigma", 2, 3, 2), np.median, mad),
        (Rejection("sigma", 2.5, 2, 9, "median", "std"), np.median, np.std),
        (Rejection("sigma", 2.5, 2, 9, "mean", "mad"), np.mean, mad),
        (Rejection("sigma", 3, 2, 1, "mean", "std"), np.mean, np.std),
    ],
)
def test_clipping_is_that_of_a_plain_loop(
    n_frames: int, rejection: Rejection, centre: Any, scale: Any
) -> None:
    values = stack(n_frames)
    keep = clip(centre, scale, rejection.low, rejection.high, rejection.iterations)
    mean, number = column_by_column(values, keep)
    found = combine_frames(values, "mean", rejection)
    np.testing.assert_array_equal(found.n_used, number)
    np.testing.assert_allclose(found.value, mean, rtol=1e-12)
    n_good = np.isfinite(values).sum(axis=0)
    np.testing.assert_array_equal(found.n_rejected, n_good - number)


def test_clipping_by_deviation_is_that_of_astropy() -> None:
    values = stack()
    kept = sigma_clip(np.ma.masked_invalid(values), sigma=3, maxiters=5, axis=0, stdfunc="std")
    found = combine_frames(values, "median", Rejection("sigma", scale="std"))
    expected = np.nanmedian(np.where(np.ma.getmaskarray(kept), np.nan, values), axis=0)
    np.testing.assert_allclose(found.value, expected, rtol=1e-13)


@pytest.mark.parametrize("centre", ["median", "mean"])
@pytest.mark.parametrize("scale", ["std", "mad"])
def test_a_round_of_clipping_is_that_of_astropy(centre: Any, scale: Any) -> None:
    values = stack(holes=0.0)
    stdfunc = {"std": "std", "mad": "mad_std"}[scale]
    kept = sigma_clip(values, sigma=2.5, maxiters=1, cenfunc=centre, stdfunc=stdfunc, axis=0)
    found = combine_frames(values, "mean", Rejection("sigma", 2.5, 2.5, 1, centre, scale))
    np.testing.assert_allclose(found.value, kept.mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(found.n_used, kept.count(axis=0))


def test_minmax_is_that_of_iraf() -> None:
    values = stack(10, holes=0.0)
    found = combine_frames(values, "mean", Rejection("minmax", low=1, high=2))
    ordered = np.sort(values, axis=0)
    np.testing.assert_allclose(found.value, ordered[1:8].mean(axis=0))
    # With half of the values missing, half as many are left out.
    values[5:] = np.nan
    found = combine_frames(values, "mean", Rejection("minmax", low=2, high=2))
    np.testing.assert_allclose(found.value, np.sort(values[:5], axis=0)[1:4].mean(axis=0))


def test_percentiles_are_parts_of_the_median() -> None:
    values = stack()

    def keep(column: Column) -> Column:
        middle = np.median(column)
        inside = (column >= 0.99 * middle) & (column <= 1.02 * middle)
        return np.asarray(column[inside])

    mean, number = column_by_column(values, keep)
    found = combine_frames(values, "mean", Rejection("percentile", low=0.01, high=0.02))
    np.testing.assert_array_equal(found.n_used, number)
    np.testing.assert_allclose(found.value, mean)


def test_the_noise_model_rejects_what_it_does_not_allow() -> None:
    values = stack()
    noise = (20.0, 0.08, 100.0)

    def width(column: Column) -> Any:
        return np.sqrt(noise[0] + noise[1] * max(np.median(column) - noise[2], 0))

    mean, number = column_by_column(values, clip(np.median, width, 3, 3, 5))
    found = combine_frames(values, "mean", Rejection("noise"), noise=noise)
    np.testing.assert_array_equal(found.n_used, number)
    np.testing.assert_allclose(found.value, mean)
    with pytest.raises(ValueError, match="needs gain and read noise"):
        combine_frames(values, "mean", Rejection("noise"))


def test_winsorised_clipping_is_that_of_a_plain_loop() -> None:
    values = stack(25)

    def width(column: Column) -> Any:
        middle, own = np.median(column), np.std(column, ddof=min(1, len(column) - 1))
        for _ in range(10):
            drawn = np.clip(column, middle - 1.5 * own, middle + 1.5 * own)
            now = 1.134 * np.std(drawn, ddof=min(1, len(column) - 1))
            settled, own = abs(now - own) <= 5e-4 * own, now
            if settled:
                break
        return own

    mean, number = column_by_column(values, clip(np.median, width, 3, 3, 5))
    found = combine_frames(values, "mean", Rejection("winsorized"))
    np.testing.assert_array_equal(found.n_used, number)
    np.testing.assert_allclose(found.value, mean)


@given(
    arrays("f8", (7, 2, 3), elements=st.floats(-1e6, 1e6) | st.just(np.nan)),
    st.sampled_from(["median", "mean", "sum", "lower-median"]),
)
def test_without_rejection_numbers_are_those_of_numpy(values: Any, method: Any) -> None:
    found = combine_frames(values, method)
    n_good = np.isfinite(values).sum(axis=0)
    np.testing.assert_array_equal(found.n_used, n_good)
    ordered = np.sort(values, axis=0)
    for place in np.ndindex(2, 3):
        column = ordered[:, *place][: n_good[place]]
        if not len(column):
            assert np.isnan(found.value[place])
            continue
        expected = {
            "median": np.median(column),
            "mean": column.mean(),
            "sum": column.sum(),
            "lower-median": column[(len(column) - 1) // 2],
        }[method]
        assert found.value[place] == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_scales_zeros_weights_and_limits() -> None:
    rng = np.random.default_rng(9)
    truth = rng.uniform(100, 200, (5, 6))
    scales, zeros, weights = [1.0, 2.0, 4.0], [10.0, 0.0, 5.0], [1.0, 2.0, 3.0]
    values = np.array([truth * s + z for s, z in zip(scales, zeros, strict=True)])
    values[2, 0, 0] = 60000.0
    found = combine_frames(
        values, "mean", zeros=zeros, scales=scales, weights=weights, limits=[50000.0] * 3
    )
    np.testing.assert_allclose(found.value, truth)
    assert found.n_used[0, 0] == 2
    values[1] += 2.0  # one in units of its scale
    found = combine_frames(
        values, "mean", zeros=zeros, scales=scales, weights=weights, limits=[50000.0] * 3
    )
    np.testing.assert_allclose(found.value[1:], truth[1:] + 2 / 6)
    with pytest.raises(ValueError, match="no meaning for a median"):
        combine_frames(values, "median", weights=weights)


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_results_do_not_depend_on_how_a_band_is_cut(cut: int) -> None:
    values = stack(61).astype("f4")
    options: dict[str, Any] = {"rejection": Rejection("sigma"), "limits": [1e9] * 61, "noise": None}
    whole = combined_tile(values, method="mean", precision="f4", **options)
    for start in range(0, 20, cut):
        rows = slice(start, start + cut)
        parts = combined_tile(values[:, rows], method="mean", precision="f4", **options)
        for part, one in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(part, one[rows])


def test_flats_are_scaled_before_they_are_combined() -> None:
    rng = np.random.default_rng(1)
    flat = rng.normal(1, 0.02, (6, 8))
    levels = [10000.0, 20000.0, 30000.0]
    tile = np.array([flat * level + 100 for level in levels])
    tile[0, 2, 3] = 65535.0
    value, used, rejected = combined_flat_tile(
        tile,
        np.full((1, 6, 8), 100.0),
        which=[0, 0, 0],
        levels=levels,
        method="mean",
        rejection=Rejection(),
        limits=[65535.0] * 3,
        noise=None,
    )
    np.testing.assert_allclose(value, flat)
    assert used[2, 3] == 2
    assert (used == 3).sum() == 47
    assert not rejected.any()


def test_uncertainties_of_quotients_are_those_of_an_experiment() -> None:
    rng = np.random.default_rng(8)
    n = 200_000
    signal = 1000 + rng.normal(0, 12, n)
    dark = 50 + rng.normal(0, 3, n)
    flat = 0.8 + rng.normal(0, 0.004, n)
    scatter = np.std((signal - dark) / flat)
    one = np.ones(1)
    variance, sigma = (144 + 9) * one, np.empty(1)
    add_flat_variance(variance, 950 / 0.8 * one, 0.004**2 * one)
    sigma_of(variance, 0.8 * one, sigma)
    assert sigma[0] == pytest.approx(scatter, rel=0.01)
