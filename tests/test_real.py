"""Frames of real cameras: sensible plans, or refusals that an observer understands."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from daskred import Options, Plan, make_plan, open_night, read_camera, reduce_night
from daskred.measure.characterization import characterize
from tests.conftest import tree


def kinds(plan: Plan) -> dict[str, str]:
    return {frame.name: frame.kind for frame in plan.frames}


def left_out(plan: Plan) -> dict[str, str]:
    return {entry.name: entry.reason for entry in plan.left_out}


def test_warner(real: Path, tmp_path: Path) -> None:
    folder = real / "warner-1998ub17"
    summary = reduce_night(open_night(folder), tmp_path, Options(dtype="float64"))
    assert [receipt.product for receipt in summary.science] == [
        "science/UB17-001-cc.fit",
        "science/UB17-033-cc.fit",
    ]
    # A field of view, taken with the type Light: only a word in its name says what it is.
    assert [entry.name for entry in summary.failed] == ["ancillary/fov.fit"]
    assert "already calibrated: CALSTAT" in left_out(summary.plan)["ancillary/focus.fit"]

    def stack(*names: str) -> np.ndarray:
        paths = [folder / "calibration" / name for name in names]
        return np.array([fits.getdata(path).astype("f8") for path in paths])

    bias = np.median(stack("calib-001-bi.fit", "calib-002-bi.fit"), axis=0)
    dark = np.median(stack("calib-001-d.fit", "calib-002-d.fit"), axis=0)
    flats = stack("flat-001-c.fit", "flat-002-c.fit") - (bias + (dark - bias) * (2 / 300))
    master = fits.getdata(tmp_path / "masters" / "MasterFlat_clear.fits")
    np.testing.assert_allclose(
        master / np.median(master),
        np.median(flats / np.median(flats, axis=(1, 2))[:, None, None], axis=0)
        / np.median(np.median(flats / np.median(flats, axis=(1, 2))[:, None, None], axis=0)),
        rtol=3e-3,
    )
    raw = fits.getdata(folder / "science" / "UB17-033-c.fit")
    product = fits.getdata(tmp_path / "science" / "UB17-033-cc.fit")
    np.testing.assert_allclose(product, (raw - dark) / master, rtol=1e-12)


def test_kast(real: Path, tmp_path: Path) -> None:
    plan = make_plan(open_night(real / "shane-kast-blue"))
    assert kinds(plan) == {
        "b1.fits.gz": "unknown",
        **dict.fromkeys(("b11.fits.gz", "b12.fits.gz", "b13.fits.gz"), "flat"),
        **dict.fromkeys(("b21.fits.gz", "b22.fits.gz", "b23.fits.gz"), "bias"),
        **dict.fromkeys(("b24.fits.gz", "b27.fits.gz"), "science"),
    }
    # Its arm is recognised; it is cooled by liquid nitrogen, and there are no darks.
    assert plan.camera.startswith("kast-blue (Kast blue), recognised by VERSION = 'kastb'")
    assert any("MasterBias alone is subtracted" in warning for warning in plan.warnings)
    summary = reduce_night(open_night(real / "shane-kast-blue"), tmp_path)
    assert [receipt.product for receipt in summary.science] == ["b24c.fits", "b27c.fits"]
    header = fits.getheader(tmp_path / "b27c.fits")
    assert header["OBJECT"] == "J1217p3905"
    assert header["ZEROCOR"] == "MasterBias.fits"
    assert "no dark: the bias alone was subtracted" in list(header["COMMENT"])
    assert header["BUNIT"] == "electron"


@pytest.mark.parametrize(
    ("folder", "camera"),
    [
        ("ast325-spec", "sbig-st7"),
        ("ic310-ndoubledot", "tircam2"),
        ("lco-mef-raw", "lco-sinistro"),
        ("panoptes-frames", "panoptes"),
        ("shane-kast-blue", "kast-blue"),
        ("warner-1998ub17", "sbig-st8"),
    ],
)
def test_cameras_are_recognised(real: Path, folder: str, camera: str) -> None:
    night = open_night(real / folder)
    assert night.camera.source == camera
    assert night.camera.reason


def test_ic310(real: Path) -> None:
    plan = make_plan(open_night(real / "ic310-ndoubledot"))
    for name, kind in kinds(plan).items():
        expected = {"I": "science", "b": "bias", "f": "flat"}[name[0]]
        assert kind == expected
    assert {frame.facts.exptime_s for frame in plan.frames} == {0.0, 6.0, 40.0}
    assert {frame.facts.filter for frame in plan.frames} == {"BLOCK", "J"}


def test_ast325(real: Path) -> None:
    plan = make_plan(open_night(real / "ast325-spec"), Options(missing_flat=True))
    assert {master.name: len(master.inputs) for master in plan.masters} == {
        "MasterDark_120s": 11,
        "MasterDark_300s": 5,
        "MasterDark_900s": 5,
    }
    assert "duplicate" in left_out(plan)["Lab 2/DarkBefore-007D120s (1).fit"]
    assert len(plan.science) == 4
    assert kinds(plan)["Lab 2/NeonCalibration.fit"] == "unknown"


def test_lco(real: Path, tmp_path: Path) -> None:
    night = open_night(real / "lco-mef-raw", camera=read_camera())
    (frame,) = night.frames
    assert frame.kind == "science"
    assert [image.name for image in frame.images] == ["SCI,1", "SCI,2", "SCI,3", "SCI,4"]
    assert frame.facts.binning == (2, 2)
    options = Options(
        missing_dark=True,
        missing_flat=True,
    )
    reduce_night(night, tmp_path, options)
    with fits.open(frame.path) as raw, fits.open(tmp_path / "mef_raw_test_framec.fits") as product:
        for number in range(1, 5):
            pixels = raw[number].data.astype("f8")
            level = np.median(pixels[:512, 519:540], axis=1)  # BIASSEC
            expected = pixels[:512, :512] - level[:, np.newaxis]  # DATASEC
            np.testing.assert_array_equal(product[number].data, expected.astype("f4"))
            assert product[number].header["DETSEC"] == raw[number].header["DETSEC"]
            assert "BIASSEC" not in product[number].header


def test_sinistro_quadrants_are_put_together_nearly_level(real: Path, tmp_path: Path) -> None:
    camera = read_camera("lco-sinistro")
    options = Options(
        missing_dark=True,
        missing_flat=True,
    )
    reduce_night(open_night(real / "lco-mef-raw", camera=camera), tmp_path, options)
    pixels = fits.getdata(tmp_path / "mef_raw_test_framec.fits")
    assert pixels.shape == (1024, 1024)
    # Sky on both sides of the seams; without a flat, as well as the gains of the header are.
    strips = [pixels[:, 480:512], pixels[:, 512:544], pixels[480:512], pixels[512:544]]
    levels = [np.median(strip) for strip in strips]
    assert levels[0] == pytest.approx(levels[1], rel=0.02)
    assert levels[2] == pytest.approx(levels[3], rel=0.02)


def test_kast_amplifiers_meet_without_a_step(real: Path, tmp_path: Path) -> None:
    night = open_night(real / "shane-kast-blue", camera=read_camera("kast-blue"))
    options = Options(
        missing_dark=True,
    )
    summary = reduce_night(night, tmp_path, options)
    assert {receipt.product for receipt in summary.science} == {"b24c.fits", "b27c.fits"}
    for name in ("b27c.fits", "masters/MasterFlat.fits"):
        pixels = fits.getdata(tmp_path / name)
        assert pixels.shape == (350, 2048)
        columns = np.median(pixels, axis=0)
        rising = np.polyfit(np.arange(1004, 1024), columns[1004:1024], 1)
        falling = np.polyfit(np.arange(1024, 1044), columns[1024:1044], 1)
        scatter = np.std(np.diff(columns[1004:1044]))
        step = np.polyval(falling, 1023.5) - np.polyval(rising, 1023.5)
        assert abs(step) < 3 * scatter
    raw = fits.getdata(real / "shane-kast-blue" / "b27.fits.gz").astype("f8")
    flat = fits.getdata(tmp_path / "masters" / "MasterFlat.fits").astype("f8")
    bias = fits.getdata(tmp_path / "masters" / "MasterBias.fits").astype("f8")
    gains = np.repeat([1.2, 1.237], 1024)
    level = np.repeat(
        [np.median(raw[:, 2048:2080], axis=1), np.median(raw[:, 2080:2112], axis=1)], 1024, axis=0
    ).T
    expected = ((raw[:, :2048] - level) * gains - bias) / flat
    np.testing.assert_allclose(fits.getdata(tmp_path / "b27c.fits"), expected, rtol=3e-5, atol=1e-3)


def test_panoptes(real: Path, tmp_path: Path) -> None:
    night = open_night(real / "panoptes-frames")
    plan = make_plan(night)
    assert "duplicate: the same exposure as tiny.fits" in left_out(plan)["noheader.fits"]
    assert kinds(plan)["solved.fits.fz"] == "science"
    options = Options(
        missing_dark=True,
        missing_flat=True,
    )
    reduce_night(night, tmp_path, options)
    np.testing.assert_array_equal(
        fits.getdata(tmp_path / "solvedc.fits"),
        fits.getdata(real / "panoptes-frames" / "solved.fits.fz"),
    )


def test_masters_are_not_taken_for_raw_frames(real: Path) -> None:
    plan = make_plan(open_night(real / "proem-spe-masters"))
    assert plan.masters == ()
    assert len(plan.left_out) == 7
    for reason in left_out(plan).values():
        assert re.search("is a master|already calibrated", reason)


@pytest.mark.parametrize("name", ["ccdproc-tests", "warner-1998ub17", "shane-kast-blue"])
def test_raw_frames_stay_as_they_are(real: Path, tmp_path: Path, name: str) -> None:
    before = tree(real / name)
    options = Options(
        missing_dark=True,
        missing_flat=True,
    )
    reduce_night(open_night(real / name), tmp_path, options)
    assert tree(real / name) == before


@pytest.mark.parametrize(
    ("folder", "camera", "n_science"),
    [
        ("warner-1998ub17", "sbig-st8", 2),
        ("shane-kast-blue", "kast-blue", 2),
        ("ic310-ndoubledot", "tircam2", 5),
        ("ast325-spec", "sbig-st7", 4),
        ("lco-mef-raw", "lco-sinistro", 1),
        ("ccdproc-tests/a8280271.fits", "saao-ste3", 1),
        ("panoptes-frames", "panoptes", 3),
    ],
)
def test_every_camera_reduces_as_far_as_its_frames_allow(
    real: Path, tmp_path: Path, folder: str, camera: str, n_science: int
) -> None:
    night = open_night(real / folder, camera=read_camera(camera))
    options = Options(
        missing_dark=True,
        missing_flat=True,
        scale_dark_up=True,
        mask=True,
        uncertainty=True,
    )
    summary = reduce_night(night, tmp_path, options)
    assert len(summary.science) == n_science
    for receipt in summary.science:
        with fits.open(tmp_path / receipt.product, checksum=True) as hdus:
            assert np.isfinite(hdus[0].data if hdus[0].data is not None else hdus[1].data).any()


def test_masters_of_the_proem_are_no_raw_frames(real: Path) -> None:
    night = open_night(real / "proem-spe-masters", camera=read_camera("proem"))
    assert night.raw == ()


def test_numbers_of_real_detectors_are_those_that_are_known(real: Path, tmp_path: Path) -> None:
    st8 = characterize(open_night(real / "warner-1998ub17"), tmp_path / "st8").amplifiers[0]
    assert st8.gain_e_per_adu == pytest.approx(2.6, rel=0.05)  # EGAIN
    rules = read_camera("kast-blue")
    rules = replace(rules, detector=replace(rules.detector, unit="adu"))
    kast = characterize(open_night(real / "shane-kast-blue", camera=rules), tmp_path / "kast")
    left, right = kast.amplifiers
    # The values that the observatory's users go by: 1.2 electrons per ADU, 3.7 electrons.
    assert left.gain_e_per_adu == pytest.approx(1.2, rel=0.02)
    assert right.gain_e_per_adu == pytest.approx(1.237, rel=0.02)
    assert left.read_noise_e == pytest.approx(3.7, rel=0.15)
