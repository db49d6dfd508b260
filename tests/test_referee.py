"""Uncertainties of masters, judged by a simulator: residuals over them scatter by one.

There are many cases, each short, which makes the file longer than others.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import Options, open_night, read_camera, reduce_night
from daskred.cameras.rules import Camera
from tests.telescope import SHAPE, Heard, Telescope, pulls, scatter

RULES: dict[str, dict[str, Any]] = {
    "median": {},
    "mean": {"combine": "mean"},
    "lower median": {"combine": "lower-median"},
    "clipped mean": {"combine": "clipped-mean"},
    "winsorized": {"combine": "mean", "reject": "winsorized"},
    "minmax": {"combine": "mean", "reject": "minmax"},
    "noise": {"combine": "mean", "reject": "noise"},
    "percentile": {
        "combine": "mean",
        "reject": "percentile",
        "reject_low": 0.01,
        "reject_high": 0.01,
    },
    "median of clipped": {"reject": "sigma"},
}


@pytest.mark.parametrize("n", [1, 3, 30])
@pytest.mark.parametrize("rule", list(RULES))
def test_a_master_bias_scatters_as_it_says(telescope: Telescope, n: int, rule: str) -> None:
    for _ in range(n):
        telescope.expose("bias", 0.0)
    out = telescope.reduce(**RULES[rule])
    found = pulls(out / "masters/MasterBias.fits", telescope.bias)
    assert scatter(found) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("n", [4, 31])
@pytest.mark.parametrize("n_overscan", [0, 32])
@pytest.mark.parametrize("read_noise_adu", [1.0, 2.0])
def test_whole_numbers_of_little_noise_are_less_certain(
    telescope: Telescope, read_noise_adu: float, n_overscan: int, n: int
) -> None:
    telescope.read_noise_adu, telescope.n_overscan = read_noise_adu, n_overscan
    for _ in range(n):
        telescope.expose("bias", 0.0)
    found = pulls(telescope.reduce() / "masters/MasterBias.fits", telescope.bias)
    assert scatter(found) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("n_overscan", [0, 32])
def test_structure_of_the_bias_is_no_light(telescope: Telescope, n_overscan: int) -> None:
    telescope.structure_adu, telescope.n_overscan = 30.0, n_overscan
    telescope.__post_init__()
    for kind, exptime_s, light, n in (
        ("bias", 0, 0, 31),
        ("dark", 100, 0, 31),
        ("flat", 1, 40000, 15),
        ("science", 100, 50, 2),
    ):
        for _ in range(n):
            telescope.expose(kind, float(exptime_s), float(light))
    for _ in range(11):
        telescope.expose("dark", 1.0)
    out = telescope.reduce()
    level = telescope.bias
    found = {
        "bias": pulls(out / "masters/MasterBias.fits", level),
        "dark": pulls(
            out / "masters/MasterDark_100s.fits", level + 100 * telescope.dark / telescope.gain
        ),
        "flat": pulls(out / "masters/MasterFlat_V.fits", telescope.flat, scaled=True),
        "science": pulls(next(out.glob("science*c.fits")), np.full(SHAPE, 25.0), scaled=True),
    }
    above = telescope.structure > 0
    for pull in found.values():
        assert scatter(pull) == pytest.approx(1, abs=0.01)
        assert scatter(pull[above]) == pytest.approx(scatter(pull[~above]), abs=0.02)


@pytest.mark.parametrize("n", [5, 31])
def test_the_scatter_of_darks_tells_their_noise_where_nothing_else_does(
    telescope: Telescope, n: int
) -> None:
    """Neither bias frames nor overscans, hot pixels and cosmic rays among the darks."""
    telescope.current = 5.0
    telescope.__post_init__()
    telescope.dark[::9, ::11] *= 20
    for kind, exptime_s, light, number in (
        ("dark", 60, 0, n),
        ("dark", 1, 0, 31),
        ("flat", 1, 40000, 15),
        ("science", 60, 50, 2),
    ):
        for _ in range(number):
            telescope.expose(kind, float(exptime_s), float(light))
    rays = telescope.rng.integers(0, SHAPE, (40, 2))
    path = sorted(telescope.folder.glob("dark*"))[0]
    with fits.open(path, mode="update") as hdus:
        hdus[0].data[tuple(rays.T)] += 5000
    out = telescope.reduce(combine="clipped-mean" if n > 5 else "median")
    truth = telescope.bias + 60 * telescope.dark / telescope.gain
    dark = pulls(out / "masters/MasterDark_60s.fits", truth)
    hot = np.zeros(SHAPE, bool)
    hot[::9, ::11] = True
    science = pulls(next(out.glob("science*c.fits")), np.full(SHAPE, 25.0), scaled=True)
    for pull in (dark, science):
        assert scatter(pull) == pytest.approx(1, abs=0.01)
        assert scatter(pull[hot]) == pytest.approx(1, abs=0.1)
    level = fits.getheader(out / "masters/MasterDark_60s.fits")["ZEROL001"]
    assert level == pytest.approx(np.median(telescope.bias), abs=0.03 * 300)
    flat = pulls(out / "masters/MasterFlat_V.fits", telescope.flat, scaled=True)
    assert scatter(flat) == pytest.approx(1, abs=0.01)


def test_a_single_dark_tells_nothing_of_its_noise(telescope: Telescope) -> None:
    telescope.expose("dark", 60.0)
    out = telescope.reduce()
    assert "ZEROL001" not in fits.getheader(out / "masters/MasterDark_60s.fits")


@pytest.mark.parametrize(
    "options",
    [{}, {"combine": "mean"}, {"combine": "mean", "weight": "level"}],
    ids=["median", "mean", "weights"],
)
def test_flats_of_unlike_brightness_scatter_as_they_say(
    telescope: Telescope, options: dict[str, Any]
) -> None:
    for _ in range(11):
        telescope.expose("bias", 0.0)
    telescope.current = 0.0
    telescope.__post_init__()
    for n in range(15):
        telescope.expose("flat", 1.0, 1500 * 10 ** (n / 14))
    out = telescope.reduce(**options)
    found = pulls(out / "masters/MasterFlat_V.fits", telescope.flat, scaled=True)
    assert scatter(found) == pytest.approx(1, abs=0.01)


def camera_of(path: Path, amplifiers: list[tuple[str, float, float]]) -> Camera:
    """Write and read the rules of a camera: sections, gains and read noises in electrons."""
    rules = [
        f"""
