"""The lab's notebook is the oracle for what the numbers mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import Options, Truth, open_night, reduce_night, simulate
from tests import notebook
from tests.conftest import tree


@pytest.mark.parametrize("n_each", [5, 4])
def test_exact_mode_in_float64_is_the_notebook_to_the_bit(tmp_path: Path, n_each: int) -> None:
    night, out = tmp_path / "night", tmp_path / "out"
    simulate(night, shape=(30, 50), n_darks=n_each, n_flats=n_each, n_science=3, seed=9)
    options = Options(normalize="exact-mode", dtype="float64")
    summary = reduce_night(open_night(night), out, options)
    assert not summary.plan.left_out
    masters = notebook.masters(night)
    for name, expected in masters.items():
        found = fits.getdata(out / "masters" / f"{name}.fits")
        assert found.dtype == ">f8"
        np.testing.assert_array_equal(found, expected)
    for name, expected in notebook.science(night, masters).items():
        np.testing.assert_array_equal(fits.getdata(out / "ktwo220274129" / name), expected)


@pytest.mark.parametrize("normalize", ["mode", "exact-mode", "median", "mean"])
def test_float32_differs_by_rounding_alone(tmp_path: Path, night: Path, normalize: Any) -> None:
    dtypes: tuple[Any, ...] = ("float32", "float64")
    for dtype in dtypes:
        reduce_night(open_night(night), tmp_path / dtype, Options(normalize=normalize, dtype=dtype))
    single, double = tree(tmp_path / "float32"), tree(tmp_path / "float64")
    assert single.keys() == double.keys()
    for name in single:
        a = fits.getdata(tmp_path / "float32" / name).astype("f8")
        b = fits.getdata(tmp_path / "float64" / name)
        np.testing.assert_allclose(a, b, rtol=2e-7)


def test_the_master_flat_is_as_good_as_median_scaling_makes_it(tmp_path: Path) -> None:
    night = tmp_path / "night"
    truth = simulate(night, shape=(128, 128), n_darks=15, n_flats=31, n_science=1)
    errors = {}
    for normalize in ("mode", "exact-mode", "median"):
        out = tmp_path / normalize
        reduce_night(open_night(night), out, Options(normalize=normalize, dtype="float64"))
        ratio = fits.getdata(out / "masters" / "MasterFlat_BG40.fits") / truth.flat
        errors[normalize] = np.std(ratio / np.mean(ratio))
    assert errors["mode"] < 1.03 * errors["median"]
    assert errors["exact-mode"] > errors["mode"]


def test_calibrated_frames_come_back_to_the_truth(tmp_path: Path, night: Path) -> None:
    reduce_night(open_night(night), tmp_path / "out", Options(workers=1))
    truth = Truth.load(night)
    frames = [fits.getdata(path) for path in sorted((tmp_path / "out" / "ktwo220274129").iterdir())]
    mean = np.median(frames, axis=0)
    ratio = mean / (truth.scene * 10)
    assert np.median(ratio) == pytest.approx(1, abs=0.03)  # the flat's most typical pixel is 1
    assert np.std(ratio / np.median(ratio)) < 0.06  # photon and dark noise of seven frames
