"""Pixels that are filled in from their neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from daskred import Options, open_night, reduce_night
from daskred.model.mask import BAD, INTERPOLATED, NO_DATA, SATURATED
from daskred.steps.interpolation import STEP, fill_gaps
from daskred.steps.step import Recipe, Whole
from tests.conftest import NightMaker


def plane(shape: tuple[int, int]) -> Any:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 100.0 + 3.0 * x + 5.0 * y


@given(
    st.sets(st.tuples(st.integers(1, 7), st.integers(1, 9)), max_size=12),
)
def test_on_a_plane_nothing_changes(places: set[tuple[int, int]]) -> None:
    truth = plane((9, 11))
    flagged = np.zeros(truth.shape, bool)
    for place in places:
        flagged[place] = True
    value = np.where(flagged, -1e6, truth)
    filled = fill_gaps(value, flagged)
    assert (filled == flagged).all()  # the edge is good, so that every gap has two ends
    np.testing.assert_allclose(value, truth, rtol=1e-12)


def test_columns_are_filled_across_and_rows_along() -> None:
    # Of a surface that is bent along both axes, a line along the wrong one would miss.
    y, x = np.mgrid[:30, :30]
    truth = 100.0 + 0.0 * x + (y - 15.0) ** 2
    flagged = np.zeros(truth.shape, bool)
    flagged[:, 7:9] = True  # a bad column of two: only its row can fill it
    value = np.where(flagged, np.nan, truth)
    fill_gaps(value, flagged)
    np.testing.assert_allclose(value, truth)
    value = np.where(flagged.T, np.nan, truth.T)
    fill_gaps(value, flagged.T)
    np.testing.assert_allclose(value, truth.T)


def test_the_shorter_way_is_taken() -> None:
    value = np.zeros((5, 5))
    value[2] = [10.0, 0.0, 0.0, 0.0, 10.0]  # across: three pixels between tens
    value[1], value[3] = 4.0, 4.0  # along: one pixel between fours
    flagged = np.zeros((5, 5), bool)
    flagged[2, 1:4] = True
    fill_gaps(value, flagged)
    assert value[2, 1:4].tolist() == [4.0, 4.0, 4.0]


def test_what_has_no_two_ends_stays() -> None:
    value = np.full((3, 3), 5.0)
    flagged = np.zeros((3, 3), bool)
    flagged[0, 0] = True
    value[0, 0] = np.nan
    assert not fill_gaps(value, flagged).any()
    assert np.isnan(value[0, 0])


def test_uncertainty_grows_with_the_step_between_the_ends() -> None:
    value, sigma = np.array([[10.0, 0.0, 30.0]]), np.array([[3.0, 0.0, 3.0]])
    fill_gaps(value, np.array([[False, True, False]]), sigma)
    assert value[0, 1] == 20.0
    # What the ends differ by beyond three deviations of their difference.
    beyond = 20.0**2 - 9 * (3.0**2 + 3.0**2)
    assert sigma[0, 1] == pytest.approx(np.sqrt(3.0**2 / 2 + beyond / 4))


def test_a_run_fills_bad_columns_and_says_so(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    night = open_night(make_night.folder)
    (shape,) = {image.shape for frame in night.frames for image in frame.images}
    bad = np.zeros(shape, "u1")
    bad[:, 3] = 1
    bad[0, 0] = 1  # in a corner, where no gap has two ends
    fits.PrimaryHDU(bad).writeto(tmp_path / "bad.fits")
    options = Options(mask=True, bad_pixels=str(tmp_path / "bad.fits"))
    reduce_night(night, tmp_path / "flagged", options)
    reduce_night(night, tmp_path / "filled", options.but(interpolate=True))
    (name, *_) = sorted(path.name for path in (tmp_path / "filled").glob("s-*c.fits"))
    before, mask = (fits.getdata(tmp_path / "flagged" / name, n) for n in (0, "MASK"))
    after, filled = (fits.getdata(tmp_path / "filled" / name, n) for n in (0, "MASK"))
    good = mask & (BAD | NO_DATA) == 0
    np.testing.assert_array_equal(after[good], before[good])
    np.testing.assert_allclose(after[:, 3], (before[:, 2] + before[:, 4]) / 2, rtol=1e-5)
    assert (filled[:, 3] & (BAD | INTERPOLATED) == BAD | INTERPOLATED).all()
    assert filled[0, 0] & INTERPOLATED == 0
    header = fits.getheader(tmp_path / "filled" / name)
    assert header["FIXPIX"] == f"{shape[0]} pixels, linear along the shorter way"
    assert "FIXPIX" not in fits.getheader(tmp_path / "flagged" / name)


def test_saturated_pixels_are_no_good_neighbours() -> None:
    value = np.full((3, 5), 100.0, "f4")
    value[:, 1] = 60000.0
    mask = np.zeros(value.shape, "u1")
    mask[:, 1], mask[:, 2] = SATURATED, BAD
    value[:, 2] = 7.0
    whole = Whole(0, value, mask)
    assert STEP.work(whole, Recipe(None, None, None)) == 3  # type: ignore[arg-type]
    assert (value[:, 1] == 60000.0).all()
    assert (value[:, 2] == 100.0).all()  # from beyond the saturated column
