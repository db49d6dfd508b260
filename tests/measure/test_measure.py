"""The detector measured: against the numbers of a simulated one, and bad pixels put in by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import RequestError, Truth, open_night, read_camera, reduce_night, simulate
from daskred.measure.bad_pixels import find_bad_pixels
from daskred.measure.characterization import characterize
from daskred.measure.results import RESULTS
from daskred.model.mask import BAD, HOT, NONLINEAR, UNSTABLE
from daskred.night.draft import draft_camera
from daskred.options import Options
from daskred.products.names import DARK_MODEL
from daskred.simulation import CAMERA_FILE, GAIN_E_PER_ADU, READ_NOISE_E, SimulatedReadout
from tests.conftest import NightMaker

READOUT = SimulatedReadout(nonlinearity=2e-6)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured") / "night"
    simulate(
        folder, shape=(256, 256), n_bias=15, n_darks=15, n_flats=24, n_science=0, readout=READOUT
    )
    return folder


def test_a_detector_comes_back_to_its_truth(two: Path, tmp_path: Path) -> None:
    night = open_night(two, camera=read_camera(two / CAMERA_FILE))
    found = characterize(night, tmp_path)
    # Its overscans do not touch the pixels.
    assert [text.split(":")[0] for text in found.missing] == ["charge transfer"]
    assert [one.name for one in found.amplifiers] == ["left", "right"]
    truth = Truth.load(two)
    half = truth.dark_rate.shape[1] // 2
    for which, one in enumerate(found.amplifiers):
        assert one.gain_e_per_adu == pytest.approx(READOUT.gains_e_per_adu[which], rel=0.01)
        assert one.gain_error is not None
        # Flats of one level do not tell how the curve bends.
        assert one.gain_model == "line"
        assert 0.01 < one.gain_error / READOUT.gains_e_per_adu[which] < 0.08
        assert one.read_noise_e == pytest.approx(READOUT.read_noises_e[which], rel=0.02)
        own = truth.dark_rate[:, which * half : (which + 1) * half]
        assert one.dark_e_per_s == pytest.approx(np.median(own) * GAIN_E_PER_ADU, rel=0.02)
        hot = np.mean(own > np.median(own) + 8)
        assert one.hot_fraction == pytest.approx(hot, abs=3e-4)
        assert one.full_well_adu is None
    stored = json.loads((tmp_path / RESULTS).read_text())
    assert stored["amplifiers"][1]["gain_e_per_adu"] == found.amplifiers[1].gain_e_per_adu
    with fits.open(tmp_path / DARK_MODEL, checksum=True) as hdus:
        expected = truth.dark_rate * GAIN_E_PER_ADU
        expected /= np.repeat(READOUT.gains_e_per_adu, half)
        error = hdus[0].data - expected
        assert np.std(error[np.abs(error) < 5]) < 0.4
        assert "BIAS" in hdus


def test_the_lab_s_question_about_its_dark_current(night: Path, tmp_path: Path) -> None:
    (one,) = characterize(open_night(night), tmp_path).amplifiers
    assert one.dark_adu_per_s == pytest.approx(8, rel=0.05)


def test_gain_and_noise_of_a_plain_camera(tmp_path: Path) -> None:
    simulate(tmp_path / "n", n_bias=8, n_darks=8, n_flats=20, n_science=0, seed=6)
    (one,) = characterize(open_night(tmp_path / "n"), tmp_path / "out").amplifiers
    assert one.gain_e_per_adu == pytest.approx(GAIN_E_PER_ADU, rel=0.01)
    assert one.read_noise_e == pytest.approx(READ_NOISE_E, rel=0.02)


def test_what_a_night_does_not_tell_is_said(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.add("d0.fits", "Dark Frame", 110, 10.0)
    found = characterize(open_night(make_night.folder), tmp_path / "out")
    told = " ".join(found.missing)
    assert "read noise: needs two" in told
    assert "gain: needs two flats" in told
    assert "dark current: needs darks" in told
    make_night.add("s0.fits", "Light Frame", 500, 10.0, OBJECT="M 31")
    with pytest.raises(RequestError, match="nothing to measure"):
        characterize(open_night(make_night.folder / "s0.fits"), tmp_path / "none")


def spoiled_night(folder: Path) -> dict[str, tuple[int, int]]:
    """Write a night with one bad pixel of each kind; flats are of two levels."""
    rng = np.random.default_rng(3)
    places = {"hot": (3, 4), "unstable": (10, 20), "dead": (15, 7), "bent": (20, 30)}
    shape = (24, 40)

    def write(name: str, pixels: Any, **cards: Any) -> None:
        header = fits.Header({"EXPTIME": 10.0, "OBJECT": ""} | cards)
        header["DATE-OBS"] = f"2020-01-01T00:00:{len(list(folder.iterdir())):02d}"
        fits.PrimaryHDU(pixels.round().astype("u2"), header).writeto(folder / name)

    folder.mkdir()
    for n in range(9):
        dark = rng.normal(100, 4, shape)
        dark[places["hot"]] += 3000
        dark[places["unstable"]] += 400 * (n % 3 == 0)
        if n == 4:
            dark[0, 0] += 5000  # a cosmic ray
        write(f"d{n}.fits", dark, IMAGETYP="dark")
    response = rng.normal(1, 0.01, shape)
    response[places["dead"]] = 0.2
    for n in range(10):
        level = 5000 if n < 5 else 20000
        lit = level * response
        if n >= 5:
            lit[places["bent"]] *= 0.8
        write(f"f{n}.fits", 100 + rng.normal(lit, np.sqrt(lit)), IMAGETYP="flat", FILTER="V")
    return places


def test_bad_pixels_are_found_by_kind_and_no_others(tmp_path: Path) -> None:
    places = spoiled_night(tmp_path / "night")
    found = find_bad_pixels(open_night(tmp_path / "night"), tmp_path / "out")
    assert found.missing == ()
    (mask,) = found.masks
    assert mask[places["hot"]] & HOT
    assert mask[places["unstable"]] & UNSTABLE
    assert mask[places["dead"]] & BAD
    assert mask[places["bent"]] & NONLINEAR
    others = mask.copy()
    for place in places.values():
        others[place] = 0
    assert np.count_nonzero(others) == 0
    with fits.open(found.path, checksum=True) as hdus:
        np.testing.assert_array_equal(hdus[0].data, mask)
        assert hdus[0].header["BIT0"] == "bad pixel"
    again = find_bad_pixels(open_night(tmp_path / "night"), tmp_path / "out")
    np.testing.assert_array_equal(again.masks[0], mask)


def test_a_mask_that_was_made_is_kept_bit_by_bit(tmp_path: Path) -> None:
    places = spoiled_night(tmp_path / "night")
    pixels = np.full((24, 40), 1000, "u2")
    header = fits.Header({"EXPTIME": 10.0, "IMAGETYP": "object", "FILTER": "V", "OBJECT": "M 31"})
    fits.PrimaryHDU(pixels, header).writeto(tmp_path / "night" / "s.fits")
    night = open_night(tmp_path / "night")
    path = find_bad_pixels(night, tmp_path / "mask").path
    # All its pixels are alike.
    options = Options(mask=True, bad_pixels=str(path), unchecked=("saturated",))
    reduce_night(night, tmp_path / "out", options)
    mask = fits.getdata(tmp_path / "out" / "sc.fits", "MASK")
    np.testing.assert_array_equal(mask & 0b11100001, fits.getdata(path))
    assert mask[places["hot"]] & HOT


def cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "daskred.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_commands_print_tables_and_draw_pictures(two: Path, tmp_path: Path) -> None:
    done = cli("characterize", two, "--camera", two / CAMERA_FILE, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "gain (electrons per ADU)" in done.stdout
    picture = tmp_path / "out" / "characterization.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    done = cli("mask", two, "--camera", two / CAMERA_FILE, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "hot" in done.stdout


def test_a_camera_file_is_drafted_and_can_be_read(make_night: NightMaker, tmp_path: Path) -> None:
    path = make_night.add(
        "s.fits", "object", 500, 10.0, INSTRUME="Cam 7", BIASSEC="[11:12,1:8]", GAIN=1.7
    )
    text = draft_camera([str(path)])
    assert 'name = "Cam 7"' in text
    assert "exptime_s: EXPTIME = 10.0" in text
    assert "BIASSEC = '[11:12,1:8]'" in text
    target = tmp_path / "camera.toml"
    done = cli("camera", "new", path, "-o", target)
    assert done.returncode == 0, done.stderr
    assert read_camera(target).name == "Cam 7"
    assert cli("camera", "new", path, "-o", target).returncode == 2
    assert "kast-blue" in cli("camera", "list").stdout.split()
    assert cli("camera", "new").returncode == 2


def test_simulated_amplifiers_on_the_command_line(tmp_path: Path) -> None:
    night = tmp_path / "night"
    counts = ("--darks", 3, "--flats", 3, "--science", 1, "--size", "16x32")
    done = cli("simulate", night, "--two-amplifiers", "--nonlinearity", "2e-6", *counts)
    assert done.returncode == 0, done.stderr
    options = ("--camera", night / CAMERA_FILE, "--unit", "electron", "--mask", "--uncertainty")
    combine = ("--combine", "mean", "--reject", "minmax", "--reject-low", 0, "--reject-high", 1)
    done = cli("reduce", night, "-o", tmp_path / "out", *options, *combine, "--counts")
    assert done.returncode == 0, done.stderr
    dark = fits.getheader(tmp_path / "out" / "masters" / "MasterDark_3s.fits")
    assert (dark["COMBINE"], dark["REJECT"]) == ("mean", "minmax low=0 high=1")
    # What verify prints makes the same products again.
    product = next((tmp_path / "out" / "ktwo220274129").iterdir())
    before = product.read_bytes()
    product.unlink()
    done = cli("verify", tmp_path / "out")
    assert done.returncode == 1
    mending = done.stdout.splitlines()[-1]
    for option in ("--unit electron", "--combine mean", "--reject minmax", "--mask", "--counts"):
        assert option in mending
    arguments = mending.split()[1:]
    assert cli(*arguments).returncode == 0
    assert product.read_bytes() == before
    assert cli("verify", tmp_path / "out").returncode == 0
    assert cli("simulate", tmp_path / "other", "--nonlinearity", "2e-6").returncode == 2


@pytest.mark.parametrize("noise_adu", [0.0, 0.2, 0.35])
def test_darks_of_hardly_any_noise_have_a_mask_and_no_limits_that_are_none(
    tmp_path: Path, noise_adu: float
) -> None:
    rng = np.random.default_rng(1)
    (tmp_path / "night").mkdir()
    for n in range(6):
        pixels = 100 + rng.normal(0, noise_adu, (40, 60)) if noise_adu else np.full((40, 60), 100)
        header = fits.Header({"IMAGETYP": "dark", "EXPTIME": 10.0})
        header["DATE-OBS"] = f"2020-01-01T00:00:{n:02d}"
        path = tmp_path / "night" / f"d{n}.fits"
        fits.PrimaryHDU(np.round(pixels).astype("u2"), header).writeto(path)
    found = find_bad_pixels(open_night(tmp_path / "night"), tmp_path / "out")
    assert found.masks[0].shape == (40, 60)
    assert all(0 < limit.value < np.inf for limit in found.limits)
    if not noise_adu:
        assert found.limits == ()


def test_where_no_master_can_be_made_there_is_no_mask(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    for n in range(3):
        header = fits.Header({"IMAGETYP": "dark", "EXPTIME": 10.0, "DATE-OBS": f"2020-01-0{n + 1}"})
        pixels = np.full((20, 20), np.nan, "f4")
        fits.PrimaryHDU(pixels, header).writeto(tmp_path / "night" / f"d{n}.fits")
    with pytest.raises(RequestError, match="no master could be made"):
        find_bad_pixels(open_night(tmp_path / "night"), tmp_path / "out")
