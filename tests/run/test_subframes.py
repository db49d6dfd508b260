"""A subframe is calibrated by the part of full-frame masters that lies under it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import Options, make_plan, open_night, reduce_night, verify
from tests.conftest import NightMaker

SHAPE = (40, 60)
PATTERN = np.rint(np.random.default_rng(1).normal(0, 40, SHAPE))


@pytest.fixture
def night(make_night: NightMaker) -> NightMaker:
    make_night.shape = SHAPE
    whole: dict[str, Any] = {"XORGSUBF": 0, "YORGSUBF": 0}
    for n in range(3):
        for name, kind, level, seconds in (("d", "Dark", 1000, 10.0), ("f", "Flat", 9000, 10.0)):
            path = make_night.add(f"{name}{n}.fits", kind, level, seconds, FILTER="V", **whole)
            with fits.open(path, mode="update") as hdus:
                hdus[0].data = (hdus[0].data + PATTERN).astype("u2")
    return make_night


def add(night: NightMaker, name: str, row: int, column: int, **cards: Any) -> Path:
    """Add a subframe of 16x24 pixels at a place."""
    at = {"XORGSUBF": column, "YORGSUBF": row, "FILTER": "V", "OBJECT": "M 31"}
    path = night.add(name, "Light", 1500, 10.0, shape=(16, 24), **{**at, **cards})
    own = PATTERN[row : row + 16, column : column + 24]
    if own.shape == (16, 24):
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = (hdus[0].data + own).astype("u2")
    return path


@pytest.mark.parametrize("options", [Options(dtype="float64"), Options(dtype="float64", mask=True)])
def test_a_subframe_takes_its_part_of_the_masters(
    night: NightMaker, tmp_path: Path, options: Options
) -> None:
    path = add(night, "s.fits", 7, 11)
    add(night, "t.fits", 24, 36)
    summary = reduce_night(open_night(night.folder), tmp_path / "out", options)
    assert not summary.failed
    dark = fits.getdata(tmp_path / "out/masters/MasterDark_10s.fits")[7:23, 11:35]
    flat = fits.getdata(tmp_path / "out/masters/MasterFlat_V.fits")[7:23, 11:35]
    product = fits.getdata(tmp_path / "out" / "sc.fits")
    np.testing.assert_allclose(product, (fits.getdata(path) - dark) / flat, rtol=1e-12)
    header = fits.getheader(tmp_path / "out" / "sc.fits")
    assert header["DARKCOR"] == "MasterDark_10s.fits[12:35,8:23]"
    assert header["FLATCOR"] == "MasterFlat_V.fits[12:35,8:23]"
    assert not verify(tmp_path / "out").findings
    again = reduce_night(open_night(night.folder), tmp_path / "out", options)
    assert not any(receipt.made for receipt in again.science)


@pytest.mark.parametrize(
    ("row", "column", "cards"),
    [(30, 11, {}), (7, 50, {}), (-1, 0, {}), (7, 11, {"XBINNING": 2, "YBINNING": 2})],
)
def test_what_the_masters_do_not_cover_is_refused(
    night: NightMaker, row: int, column: int, cards: dict[str, Any]
) -> None:
    add(night, "inside.fits", 0, 0)
    add(night, "s.fits", row, column, **cards)
    plan = make_plan(open_night(night.folder))
    assert [entry.frame.name for entry in plan.science] == ["inside.fits"]
    (entry,) = [entry for entry in plan.left_out if entry.failed]
    assert "shape 40x60, not 16x24" in entry.reason or "binning" in entry.reason


def test_masters_of_the_same_window_come_first(night: NightMaker) -> None:
    add(night, "s.fits", 7, 11)
    for n in range(2):
        own: dict[str, Any] = {"XORGSUBF": 11, "YORGSUBF": 7}
        night.add(f"own{n}.fits", "Dark", 1000, 10.0, shape=(16, 24), **own)
    plan = make_plan(open_night(night.folder))
    (science,) = plan.science
    dark = plan.master(science.correction.dark or "")
    assert [member.frame.name for member in dark.inputs] == ["own0.fits", "own1.fits"]


def test_detectors_of_very_unlike_size_keep_all_their_masters(tmp_path: Path) -> None:
    rng, shapes = np.random.default_rng(1), ((96, 128), (64, 80), (40, 33))
    night = tmp_path / "night"
    night.mkdir()
    for number, (kind, light) in enumerate([("dark", 0)] * 3 + [("flat", 20000)] * 3):
        hdus = fits.HDUList([fits.PrimaryHDU()])
        header = hdus[0].header
        header["IMAGETYP"], header["EXPTIME"], header["FILTER"] = kind, 5.0, "V"
        header["DATE-OBS"] = f"2026-01-01T01:00:{number:02d}"
        for height, width in shapes:  # raw, with overscans, they are less unlike
            pixels = np.round(500 + rng.normal(0, 5, (height, width + 10)))
            pixels[:, :width] += np.round(light + rng.normal(0, 50, (height, width)))
            image = fits.ImageHDU(pixels.astype("u2"))
            image.header["TRIMSEC"] = f"[1:{width},1:{height}]"
            image.header["BIASSEC"] = f"[{width + 1}:{width + 10},1:{height}]"
            hdus.append(image)
        hdus.writeto(night / f"{kind}-{number}.fits")
    summary = reduce_night(
        open_night(night), tmp_path / "out", Options(threads=True, masters_only=True)
    )
    assert not summary.failed
    with fits.open(tmp_path / "out/masters/MasterFlat_V.fits") as hdus:
        assert [hdu.shape for hdu in hdus[1:]] == list(shapes)
        assert all(0.9 < np.median(hdu.data) < 1.1 for hdu in hdus[1:])
