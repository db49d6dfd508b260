"""Uncertainties, judged by a simulator of its own: photons, read noise, rounding, structures.

It shares no code with what it tests. Residuals over their stated uncertainties scatter by one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from scipy.special import ndtr

from daskred import Options, find_bad_pixels, open_night, read_camera, reduce_night, simulate
from daskred.cameras.rules import Camera
from daskred.engine.progress import Silent
from daskred.kernels.replaced import replace_by_neighbours
from daskred.model.mask import BAD, COSMIC, HOT
from daskred.steps.interpolation import fill_gaps

SHAPE = (160, 192)
GAIN = 2.0
NIGHT = "2026-01-0"
Pixels = np.ndarray[Any, np.dtype[np.float64]]


@dataclass
class Telescope:
    """A camera and its lamp, with a truth that is drawn once.

    Parameters
    ----------
    read_noise_adu, gain
        Of each pixel; in electrons for one ADU.
    structure_adu
        How much the bias differs from pixel to pixel.
    n_overscan
        Columns to the right.
    current
        Electrons a second, on average.
    """

    folder: Path
    read_noise_adu: float = 4.0
    gain: float = GAIN
    structure_adu: float = 5.0
    n_overscan: int = 0
    current: float = 0.5
    seed: int = 1

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.rows = 1000 + self.rng.uniform(0, 1, (SHAPE[0], 1))
        self.structure = self.rng.normal(0, self.structure_adu, SHAPE)
        self.dark = self.current * self.rng.gamma(4, 0.25, SHAPE)
        y, x = np.indices(SHAPE)
        vignetting = 1 - 0.2 * ((y / SHAPE[0] - 0.5) ** 2 + (x / SHAPE[1] - 0.5) ** 2)
        self.flat = vignetting * self.rng.normal(1, 0.01, SHAPE)
        self.number = 0

    @property
    def bias(self) -> Pixels:
        """The level without light, less that of the overscan where there is one."""
        return self.structure if self.n_overscan else self.rows + self.structure

    def expose(self, kind: str, exptime_s: float, light_e: Pixels | float = 0.0) -> None:
        """Write a frame of so many electrons of light in front of the flat field."""
        electrons = self.rng.poisson(self.dark * exptime_s + light_e * self.flat)
        pixels = self.rows + self.structure + electrons / self.gain
        if self.n_overscan:
            pixels = np.hstack([pixels, np.repeat(self.rows, self.n_overscan, axis=1)])
        pixels = np.round(pixels + self.rng.normal(0, self.read_noise_adu, pixels.shape))
        header = fits.Header()
        header["IMAGETYP"], header["EXPTIME"], header["FILTER"] = kind, exptime_s, "V"
        header["GAIN"] = (self.gain, "e-/ADU")
        header["RDNOISE"] = (self.read_noise_adu * self.gain, "electrons")
        self.number += 1
        header["DATE-OBS"] = f"{NIGHT}1T01:{self.number // 60:02d}:{self.number % 60:02d}"
        if self.n_overscan:
            header["TRIMSEC"] = f"[1:{SHAPE[1]},1:{SHAPE[0]}]"
            header["BIASSEC"] = f"[{SHAPE[1] + 1}:{pixels.shape[1]},1:{SHAPE[0]}]"
        path = self.folder / f"{kind}-{self.number:04d}.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        fits.PrimaryHDU(pixels.astype("u2"), header).writeto(path)

    def reduce(self, **options: Any) -> Path:
        out = self.folder.parent / "out"
        alone = not list(self.folder.glob("science*"))
        chosen = Options(uncertainty=True, mask=True, threads=True, masters_only=alone, **options)
        summary = reduce_night(open_night(self.folder), out, chosen)
        assert not summary.failed
        return out


def pulls(path: Path, truth: Pixels, scaled: bool = False) -> Pixels:
    """Return residuals over their uncertainties; of flats, which are known but for a factor."""
    with fits.open(path) as hdus:
        value, sigma = hdus[0].data.astype("f8"), hdus["UNCERT"].data.astype("f8")
    factor = np.median(truth) / np.median(value) if scaled else 1.0
    return np.asarray((value * factor - truth) / (sigma * factor))


def scatter(pull: Pixels) -> float:
    return float(np.std(pull[np.abs(pull) < 6]))


@pytest.fixture
def telescope(tmp_path: Path) -> Telescope:
    return Telescope(tmp_path / "night")


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
    assert scatter(found) == pytest.approx(1, abs=0.02)


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
    assert scatter(found) == pytest.approx(1, abs=0.03)


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
        assert scatter(pull) == pytest.approx(1, abs=0.03)
        assert scatter(pull[above]) == pytest.approx(scatter(pull[~above]), abs=0.03)


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
        assert scatter(pull) == pytest.approx(1, abs=0.02)
        assert scatter(pull[hot]) == pytest.approx(1, abs=0.1)
    level = fits.getheader(out / "masters/MasterDark_60s.fits")["ZEROL001"]
    assert level == pytest.approx(np.median(telescope.bias), abs=0.03 * 300)
    flat = pulls(out / "masters/MasterFlat_V.fits", telescope.flat, scaled=True)
    assert scatter(flat) == pytest.approx(1, abs=0.03)


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
    assert scatter(found) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("sky_e", [0, 2, 10, 200])
def test_faint_light_is_as_uncertain_as_it_says_and_weights_do_not_bias(
    telescope: Telescope, sky_e: float
) -> None:
    telescope.read_noise_adu, telescope.current = 1.5, 0.02
    telescope.__post_init__()
    y, x = np.indices(SHAPE)
    star = 5000 * np.exp(-((y - 80) ** 2 + (x - 90) ** 2) / 18)
    for _ in range(41):
        telescope.expose("bias", 0.0)
        telescope.expose("dark", 100.0)
        telescope.expose("flat", 1.0, 40000)
    for _ in range(3):
        telescope.expose("science", 100.0, sky_e + star)
    out = telescope.reduce(combine="clipped-mean")
    with fits.open(out / "masters/MasterFlat_V.fits") as hdus:
        scale = np.median(telescope.flat) / np.median(hdus[0].data)
    truth = (sky_e + star) * scale / telescope.gain
    values, sigmas = [], []
    for path in sorted(out.glob("science*c.fits")):
        found = pulls(path, truth)
        assert scatter(found) == pytest.approx(1, abs=0.02)
        assert abs(found[star < 0.1].mean()) < 0.03
        with fits.open(path) as hdus:
            values.append(hdus[0].data.astype("f8"))
            sigmas.append(hdus["UNCERT"].data.astype("f8"))
        assert scatter(found[star > 300]) == pytest.approx(1, abs=0.12)
    weights = 1 / np.array(sigmas) ** 2
    mean = (weights * values).sum(axis=0) / weights.sum(axis=0)
    sky = (weights * (values - truth))[:, star < 0.1].sum() / weights[:, star < 0.1].sum()
    assert abs(sky) < 0.02 * np.median(sigmas)
    flux_error = np.sqrt((1 / weights.sum(axis=0))[star > 300].sum())
    assert abs((mean - truth)[star > 300].sum()) < 4 * flux_error


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


def test_dark_current_is_no_cosmic_ray(telescope: Telescope) -> None:
    pytest.importorskip("astroscrappy")
    telescope.dark[:] = 6.0
    for _ in range(15):
        telescope.expose("bias", 0.0)
        telescope.expose("dark", 100.0)
        telescope.expose("flat", 1.0, 40000)
    telescope.expose("science", 100.0, 50)
    path = next(telescope.reduce(cosmics="flag").glob("science*c.fits"))
    assert (fits.getdata(path, "MASK") != 0).mean() < 1e-4


@pytest.mark.parametrize("shape", [(1, 16), (16, 1), (3, 16)])
def test_rays_are_not_looked_for_where_there_is_no_room(tmp_path: Path, shape: Any) -> None:
    pytest.importorskip("astroscrappy")
    simulate(tmp_path / "night", shape=shape, n_darks=3, n_flats=3, n_science=1)
    options = Options(mask=True, cosmics="flag", threads=True)
    summary = reduce_night(open_night(tmp_path / "night"), tmp_path / "out", options)
    assert len(summary.science) + len(summary.failed) == 1


def marked(telescope: Telescope, bit: int) -> Any:
    found = find_bad_pixels(open_night(telescope.folder), telescope.folder.parent / "bad")
    return found.masks[0] & bit != 0


@pytest.mark.parametrize("glow_e", [0.0, 400.0])
def test_hot_pixels_are_found_beside_steps_and_glows(telescope: Telescope, glow_e: float) -> None:
    """Two amplifiers of unlike level, which no header tells, and a glow in a corner."""
    telescope.read_noise_adu, telescope.current, telescope.structure_adu = 3.0, 0.1, 1.0
    telescope.__post_init__()
    telescope.structure += np.where(np.arange(SHAPE[1]) < SHAPE[1] // 2, 0.0, 300.0)
    y, x = np.indices(SHAPE)
    telescope.dark += glow_e / 60 * np.exp(-np.hypot(y, x) / 40)
    hot = np.zeros(SHAPE, bool)
    hot[tuple(telescope.rng.integers(0, SHAPE, (300, 2)).T)] = True
    hot[:, 40] = True
    telescope.dark[hot] += 1.5  # 45 ADU in a minute, where the noise of the master is 1
    for _ in range(15):
        telescope.expose("dark", 60.0)
    found = marked(telescope, HOT)
    assert (found & hot).sum() >= 0.98 * hot.sum()
    assert (found & ~hot).sum() <= 2


def test_weak_pixels_are_found_and_dark_corners_are_not(telescope: Telescope) -> None:
    y, x = np.indices(SHAPE)
    telescope.flat *= np.clip(1.1 - np.hypot(y - 80, x - 96) / 150, 0.2, 1)
    weak = np.zeros(SHAPE, bool)
    weak[tuple(telescope.rng.integers(20, 130, (200, 2)).T)] = True
    telescope.flat[weak] *= 0.6
    for _ in range(11):
        telescope.expose("dark", 1.0)
        telescope.expose("flat", 1.0, 60000)
    found = marked(telescope, BAD)
    assert (found & weak).sum() >= 0.98 * weak.sum()
    assert (found & ~weak).sum() <= 2


class Heard(Silent):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, message: str) -> None:
        self.messages.append(message)


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


def star_of(row: float, column: float, width: float) -> Pixels:
    """Return the share of a star's light that each pixel gets, of a Gaussian of some width."""
    edges = [np.arange(n + 1) - 0.5 for n in SHAPE]
    deviation = width / 2.3548
    down, right = (
        np.diff(ndtr((edge - place) / deviation))
        for edge, place in zip(edges, (row, column), strict=True)
    )
    return np.asarray(np.outer(down, right))


