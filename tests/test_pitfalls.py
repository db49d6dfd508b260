"""What goes wrong silently where nobody looks: each of these once did, or nearly.

There are many cases, each short, which makes the file longer than others.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import (
    Options,
    RequestError,
    open_images,
    open_night,
    read_camera,
    reduce_night,
    verify,
    write_frames,
)
from daskred.kernels.reject import Rejection
from daskred.measure.bad_pixels import find_bad_pixels
from daskred.measure.characterization import characterize
from daskred.model.readout import Overscan
from daskred.night.open import Night
from tests import processes
from tests.conftest import NightMaker, WriteFits, tree
from tests.steps.test_detector import ALLOW, levels_of, write_mosaic

BOTH: dict[str, Any] = {"mask": True, "uncertainty": True}


def with_rules(folder: Path, text: str, **rules: Any) -> Night:
    """Open a night with a camera file, and with rules on top of it."""
    path = folder.parent / "camera.toml"
    path.write_text(text)
    camera = read_camera(path)
    return open_night(folder, camera=replace(camera, detector=replace(camera.detector, **rules)))


def noisy(folder: Path, name: str, level: Any, kind: str, **cards: Any) -> None:
    """Write a frame of photons and read noise: gain 2, 8 electrons, 1000 ADU of bias."""
    rng = np.random.default_rng(sum(map(ord, name)))
    electrons = rng.poisson(np.maximum(level, 0)) + rng.normal(0, 8, np.shape(level))
    header = fits.Header({"IMAGETYP": kind, "DATE-OBS": name, "GAIN": 2.0, "RDNOISE": 8.0} | cards)
    folder.mkdir(exist_ok=True)
    pixels = np.rint(1000 + electrons / 2).clip(0, 65535).astype("u2")
    fits.PrimaryHDU(pixels, header).writeto(folder / f"{name}.fits")


def test_cleaned_pixels_have_the_level_of_their_neighbours(tmp_path: Path) -> None:
    night = tmp_path / "night"
    sky = np.full((60, 60), 800.0)
    sky[30:32, 30] += 40000
    noisy(night, "s", sky, "object", EXPTIME=10.0)
    options = Options(**ALLOW, mask=True, cosmics="clean")
    reduce_night(open_night(night), tmp_path / "out", options)
    pixels = fits.getdata(tmp_path / "out" / "sc.fits")
    assert pixels[30:32, 30] == pytest.approx(np.median(pixels), rel=0.02)


def test_sums_calibrate_nothing(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    night = open_night(make_night.folder)
    for masters_only in (False, True):
        options = Options(combine="sum", masters_only=masters_only)
        with pytest.raises(RequestError, match="calibrated by the sum of several exposures"):
            reduce_night(night, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_a_sum_is_as_uncertain_as_its_parts_together(tmp_path: Path) -> None:
    night = tmp_path / "night"
    for n in range(9):
        noisy(night, f"b{n}", np.zeros((80, 80)), "bias", EXPTIME=0.0)
    options = Options(combine="sum", masters_only=True, **BOTH)
    reduce_night(open_night(night), tmp_path / "out", options)
    with fits.open(tmp_path / "out" / "masters" / "MasterBias.fits") as hdus:
        assert np.median(hdus[0].data) == pytest.approx(9000, abs=5)
        assert np.std(hdus[0].data) == pytest.approx(np.median(hdus["UNCERT"].data), rel=0.04)


def test_linearity_needs_to_know_the_bias(make_night: NightMaker) -> None:
    make_night.add("s.fits", "object", 500, 10.0, OBJECT="M 31")
    text = '[[amplifier]]\ndata = "[1:10,1:8]"\nlinearity = [1.0, 1e-6]\n'
    (entry,) = with_rules(make_night.folder, text).left_out
    assert "needs an overscan; --no-linearity goes without" in entry.reason
    assert with_rules(make_night.folder, text, linearity=False).raw


@pytest.mark.parametrize("fit", ["none", "constant", "legendre", "chebyshev", "spline"])
@pytest.mark.parametrize("statistic", ["median", "mean", "clipped-mean"])
def test_pixels_without_a_value_do_not_spoil_an_overscan(statistic: Any, fit: Any) -> None:
    rng = np.random.default_rng(1)
    strip = rng.normal(500, 2, (60, 20))
    strip[10, 3] = np.nan
    strip[20] = np.nan
    levels = levels_of(strip, Overscan(statistic, fit))
    known = np.ones(60, bool)
    known[20] = fit != "none"
    np.testing.assert_array_equal(np.isfinite(levels), known)
    assert np.abs(levels[known] - 500).max() < 2.5


@pytest.mark.parametrize("strip", ["[1:8,33:64]", "[5:12,1:8]"])
def test_an_overscan_that_sees_light_is_refused(make_night: NightMaker, strip: str) -> None:
    make_night.add("s.fits", "object", 500, 10.0, (64, 64), OBJECT="M 31")
    text = f'[[amplifier]]\ndata = "[1:8,1:64]"\noverscan = ["{strip}"]\n'
    (entry,) = with_rules(make_night.folder, text).left_out
    assert "overlaps pixels that see light" in entry.reason or "neither beside" in entry.reason


def test_a_line_through_darks_knows_its_noise(tmp_path: Path) -> None:
    night = tmp_path / "night"
    shape = (80, 80)
    for n in range(5):
        for time in (10.0, 30.0):
            noisy(night, f"d{time:g}-{n}", np.full(shape, 20 * time), "dark", EXPTIME=time)
    noisy(night, "s", np.full(shape, 20 * 20.0 + 600), "object", EXPTIME=20.0)
    options = Options(missing_flat=True, dark_model=True, **BOTH)
    reduce_night(open_night(night), tmp_path / "out", options)
    with fits.open(tmp_path / "out" / "sc.fits") as hdus:
        assert np.std(hdus[0].data) == pytest.approx(np.median(hdus["UNCERT"].data), rel=0.05)


def test_the_noise_model_knows_that_a_bias_is_no_light(tmp_path: Path) -> None:
    night = tmp_path / "night"
    for n in range(7):
        level = np.zeros((20, 30))
        level[5] += 8 * 12.0 * (n == 2)  # twelve times the read noise
        noisy(night, f"b{n}", level, "bias", EXPTIME=0.0)
    options = Options(
        combine="mean",
        reject="noise",
        reject_low=5,
        reject_high=5,
        masters_only=True,
        counts=True,
    )
    reduce_night(open_night(night), tmp_path / "out", options)
    rejected = fits.getdata(tmp_path / "out" / "masters" / "MasterBias.fits", "REJECTED")
    assert (rejected[5] == 1).all()
    assert np.count_nonzero(rejected) == 30


def test_a_camera_of_few_digits_is_measured_too(tmp_path: Path) -> None:
    night = tmp_path / "night"
    night.mkdir()
    rng = np.random.default_rng(7)
    for n in range(9):
        for kind, time in (("bias", 0.0), ("dark", 10.0)):
            header = fits.Header({"IMAGETYP": kind, "EXPTIME": time, "DATE-OBS": f"{kind}{n}"})
            pixels = np.rint(rng.normal(300.2, 0.35, (64, 64))).astype("u2")
            fits.PrimaryHDU(pixels, header).writeto(night / f"{kind}{n}.fits")
    (one,) = characterize(open_night(night), tmp_path / "out").amplifiers
    assert one.read_noise_adu == pytest.approx(0.35, rel=0.1)  # without what rounding adds
    assert one.hot_fraction == 0
    found = find_bad_pixels(open_night(night), tmp_path / "mask")
    assert found.counts["hot"] == found.counts["unstable"] == 0


def test_one_saturated_pixel_and_two_filters_do_not_spoil_a_measurement(tmp_path: Path) -> None:
    night = tmp_path / "night"
    for n in range(4):
        noisy(night, f"b{n}", np.zeros((96, 96)), "bias", EXPTIME=0.0)
        for band, rate in (("V", 4000.0), ("B", 900.0)):
            for time in (1.0, 2.0, 4.0):
                level = np.full((96, 96), rate * time)
                level[3, 3] = 10**7
                name = f"f{band}{time:g}{n}"
                noisy(night, name, level, "flat", EXPTIME=time, FILTER=band)
    night_ = open_night(night)
    (one,) = characterize(night_, tmp_path / "out").amplifiers
    assert one.gain_e_per_adu == pytest.approx(2.0, rel=0.02)
    assert [time for time, _ in one.linearity] == [1.0, 2.0, 4.0]
    assert max(abs(deviation) for _, deviation in one.linearity) < 0.005


def test_a_blank_card_does_not_hide_saturation(make_night: NightMaker, tmp_path: Path) -> None:
    path = make_night.add("s.fits", "object", 500, 10.0, OBJECT="M 31")
    with fits.open(path, mode="update") as hdus:
        hdus[0].data[2, 3] = 65535
        hdus[0].data[4, 5] = 0
    data = path.read_bytes()
    card = f"BLANK   = {-32768:>20}".ljust(80).encode()
    end = data.index(b"END     ")
    path.write_bytes(data[:end] + card + data[end : end + 80] + data[end + 160 :])
    options = Options(**ALLOW, mask=True)
    reduce_night(open_night(make_night.folder), tmp_path / "out", options)
    mask = fits.getdata(tmp_path / "out" / "sc.fits", "MASK")
    assert (mask[2, 3], mask[4, 5]) == (2, 8)


def test_tables_without_sums_are_whole(make_night: NightMaker, tmp_path: Path) -> None:
    path = make_night.add("s.fits", "object", 500, 10.0, OBJECT="M 31")
    table = fits.BinTableHDU.from_columns([fits.Column("T", "D", array=np.arange(3.0))])
    with fits.open(path, mode="append") as hdus:
        hdus.append(table)
    reduce_night(open_night(make_night.folder), tmp_path / "out", Options(**ALLOW))
    assert verify(tmp_path / "out").findings == ()


def test_what_mends_has_every_digit(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    options = Options(combine="mean", reject="sigma", reject_low=2.3333333333, reject_high=3.0)
    reduce_night(open_night(make_night.folder), tmp_path / "out", options)
    (tmp_path / "out" / "s-0c.fits").unlink()
    arguments = shlex.split(verify(tmp_path / "out").mend.splitlines()[-1])
    assert arguments[arguments.index("--reject-low") + 1] == "2.3333333333"


def test_bad_pixels_and_cosmics_leave_masters_alone(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    night = open_night(make_night.folder)
    bad = np.zeros((8, 12), "u1")
    fits.PrimaryHDU(bad).writeto(tmp_path / "bad.fits")

    def made(**more: Any) -> tuple[bool, bool]:
        summary = reduce_night(night, tmp_path / "out", Options(mask=True, **more))
        return tuple(any(r.made for r in rs) for rs in (summary.masters, summary.science))  # type: ignore[return-value]

    path = str(tmp_path / "bad.fits")
    assert made() == (True, True)
    assert made(bad_pixels=path) == (False, True)
    assert made(bad_pixels=path) == (False, False)
    bad[1, 2] = 1
    fits.PrimaryHDU(bad).writeto(tmp_path / "bad.fits", overwrite=True)
    assert made(bad_pixels=path) == (False, True)
    (tmp_path / "bad.fits").rename(tmp_path / "other.fits")
    assert made(bad_pixels=str(tmp_path / "other.fits")) == (False, False)
    with pytest.raises(RequestError, match="goes with --mask"):
        reduce_night(night, tmp_path / "out", Options(bad_pixels=path))


def test_no_card_of_raw_pixels_contradicts_electrons(write_fits: WriteFits, tmp_path: Path) -> None:
    path = write_mosaic(write_fits)
    with fits.open(path, mode="update") as hdus:
        hdus[0].header.update({"GAIN": 3.3, "SATURATE": 60000.0, "CCDGAIN": 2.0})
    camera = read_camera()
    camera = replace(camera, detector=replace(camera.detector, unit="electron"))
    reduce_night(open_night(path, camera=camera), tmp_path / "out", Options(**ALLOW))
    with fits.open(tmp_path / "out" / "mc.fits") as hdus:
        assert hdus[0].header["GAIN"] == 1.0
        for hdu in hdus:
            assert not {"SATURATE", "CCDGAIN"} & set(hdu.header)


def test_sections_with_asterisks_and_without_sense(make_night: NightMaker) -> None:
    cards = {"DATASEC": "[1:10,*]", "BIASSEC": "[11:12,*]"}
    path = make_night.add("s.fits", "object", 500, 10.0, None, "u2", OBJECT="M 31", **cards)
    (frame,) = open_night(path).frames
    assert frame.preparation is not None
    assert frame.preparation.geometry == "image: data [1:10,1:8], overscan [11:12,1:8]"
    for text in ("11:12,1:8", "[11:12]", "right"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header["BIASSEC"] = text
        (entry,) = open_night(path).left_out
        assert f"BIASSEC = '{text}' is no section" in entry.reason
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["BIASSEC"] = "UNKNOWN"
    assert open_night(path).raw


@pytest.mark.parametrize(
    "text",
    [
        *('image = "x"', "image = -1", 'linearity = "abc"', 'linearity = ["a"]', "linearity = 5"),
        *("overscan = [5]", 'overscan = "[1:2,1:2]"', "place = 5", "name = 3"),
        *("gain_e_per_adu = nan", "gain_e_per_adu = inf", "linearity = [nan]"),
        *("linearity_table = [[0, 0]]", "linearity_table = [[0, 0], [2, 1], [1, 2]]"),
    ],
)
def test_nonsense_of_amplifiers_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "camera.toml"
    path.write_text(f'[[amplifier]]\ndata = "[1:2,1:2]"\n{text}\n')
    with pytest.raises(RequestError, match=text.split(" = ", maxsplit=1)[0]):
        read_camera(path)


@pytest.mark.parametrize("rows", ["[1, 2]", '[["a"], 3]', "[[true]]"])
def test_nonsense_of_crosstalk_is_named(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "camera.toml"
    path.write_text(f"[detector]\ncrosstalk = {rows}\n")
    with pytest.raises(RequestError, match="crosstalk"):
        read_camera(path)


@pytest.mark.parametrize(
    "given",
    [
        *({"low": -1.0}, {"high": float("nan")}, {"low": float("inf")}, {"iterations": 0}),
        *({"centre": "mode"}, {"scale": "iqr"}, {"method": "percentile", "low": 3.0}),
    ],
)
def test_rejections_of_nonsense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\d|there are|no limit"):
        Rejection(**given)


def test_bleeding_is_marked_also_where_nothing_else_is_done(
    make_night: NightMaker, tmp_path: Path
) -> None:
    path = make_night.add("s.fits", "object", 500, 10.0, OBJECT="M 31")
    with fits.open(path, mode="update") as hdus:
        hdus[0].data[4, 5] = 65535
    night = with_rules(make_night.folder, "", bleed_rows=2)
    reduce_night(night, tmp_path / "out", Options(**ALLOW, mask=True))
    mask = fits.getdata(tmp_path / "out" / "sc.fits", "MASK")
    assert np.flatnonzero(mask[:, 5]).tolist() == [2, 3, 4, 5, 6]


def test_prepared_frames_are_opened_as_they_are_reduced(
    write_fits: WriteFits, tmp_path: Path
) -> None:
    path = write_mosaic(write_fits)
    for assemble in (False, True):
        camera = read_camera()
        rules = replace(camera.detector, unit="electron", assemble=assemble)
        night = open_night(path, camera=replace(camera, detector=rules))
        opened = open_images(night.raw)
        out = tmp_path / str(assemble)
        reduce_night(night, out, Options(**ALLOW))
        with fits.open(out / "mc.fits") as hdus:
            images = [hdu.data for hdu in hdus if hdu.data is not None]
        assert [one.attrs["units"] for one in opened.values()] == ["electron"] * len(images)
        for one, image in zip(opened.values(), images, strict=True):
            np.testing.assert_array_equal(one.values[0], image)


def test_a_notebook_writes_electrons_as_such(write_fits: WriteFits, tmp_path: Path) -> None:
    path = write_mosaic(write_fits)
    camera = read_camera()
    camera = replace(camera, detector=replace(camera.detector, unit="electron", assemble=True))
    night = open_night(path, camera=camera)
    write_frames(open_images(night.raw), tmp_path / "book", camera=camera)
    reduce_night(night, tmp_path / "run", Options(**ALLOW))
    with (
        fits.open(tmp_path / "book" / "mc.fits") as mine,
        fits.open(tmp_path / "run" / "mc.fits") as theirs,
    ):
        np.testing.assert_array_equal(mine[0].data, theirs[0].data)
        for card in ("BUNIT", "GAINCOR", "OVERSCAN", "TRIM", "GAIN"):
            assert mine[0].header[card] == theirs[0].header[card]


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("percentile", "percentile low=0.1 high=0.1"),
        ("minmax", "minmax low=1 high=1"),
        ("sigma", "sigma low=3 high=3 median mad"),
    ],
)
def test_limits_that_nobody_gives_suit_the_method(
    make_night: NightMaker, tmp_path: Path, method: str, told: str
) -> None:
    make_night.standard()
    out = tmp_path / "out"
    arguments = ("reduce", make_night.folder, "-o", out, "--reject", method, "--quiet")
    status, said = processes.run(*arguments)
    assert status == 0, said
    assert fits.getheader(out / "masters" / "MasterDark_10s.fits")["REJECT"] == told
    status, said = processes.run(*arguments, "--reject-low", -1)
    assert status == 2
    assert "--reject-low -1: is no limit" in said


def test_measuring_leaves_the_masters_of_a_run_alone(night: Path, tmp_path: Path) -> None:
    opened = open_night(night)
    reduce_night(opened, tmp_path, Options(mask=True))
    before = tree(tmp_path)
    find_bad_pixels(opened, tmp_path)
    characterize(opened, tmp_path)
    after = tree(tmp_path)
    assert {name: after[name] for name in before} == before
    assert verify(tmp_path).findings == ()
    again = reduce_night(opened, tmp_path, Options(mask=True))
    assert not any(one.made for one in (*again.masters, *again.science))
