"""Kernels against numpy and scipy on the whole stack."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import mode as scipy_mode

from daskred.kernels.calibrate import (
    divide_by_flat,
    divisor,
    effective_dark,
    subtract_dark,
)
from daskred.kernels.flat import mark_saturated
from daskred.kernels.level import METHODS, histogram_mode, level
from daskred.kernels.median import STRIP_BYTES, median_over_frames, selection_network
from daskred.kernels.robust import medians, quantiles


def _calibrate(raw: Any, dark: Any, flat: Any, dtype: str) -> Any:
    out = np.empty(raw.shape, dtype)
    if dark is not None:
        subtract_dark(raw, dark, out)
    divide_by_flat(raw if dark is None else out, divisor(flat), out)
    return out


DTYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"]


@given(
    n_frames=st.one_of(st.integers(1, 70), st.sampled_from([99, 101, 401, 802])),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 7)),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([2, 100, 30000]),
)
def test_median_is_numpys_to_the_bit(
    n_frames: int, shape: tuple[int, int], dtype: str, seed: int, spread: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(spread, spread / 2, (n_frames, *shape))
    if dtype[0] != "f":
        values = values.round().clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
    stack = values.astype(dtype)
    before = stack.copy()
    np.testing.assert_array_equal(
        median_over_frames(stack), np.median(stack.astype("f8"), axis=0), strict=True
    )
    np.testing.assert_array_equal(stack, before)


def test_median_of_more_pixels_than_a_strip_holds() -> None:
    stack = np.random.default_rng(0).integers(0, 2**16, (4, 3, STRIP_BYTES // 4 + 5), "u2")
    np.testing.assert_array_equal(median_over_frames(stack), np.median(stack, axis=0))


SOME_FLOATS = st.sampled_from([np.nan, 0.0, 1.0, 2.0, 3.5, -5.0])


@given(
    hnp.arrays(
        "f4",
        st.tuples(st.sampled_from([1, 2, 3, 8, 9, 250]), st.integers(1, 9)),
        elements=SOME_FLOATS,
    )
)
def test_median_passes_over_nan(stack: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns of columns without any number
        expected = np.nanmedian(stack.astype("f8"), axis=0)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(median_over_frames(stack), expected)


@pytest.mark.parametrize("n_rows", range(1, 11))
def test_networks_select_by_the_zero_one_principle(n_rows: int) -> None:
    # A network that orders every sequence of zeros and ones orders every sequence (Knuth 5.3.4).
    wanted = tuple({(n_rows - 1) // 2, n_rows // 2})
    for bits in itertools.product((0, 1), repeat=n_rows):
        rows = list(bits)
        for first, second, keeps in selection_network(n_rows, wanted):
            low, high = sorted((rows[first], rows[second]))
            rows[first] = low if keeps != "larger" else -9
            rows[second] = high if keeps != "smaller" else -9
        assert [rows[rank] for rank in wanted] == [sorted(bits)[rank] for rank in wanted]


@given(hnp.arrays("f8", st.integers(1, 50), elements=st.integers(0, 6).map(float)))
def test_exact_mode_is_scipys(values: Any) -> None:
    assert level(values, "exact-mode") == scipy_mode(values)[0]


@given(
    hnp.arrays("f8", st.integers(1, 50), elements=st.integers(-9, 9).map(lambda n: n / 2)),
    st.sampled_from([0.0, 0.5, 0.25, 1e6, 1e9, 1e-9]),
)
def test_exact_mode_of_halves_and_others_is_scipys(values: Any, shift: float) -> None:
    shifted = np.append(values, [values[0] + 70000]) + shift
    assert level(shifted, "exact-mode") == scipy_mode(shifted)[0]


@pytest.mark.parametrize("method", METHODS)
def test_levels_scale_with_the_pixels_and_pass_over_nan(method: str) -> None:
    values = np.random.default_rng(1).normal(20000, 500, (60, 70)).round()
    own = level(values, method)
    assert level(values * 4, method) == pytest.approx(4 * own, rel=1e-12)
    with_gaps = np.vstack([values, np.full((3, 70), np.nan), np.full((1, 70), np.inf)])
    if method != "mode":  # its sample is another one, so only nearly the same
        assert level(with_gaps, method) == own
    assert level(with_gaps, method) == pytest.approx(own, rel=1e-3)
    assert np.isnan(level(np.full((2, 2), np.nan), method))


def test_the_mode_is_the_peak_whatever_stars_and_vignetting_do() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(20000, 140, 60000)
    values[:6000] = rng.uniform(20000, 60000, 6000)  # stars
    values[6000:9000] = rng.uniform(5000, 20000, 3000)  # corners
    assert histogram_mode(values) == pytest.approx(20000, rel=2e-3)
    assert abs(np.mean(values) - 20000) > 1000


def test_the_mode_scatters_far_less_than_the_most_frequent_value() -> None:
    modes: dict[str, list[float]] = {method: [] for method in ("mode", "exact-mode")}
    y, x = np.mgrid[:128, :128] / 128 - 0.5
    for seed in range(20):
        rng = np.random.default_rng(seed)
        frame = rng.poisson(20000 * (1 - 0.4 * (x**2 + y**2))).astype("f8")
        for method, found in modes.items():
            found.append(level(frame, method))
    scatter = {method: np.std(found) / np.mean(found) for method, found in modes.items()}
    assert scatter["mode"] < 0.0015
    assert scatter["exact-mode"] > 5 * scatter["mode"]


@given(
    values=hnp.arrays("f8", st.integers(1, 40), elements=st.floats(-1e6, 1e6)),
    part=st.floats(0, 1),
)
def test_quantiles_are_those_of_numpy(values: Any, part: float) -> None:
    assert quantiles(values, [part, 0.5]) == list(np.quantile(values, [part, 0.5]))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4", "f4", "f8"])
@given(data=st.data())
def test_medians_are_those_of_numpy(dtype: str, data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 5)))
    kind = np.dtype(dtype).kind
    most = 2.0**60 if kind == "f" else np.iinfo(dtype).max
    elements = st.floats(-most, most, width=32) if kind == "f" else None
    values = data.draw(hnp.arrays(dtype, shape, elements=elements))
    for axis in (0, 1, None):
        found, theirs = medians(values, axis), np.median(values, axis)
        assert found.dtype == theirs.dtype
        np.testing.assert_array_equal(found, theirs)


@pytest.mark.parametrize("value", [5.0, 0.0, -3.0])
def test_the_mode_of_a_constant_is_the_constant(value: float) -> None:
    assert level(np.full((4, 4), value), "mode") == value


def test_an_unknown_method_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="mode, exact-mode, median, mean"):
        level(np.ones(3), "modus")


@given(
    raw=hnp.arrays(st.sampled_from(["u1", "u2", "i2", "i4", "f4"]), (2, 3, 4)),
    dtype=st.sampled_from(["f4", "f8"]),
    seed=st.integers(0, 100),
)
def test_calibration_is_the_formula_and_never_wraps(raw: Any, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dark = rng.normal(1000, 3, (3, 4)).round().astype(dtype)
    flat = rng.normal(1, 0.1, (3, 4)).astype(dtype)
    with np.errstate(all="ignore"):
        expected = (raw.astype("f8") - dark) / flat
        found = _calibrate(raw, dark, flat, dtype)
    assert found.dtype == dtype
    finite = np.isfinite(expected) & (np.abs(expected) < 1e30) & (flat > 0)
    assert np.isnan(found[:, flat <= 0]).all()
    tolerance = 2e-7 if dtype == "f4" else 1e-15
    np.testing.assert_allclose(found[finite], expected[finite], rtol=tolerance)


def test_nothing_becomes_infinite() -> None:
    flat = np.array([[1.0, 0.0, -1.0, np.nan]])
    found = _calibrate(np.full((1, 4), 7, "u2"), None, flat, "f4")
    np.testing.assert_array_equal(found, [[7, np.nan, np.nan, np.nan]])


def test_darks_are_scaled_after_the_bias() -> None:
    dark, bias = np.array([[130.0]], "f4"), np.array([[100.0]], "f4")
    assert effective_dark(dark, bias, 0.5) == 115
    assert effective_dark(dark, bias, 1.0) is dark
    assert effective_dark(None, bias, 1.0) is bias
    assert effective_dark(None, None, 1.0) is None
    with pytest.raises(ValueError, match="bias"):
        effective_dark(dark, None, 0.5)


@pytest.mark.parametrize("limit", [-np.inf, -1.0, 0.0, 1.5, 2.0, 255.0, 300.0, np.inf, np.nan])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_any_level_may_be_that_of_saturation(limit: float, dtype: str) -> None:
    raw = np.array([0, 1, 2, 127], dtype)
    found = np.empty(4, "?")
    mark_saturated(raw, limit, found)
    np.testing.assert_array_equal(found, raw.astype("f8") >= limit)