@pytest.mark.parametrize("width", [1.2, 1.5, 1.7, 2.0, 2.5, 4.0])
def test_sharp_stars_keep_their_light_when_rays_are_cleaned(
    telescope: Telescope, width: float
) -> None:
    pytest.importorskip("astroscrappy")
    rng = telescope.rng
    places = [(row, column) for row in range(12, 150, 16) for column in range(12, 180, 16)]
    shifts = rng.uniform(-0.5, 0.5, (len(places), 2))
    fluxes = 10 ** rng.uniform(3.5, 5, len(places))
    stars = np.zeros(SHAPE)
    for (row, column), (down, right), flux in zip(places, shifts, fluxes, strict=True):
        stars += flux * star_of(row + down, column + right, width)
    for _ in range(11):
        telescope.expose("bias", 0.0)
        telescope.expose("dark", 10.0)
        telescope.expose("flat", 1.0, 40000)
    telescope.expose("science", 10.0, 100 + stars)
    path = next(telescope.folder.glob("science*"))
    rays = np.zeros(SHAPE, bool)
    for row, column in places[::3]:
        rays[row + 7, column + 7 : column + 10] = True  # between the stars
    with fits.open(path, mode="update") as hdus:
        hdus[0].data[rays] += 1500
    folder = telescope.folder.parent
    options = Options(uncertainty=True, mask=True, cosmics="clean", threads=True)
    summary = reduce_night(open_night(telescope.folder), folder / "out", options)
    with fits.open(next((folder / "out").glob("science*c.fits"))) as hdus:
        header, value = hdus[0].header, hdus[0].data.astype("f8")
        sigma, hit = hdus["UNCERT"].data, hdus["MASK"].data & COSMIC != 0
    told = [text for text in summary.named if "too sharp" in text]
    assert bool(told) == (width < 1.6) == ("sharp" in header.comments["NCOSMIC"])
    if width < 1.6:
        assert not hit.any()
        return
    assert hit[rays].mean() > 0.95
    assert not hit[stars > 300].any()
    scale = np.median(telescope.flat) / np.median(
        fits.getdata(folder / "out/masters/MasterFlat_V.fits")
    )
    truth = (100 + stars) * scale / telescope.gain
    dark_places = hit & (stars < 1)
    pull = (value - truth)[dark_places] / sigma[dark_places]
    assert np.std(pull) == pytest.approx(1, abs=0.2)  # of some hundred that share neighbours