[[amplifier]]
name = "{section}"
data = "{section}"
place = "{section}"
gain_e_per_adu = {gain}
read_noise_e = {noise}
"""
        for section, gain, noise in amplifiers
    ]
    path.write_text("".join(rules))
    return read_camera(path)


def test_each_amplifier_has_its_own_noise(tmp_path: Path) -> None:
    """Of unlike gain and read noise, each loses as many good values as three deviations tell."""
    folder, rng = tmp_path / "night", np.random.default_rng(5)
    folder.mkdir()
    gains, noises = (0.1, 0.25), (12.0, 4.0)
    camera = camera_of(
        tmp_path / "camera.toml",
        [
            ("[1:96,1:160]", gains[0], noises[0]),
            ("[97:192,1:160]", gains[1], noises[1]),
        ],
    )
    sigma = np.repeat(np.divide(noises, gains), 96)
    for number in range(20):
        pixels = np.round(1000 + rng.normal(0, 1, (160, 192)) * sigma).astype("u2")
        header = fits.Header({"IMAGETYP": "bias", "EXPTIME": 0.0})
        fits.PrimaryHDU(pixels, header).writeto(folder / f"bias-{number}.fits")
    night = open_night(folder, camera=camera)
    options = Options(
        combine="mean",
        reject="noise",
        reject_iterations=1,
        counts=True,
        masters_only=True,
        threads=True,
    )
    reduce_night(night, tmp_path / "out", options)
    rejected = fits.getdata(tmp_path / "out/masters/MasterBias.fits", "REJECTED") / 20
    drawn = rng.normal(size=(20, 40000))
    expected = np.mean(np.abs(drawn - np.median(drawn, axis=0)) > 3)
    assert rejected[:, :96].mean() == pytest.approx(expected, rel=0.2)
    assert rejected[:, 96:].mean() == pytest.approx(expected, rel=0.2)


def test_a_run_says_where_a_mean_is_better_than_a_median(telescope: Telescope) -> None:
    telescope.read_noise_adu = 1.5
    for _ in range(41):
        telescope.expose("bias", 0.0)
    errors = []
    for combine in ("median", "clipped-mean"):
        out, heard = telescope.folder.parent / combine, Heard()
        options = Options(combine=combine, masters_only=True, threads=True)
        reduce_night(open_night(telescope.folder), out, options, heard)
        master = fits.getdata(out / "masters/MasterBias.fits")
        errors.append(np.std(master - telescope.bias))
        said = [message for message in heard.messages if "whole number" in message]
        assert bool(said) == (combine == "median")
        if said:
            told = re.findall(r"by ([0-9.]+) ADU", said[0])
    np.testing.assert_allclose([float(number) for number in told], errors, rtol=0.05)


def test_a_run_says_nothing_where_noise_is_larger_than_numbers(telescope: Telescope) -> None:
    for _ in range(7):
        telescope.expose("bias", 0.0)
    heard = Heard()
    options = Options(masters_only=True, threads=True)
    reduce_night(open_night(telescope.folder), telescope.folder.parent / "out", options, heard)
    assert not heard.messages


def test_rows_of_no_amplifier_have_no_value_also_where_noise_rejects(tmp_path: Path) -> None:
    folder, rng = tmp_path / "night", np.random.default_rng(5)
    folder.mkdir()
    places = ("[1:20,1:10]", "[1:20,31:40]")
    camera = camera_of(tmp_path / "camera.toml", [(place, 1.0, 5.0) for place in places])
    for number in range(5):
        pixels = np.round(1000 + rng.normal(0, 5, (40, 20))).astype("u2")
        header = fits.Header({"IMAGETYP": "bias", "EXPTIME": 0.0})
        fits.PrimaryHDU(pixels, header).writeto(folder / f"bias-{number}.fits")
    night = open_night(folder, camera=camera)
    found = []
    for tile_rows in (5, 40):
        out = tmp_path / str(tile_rows)
        options = Options(
            combine="mean", reject="noise", masters_only=True, threads=True, tile_rows=tile_rows
        )
        reduce_night(night, out, options)
        found.append(fits.getdata(out / "masters/MasterBias.fits"))
    np.testing.assert_array_equal(*found)
    assert np.isnan(found[0][10:30]).all()
    assert np.isfinite(found[0][:10]).all()


@pytest.mark.parametrize("kind", ["bias", "dark", "flat"])
def test_uncertainties_go_by_the_scatter_where_headers_tell_less(
    telescope: Telescope, kind: str
) -> None:
    """A read noise, or a gain, that is wrong in the headers makes no master too certain."""
    for _ in range(12):
        telescope.expose("bias", 0.0)
        if kind == "dark":
            telescope.expose("dark", 100.0)
        if kind == "flat":
            telescope.expose("flat", 1.0, 3000)
    for path in telescope.folder.glob("*.fits"):
        with fits.open(path, mode="update") as hdus:
            # Flats have photons' noise, which a gain that is too large makes too small.
            keyword = "GAIN" if kind == "flat" else "RDNOISE"
            hdus[0].header[keyword] *= 2 if kind == "flat" else 0.5
    out, heard = telescope.folder.parent / "out", Heard()
    options = Options(uncertainty=True, masters_only=True, threads=True, combine="mean")
    reduce_night(open_night(telescope.folder), out, options.but(missing_dark=True), heard)
    name, truth = {
        "bias": ("MasterBias", telescope.bias),
        "dark": ("MasterDark_100s", telescope.bias + 100 * telescope.dark / telescope.gain),
        "flat": ("MasterFlat_V", telescope.flat),
    }[kind]
    assert any(name in said and "scatter" in said for said in heard.messages)
    assert fits.getheader(out / f"masters/{name}.fits")["SCATTER"] > 1.3
    pull = pulls(out / f"masters/{name}.fits", truth, scaled=kind == "flat")
    assert scatter(pull) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("read_noise_adu", "counts"), [(0.75, True), (4.0, False)])
def test_a_run_says_where_a_median_of_few_electrons_is_too_low(
    telescope: Telescope, read_noise_adu: float, counts: bool
) -> None:
    telescope.read_noise_adu, telescope.current = read_noise_adu, 0.03
    telescope.__post_init__()
    telescope.dark[:] = 0.03
    for _ in range(61):
        telescope.expose("bias", 0.0)
        telescope.expose("dark", 100.0)
    errors, heard = [], Heard()
    for combine in ("median", "clipped-mean"):
        out = telescope.folder.parent / combine
        options = Options(combine=combine, uncertainty=True, masters_only=True, threads=True)
        reduce_night(open_night(telescope.folder), out, options, heard)
        master = fits.getdata(out / "masters/MasterDark_100s.fits").astype("f8")
        errors.append(telescope.gain * np.mean(master - telescope.bias) - 3.0)
    said = [message for message in heard.messages if "few electrons" in message]
    assert len(said) == counts
    if counts:
        told = float(re.findall(r"by ([0-9.]+) electrons", said[0])[0])
        # Of the median alone; whole numbers and clipping have a part in it.
        assert errors[0] == pytest.approx(-told, abs=0.05)


def test_overscans_beside_and_above_leave_no_stripes_and_are_as_uncertain_as_it_says(
    tmp_path: Path,
) -> None:
    """Rows and columns have levels that are others in each frame."""
    rng, (height, width), (n_beside, n_above) = np.random.default_rng(4), SHAPE, (24, 16)
    (tmp_path / "night").mkdir()
    for number in range(12):
        kind = "bias" if number < 9 else "science"
        pixels = rng.normal(1000, 20, (height + n_above, 1)) + rng.normal(
            0, 20, width + n_beside
        ) * (np.arange(width + n_beside) < width)
        pixels[:height, :width] += 200.0 * (kind == "science")
        pixels += rng.normal(0, 4.0, pixels.shape)
        if kind == "science":
            light = pixels[:height, :width]
            light += (rng.poisson(400, light.shape) - 400) / 2.0
        header = fits.Header({"IMAGETYP": kind, "EXPTIME": 10.0 * (kind == "science")})
        header["GAIN"], header["RDNOISE"] = (2.0, "e-/ADU"), (8.0, "electrons")
        header["DATE-OBS"] = f"2026-01-01T00:00:{number:02d}"
        path = tmp_path / "night" / f"{kind}{number}.fits"
        fits.PrimaryHDU(pixels.round().astype("u2"), header).writeto(path)
    (tmp_path / "camera.toml").write_text(
        f"""[[amplifier]]
        name = "only"
        data = "[1:{width},1:{height}]"
        overscan = ["[{width + 1}:{width + n_beside},1:{height}]",
                    "[1:{width},{height + 1}:{height + n_above}]"]
        """
    )
    camera = read_camera(tmp_path / "camera.toml")
    options = Options(uncertainty=True, missing_flat=True, overscan="mean")
    camera = replace(camera, detector=replace(camera.detector, overscan="mean"))
    summary = reduce_night(open_night(tmp_path / "night", camera=camera), tmp_path / "out", options)
    assert (len(summary.science), summary.failed) == (3, ())
    found = []
    for path in sorted((tmp_path / "out").glob("science*c.fits")):
        with fits.open(path) as hdus:
            value, sigma = hdus[0].data.astype("f8"), hdus["UNCERT"].data.astype("f8")
            assert "row and column" in hdus[0].header.comments["OVERSCAN"]
            assert hdus[0].header["OVSCERR"] == pytest.approx(np.hypot(4 / 24**0.5, 1.0), rel=0.03)
        found.append((value - 200) / sigma)
        # Of stripes of 20 ADU nothing is left but noise, of levels and of pixels.
        assert max(np.std(value.mean(axis=1)), np.std(value.mean(axis=0))) < 1.6
    assert scatter(np.array(found)) == pytest.approx(1, abs=0.01)


def test_noise_is_told_by_the_bias_of_this_very_run(tmp_path: Path) -> None:
    """Also where no uncertainties are asked for, and an older master bias stands there."""
    options = Options(combine="mean", reject="noise", overwrite=True, missing_flat=True)
    found = {}
    for structure_adu in (300.0, 5.0):  # the second night's is another one, in the same folder
        night = tmp_path / f"night{structure_adu:g}"
        telescope = Telescope(night, structure_adu=structure_adu)
        for _ in range(5):
            telescope.expose("bias", 0.0)
            telescope.expose("dark", 60.0)
        telescope.expose("science", 60.0, 100.0)
        for out in ("same", f"fresh{structure_adu:g}"):
            reduce_night(open_night(night), tmp_path / out, options)
            found[structure_adu, out] = fits.getdata(tmp_path / out / "masters/MasterDark_60s.fits")
        np.testing.assert_array_equal(*(found[structure_adu, out] for out in ("same", out)))


def test_darks_are_made_anew_when_the_bias_changes_that_tells_their_noise(
    telescope: Telescope, tmp_path: Path
) -> None:
    for _ in range(3):
        telescope.expose("bias", 0.0)
        telescope.expose("dark", 60.0)

    def made(**options: Any) -> list[str]:
        chosen = Options(masters_only=True, threads=True, **options)
        summary = reduce_night(open_night(telescope.folder), tmp_path / "out", chosen)
        return [receipt.source for receipt in summary.masters if receipt.made]

    made(combine="mean", reject="noise")
    with fits.open(telescope.folder / "bias-0001.fits", mode="update") as hdus:
        hdus[0].data[-1, -1] += 1
    assert made(combine="mean", reject="noise") == ["MasterBias", "MasterDark_60s"]
    made(combine="mean", reject="sigma")
    with fits.open(telescope.folder / "bias-0001.fits", mode="update") as hdus:
        hdus[0].data[-1, -1] += 1
    assert made(combine="mean", reject="sigma") == ["MasterBias"]
