"""A night of two amplifiers with overscans and a bent response comes back to its truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from daskred import (
    Options,
    RequestError,
    Truth,
    open_night,
    read_camera,
    reduce_night,
    simulate,
)
from daskred.night.open import Night
from daskred.simulation import CAMERA_FILE, GAIN_E_PER_ADU, SimulatedReadout
from tests.conftest import NightMaker, tree

SHAPE = (200, 256)
READOUT = SimulatedReadout(nonlinearity=2e-6)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two") / "night"
    simulate(
        folder,
        shape=SHAPE,
        n_bias=31,
        n_darks=31,
        n_flats=31,
        n_science=3,
        seed=11,
        readout=READOUT,
    )
    return folder


def opened(night: Path) -> Night:
    camera = read_camera(night / CAMERA_FILE)
    return open_night(
        night, camera=replace(camera, detector=replace(camera.detector, unit="electron"))
    )


EXTRAS: dict[str, Any] = {"mask": True, "uncertainty": True}


@pytest.fixture(scope="module")
def products(two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("products")
    reduce_night(opened(two), out, Options(**EXTRAS, counts=True))
    return out


def scatter(path: Path, truth: Any, scale: float = 1.0) -> float:
    """Return the scatter of residuals over their uncertainties, cosmic rays left out."""
    with fits.open(path) as hdus:
        residuals = (hdus[0].data * scale - truth) / (hdus["UNCERT"].data * scale)
        good = hdus["MASK"].data == 0
    residuals = residuals[good & np.isfinite(residuals)]
    return float(np.std(residuals[np.abs(residuals) < 5]))


def flat_scale(products: Path, truth: Truth) -> float:
    """Return what the mode that the flat was divided by is in units of its mean response."""
    with fits.open(products / "masters" / "MasterFlat_BG40.fits") as hdus:
        return float(np.median(truth.flat / hdus[0].data))


def test_masters_scatter_as_they_say(two: Path, products: Path) -> None:
    truth = Truth.load(two)
    gains = np.repeat(READOUT.gains_e_per_adu, SHAPE[1] // 2)
    bias = (truth.bias - truth.bias.mean()) * gains
    current = truth.dark_rate * GAIN_E_PER_ADU
    masters = products / "masters"
    assert scatter(masters / "MasterBias.fits", bias) == pytest.approx(1, abs=0.01)
    assert scatter(masters / "MasterDark_10s.fits", bias + 10 * current) == pytest.approx(
        1, abs=0.01
    )
    assert scatter(masters / "MasterDark_3s.fits", bias + 3 * current) == pytest.approx(1, abs=0.01)
    own = flat_scale(products, truth)
    assert scatter(masters / "MasterFlat_BG40.fits", truth.flat, own) == pytest.approx(1, abs=0.01)


def test_science_frames_scatter_as_they_say(two: Path, products: Path) -> None:
    truth = Truth.load(two)
    scale = 1 / flat_scale(products, truth)
    expected = truth.scene * GAIN_E_PER_ADU * 10
    found = [
        scatter(path, expected, scale) for path in (products / "ktwo220274129").glob("*c.fits")
    ]
    assert len(found) == 3
    assert np.mean(found) == pytest.approx(1, abs=0.01)


def test_amplifiers_of_unlike_gain_are_level(two: Path, products: Path) -> None:
    path = products / "ktwo220274129" / "ktwo220274129-0001c.fits"
    pixels = fits.getdata(path)
    left, right = np.median(pixels[:, 64:128]), np.median(pixels[:, 128:192])
    assert left == pytest.approx(right, rel=0.01)
    header = fits.getheader(path)
    assert header["LINCORR"] == "by amplifier"
    assert header["GAINCOR"] == "1.6 1.9"
    assert header["BUNIT"] == "electron"


def test_products_are_what_ccddata_reads(products: Path) -> None:
    path = products / "ktwo220274129" / "ktwo220274129-0001c.fits"
    ccd = CCDData.read(path)
    assert ccd.unit == "electron"
    with fits.open(path, checksum=True) as hdus:
        np.testing.assert_array_equal(ccd.uncertainty.array, hdus["UNCERT"].data)
        np.testing.assert_array_equal(ccd.mask, hdus["MASK"].data != 0)
        legend = {hdus["MASK"].header[f"BIT{n}"] for n in range(8)}
    assert {"bad pixel", "saturated", "cosmic ray", "no data", "interpolated"} <= legend
    with fits.open(products / "masters" / "MasterFlat_BG40.fits", checksum=True) as hdus:
        assert (hdus["NUSED"].data == 31).all()
        assert not hdus["REJECTED"].data.any()


@pytest.mark.parametrize("workers", [{"workers": 1}, {"workers": 2, "threads": True}])
@pytest.mark.parametrize("rows", [7, 200])
def test_bytes_do_not_depend_on_how_the_work_is_cut(
    two: Path, tmp_path: Path, workers: dict[str, Any], rows: int
) -> None:
    options = Options(**EXTRAS, counts=True, combine="mean", reject="sigma", tile_rows=rows)
    reduce_night(opened(two), tmp_path / "a", options)
    reduce_night(opened(two), tmp_path / "b", options.but(tile_rows=None, **workers))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_the_same_again_does_nothing_and_other_options_other_products(
    two: Path, products: Path
) -> None:
    again = reduce_night(opened(two), products, Options(**EXTRAS, counts=True))
    assert not any(one.made for one in (*again.masters, *again.science))
    other = open_night(two, camera=read_camera(two / CAMERA_FILE))
    adu = reduce_night(other, products.parent / "adu", Options())
    assert all(one.made for one in adu.masters)
    header = fits.getheader(products.parent / "adu" / "masters" / "MasterBias.fits")
    assert header["BUNIT"] == "adu"
    assert "GAINCOR" not in header


def test_saturated_pixels_never_enter_a_master_and_are_flagged(tmp_path: Path) -> None:
    night = tmp_path / "night"
    simulate(night, shape=(20, 20), n_bias=3, n_darks=3, n_flats=5, n_science=1, readout=READOUT)
    flats = sorted((night / "flat").iterdir())
    for path in flats[:2]:
        with fits.open(path, mode="update") as hdus:
            hdus[0].data[4, 5] = 65535
    for path in flats:
        with fits.open(path, mode="update") as hdus:
            hdus[0].data[6, 7] = 65535
    (science,) = (night / "ktwo220274129").iterdir()
    with fits.open(science, mode="update") as hdus:
        hdus[0].data[2, 3] = 65535
    reduce_night(opened(night), tmp_path / "out", Options(**EXTRAS, counts=True))
    with fits.open(tmp_path / "out" / "masters" / "MasterFlat_BG40.fits") as hdus:
        assert hdus["NUSED"].data[4, 5] == 3
        assert np.isfinite(hdus[0].data[4, 5])
        assert np.isnan(hdus[0].data[6, 7])
        assert hdus["MASK"].data[6, 7] == 8
    (product,) = (tmp_path / "out" / "ktwo220274129").iterdir()
    with fits.open(product) as hdus:
        assert hdus["MASK"].data[2, 3] == 2
        assert hdus["MASK"].data[6, 7] == 8


def test_bad_pixels_of_the_user_are_flagged_and_must_fit(two: Path, tmp_path: Path) -> None:
    bad = np.zeros(SHAPE, "u1")
    bad[10, 20] = 255
    fits.PrimaryHDU(bad).writeto(tmp_path / "bad.fits")
    options = Options(mask=True, bad_pixels=str(tmp_path / "bad.fits"))
    summary = reduce_night(opened(two), tmp_path / "out", options)
    mask = fits.getdata(tmp_path / "out" / summary.science[0].product, "MASK")
    assert mask[10, 20] == 1
    assert np.count_nonzero(mask & 1) == 1
    fits.PrimaryHDU(bad[1:]).writeto(tmp_path / "small.fits")
    options = Options(mask=True, bad_pixels=str(tmp_path / "small.fits"))
    summary = reduce_night(opened(two), tmp_path / "none", options)
    assert not summary.science
    assert "are for 199x256" in summary.failed[0].reason


def test_cosmic_rays_are_flagged_and_cleaned(two: Path, tmp_path: Path) -> None:
    path = sorted((two / "ktwo220274129").iterdir())[0]
    own = tmp_path / "one"
    own.mkdir()
    with fits.open(path) as hdus:
        hdus[0].data[50:53, 60] += 5000
        hdus.writeto(own / path.name)
    sources = [two / "bias", two / "dark", two / "flat", own]
    camera = read_camera(two / CAMERA_FILE)
    night = open_night(
        *sources, camera=replace(camera, detector=replace(camera.detector, unit="electron"))
    )
    for cosmics in ("flag", "clean"):
        options = Options(mask=True, cosmics=cosmics)
        summary = reduce_night(night, tmp_path / cosmics, options)
        with fits.open(tmp_path / cosmics / summary.science[0].product) as hdus:
            bits = hdus["MASK"].data[50:53, 60]
            assert (bits == (4 if cosmics == "flag" else 4 + 16)).all()
            assert hdus[0].header["NCOSMIC"] >= 3
            sky = np.median(hdus[0].data)
            assert (hdus[0].data[50:53, 60] > 3 * sky).all() == (cosmics == "flag")


def test_without_gain_there_are_no_uncertainties_and_the_run_says_so(
    night: Path, tmp_path: Path
) -> None:
    said = []

    class Told:
        def begin(self, title: str, total: int, unit: str) -> None: ...
        def advance(self, n_units: int) -> None: ...
        def end(self) -> None: ...
        def say(self, message: str) -> None:
            said.append(message)

    summary = reduce_night(open_night(night), tmp_path, Options(**EXTRAS), Told())
    assert any("without uncertainties" in message for message in said)
    with fits.open(tmp_path / summary.science[0].product) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASK"]


def test_amplifiers_are_normalised_one_by_one_on_request(two: Path, tmp_path: Path) -> None:
    camera = read_camera(two / CAMERA_FILE)  # in ADU, amplifiers of unlike gain differ
    night = open_night(two, camera=camera)
    levels = {}
    for asked in (False, True):
        out = tmp_path / str(asked)
        options = Options(**EXTRAS, normalize_amplifiers=asked, masters_only=True)
        reduce_night(night, out, options)
        with fits.open(out / "masters" / "MasterFlat_BG40.fits") as hdus:
            halves = hdus[0].data[:, :128], hdus[0].data[:, 128:]
            levels[asked] = [float(np.median(half)) for half in halves]
            relative = np.median(hdus["UNCERT"].data / hdus[0].data)
        assert relative == pytest.approx(np.sqrt(np.pi / 2 / 31 / 32000), rel=0.2)
    ratio = levels[False][0] / levels[False][1]
    assert ratio == pytest.approx(1.9 / 1.6, rel=0.03)
    assert levels[True] == pytest.approx([1, 1], rel=0.02)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"zero_level": "level"}, lambda f, t: np.median(f - _over(f, "-"), axis=0)),
        ({"scale": "level"}, lambda f, t: np.median(f / _over(f, "/"), axis=0)),
        (
            {"scale": "exposure", "combine": "mean"},
            lambda f, t: np.mean(f / (t / t[0])[:, None, None], axis=0),
        ),
        (
            {"weight": "exposure", "combine": "mean"},
            lambda f, t: np.average(f, axis=0, weights=t),
        ),
    ],
)
def test_frames_are_brought_to_the_first_and_weighted(
    make_night: NightMaker, tmp_path: Path, options: dict[str, Any], expected: Any
) -> None:
    times = np.array([10.0, 10.02, 10.04])
    for number, time in enumerate(times):
        make_night.add(f"d{number}.fits", "Dark Frame", 1000 + 50 * number, float(time))
    options = {**options, "unchecked": ("offset",)}  # they have other levels on purpose
    how = Options(masters_only=True, normalize="median", dtype="float64", **options)
    reduce_night(open_night(make_night.folder), tmp_path, how)
    frames = np.array([fits.getdata(make_night.folder / f"d{n}.fits") for n in range(3)], "f8")
    found = fits.getdata(next((tmp_path / "masters").iterdir()))
    np.testing.assert_allclose(found, expected(frames, times), rtol=1e-12)


def _over(frames: Any, sign: str) -> Any:
    levels = np.median(frames, axis=(1, 2))[:, None, None]
    return levels - levels[0] if sign == "-" else levels / levels[0]


def test_weights_and_scales_that_make_no_sense_are_named(
    make_night: NightMaker, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="goes with a mean or a sum"):
        Options(weight="level")
    make_night.standard()
    make_night.add("b0.fits", "bias", 100, 0.0)
    options = Options(weight="exposure", combine="mean")
    summary = reduce_night(open_night(make_night.folder), tmp_path, options)
    assert any("its exposure is 0" in entry.reason for entry in summary.failed)
    assert len(summary.science) == 2