def test_filled_pixels_are_as_uncertain_as_they_say(telescope: Telescope) -> None:
    """On even light a straight line is wrong by what its ends are."""
    value = telescope.rng.normal(0, 1, (400, 400))
    sigma = np.ones(value.shape)
    wanted = np.zeros(value.shape, bool)
    wanted[3:-3:5, 3:-3:5] = wanted[3:-3:5, 4:-3:5] = True
    fill_gaps(value, wanted, sigma)
    pull = (value / sigma)[wanted]
    assert np.std(pull) == pytest.approx(1, abs=0.02)
    replaced = telescope.rng.normal(0, 1, (400, 400))
    errors = np.ones(replaced.shape)
    replace_by_neighbours(replaced, wanted, ~wanted, errors)
    assert np.std((replaced / errors)[wanted]) == pytest.approx(1, abs=0.03)


def test_errors_that_frames_share_stand_in_the_header(telescope: Telescope) -> None:
    """Whoever averages many pixels of many frames has them as a floor."""
    telescope.n_overscan = 8
    telescope.__post_init__()
    for _ in range(9):
        telescope.expose("bias", 0.0)
        telescope.expose("dark", 100.0)
        telescope.expose("flat", 1.0, 20000)
    telescope.expose("science", 100.0, 50)
    out = telescope.reduce()
    header = fits.getheader(next(out.glob("science*c.fits")))
    for keyword, name in (("DARKERR", "MasterDark_100s"), ("FLATERR", "MasterFlat_V")):
        typical = np.median(fits.getdata(out / "masters" / f"{name}.fits", "UNCERT"))
        assert header[keyword] == pytest.approx(float(typical), rel=0.01)
    drawn = telescope.rng.normal(0, telescope.read_noise_adu, (100000, 8))
    expected = np.std(np.median(np.round(1000.3 + drawn), axis=1))
    assert header["OVSCERR"] == pytest.approx(float(expected), rel=0.02)


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
    assert scatter(pull) == pytest.approx(1, abs=0.04)
