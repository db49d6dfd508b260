"""What pixels of masters tell: flats without light, levels that cannot be, copies of a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import Options, Summary, open_night, reduce_night
from daskred.cli import main
from tests.conftest import NightMaker

SHAPE = (48, 64)


def night_of(maker: NightMaker, level: float = 1000, n_each: int = 5, **dtype: Any) -> Path:
    maker.shape = SHAPE
    for number in range(n_each):
        maker.add(f"b{number}.fits", "Bias", level, 0.0, **dtype)
        maker.add(f"d{number}.fits", "Dark", level + 10, 60.0, **dtype)
        maker.add(f"e{number}.fits", "Dark", level + 1, 3.0, **dtype)
        maker.add(f"f{number}.fits", "Flat", 20000, 3.0, FILTER="V")
    for number in range(2):
        maker.add(f"s{number}.fits", "Light", 1400, 60.0, FILTER="V")
    return maker.folder


def change(path: Path, change_pixels: Any) -> None:
    with fits.open(path) as hdus:
        pixels, header = hdus[0].data.copy(), hdus[0].header.copy()
    header.remove("BZERO", ignore_missing=True)
    fits.PrimaryHDU(change_pixels(pixels), header).writeto(path, overwrite=True)


def reduced(night: Path, out: Path, **options: Any) -> Summary:
    return reduce_night(open_night(night), out, Options(**options))


@pytest.mark.parametrize("n_off", [2, 5])
@pytest.mark.parametrize("stray", [30, 120])
def test_flats_whose_lamp_was_off_are_left_out(
    make_night: NightMaker, tmp_path: Path, n_off: int, stray: int
) -> None:
    night = night_of(make_night)
    for number in range(n_off):
        make_night.add(f"off{number}.fits", "Flat", 1001 + stray, 3.0, FILTER="V")
    summary = reduced(night, tmp_path / "out")
    assert sorted(entry.name for entry in summary.failed) == [f"off{n}.fits" for n in range(n_off)]
    assert all("hardly any light" in entry.reason for entry in summary.failed)
    header = fits.getheader(tmp_path / "out/masters/MasterFlat_V.fits")
    assert header["NCOMBINE"] == 5


@pytest.mark.parametrize("top", [4095, 16383])
def test_flats_that_are_wholly_saturated_are_refused(
    make_night: NightMaker, tmp_path: Path, top: int
) -> None:
    night = night_of(make_night)
    for path in night.glob("f*.fits"):
        change(path, lambda pixels: np.full_like(pixels, top))
    summary = reduced(night, tmp_path / "out")
    told = {entry.name: entry.reason for entry in summary.failed}
    assert "is saturated: 100%" in told["f0.fits"]
    assert not summary.science


@pytest.mark.parametrize(
    ("change_pixels", "names", "told"),
    [
        (lambda p: (p.astype("i4") - 1000).astype("i2"), "d", "below that of MasterBias"),
        (lambda p: p * 0, "d", "below that of MasterBias"),
        (lambda p: (p / 65535).astype("f4"), "de", "on another scale"),
        (lambda p: (p / 65535).astype("f4"), "deb", "on another scale"),
        (lambda p: (p.astype("i4") - 32768).astype("i2"), "deb", "is BZERO lost"),
    ],
)
def test_levels_that_cannot_be_are_named(
    make_night: NightMaker, tmp_path: Path, change_pixels: Any, names: str, told: str
) -> None:
    night = night_of(make_night)
    for path in night.glob(f"[{names}]*.fits"):
        change(path, change_pixels)
    summary = reduced(night, tmp_path / "out")
    assert any("MasterDark_60s" in text and told in text for text in summary.named), summary.named


def test_a_night_whose_levels_agree_has_nothing_named(
    make_night: NightMaker, tmp_path: Path
) -> None:
    assert reduced(night_of(make_night), tmp_path / "out").named == ()


def test_frames_with_the_very_pixels_of_another_are_told(
    make_night: NightMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = night_of(make_night)
    pixels = fits.getdata(night / "d0.fits")
    for number in (2, 4):
        change(night / f"d{number}.fits", lambda _: pixels)
    main(["reduce", str(night), "-o", str(tmp_path / "out")])
    told = " ".join(capsys.readouterr().err.split())
    assert "MasterDark_60s: d2.fits and 1 more: the very pixels of another frame" in told


def test_random_telegraph_pixels_of_bias_frames_are_no_other_time(
    make_night: NightMaker, tmp_path: Path
) -> None:
    random = np.random.default_rng(5)
    make_night.shape = (64, 80)
    places = random.choice(64 * 80, 8, replace=False)
    charge, often = random.exponential(100, 8) + 40, random.uniform(0.05, 0.95, 8)
    for number in range(20):
        path = make_night.add(f"b{number:02d}.fits", "Bias", 1000, 0.0)
        jumps = np.rint(charge * (random.random(8) < often)).astype("u2")
        with fits.open(path, mode="update") as hdus:
            hdus[0].data.reshape(-1)[places] += jumps
    summary = reduced(make_night.folder, tmp_path / "out", masters_only=True)
    assert not summary.failed
