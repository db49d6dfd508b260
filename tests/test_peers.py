"""ccdproc as the oracle, step by step."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import ccdproc
import numpy as np
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.stats import mad_std

from daskred import Options, open_night, read_camera, reduce_night
from tests.conftest import NightMaker


def test_ccdproc_gives_the_same_night(night: Path, tmp_path: Path) -> None:
    reduce_night(open_night(night), tmp_path, Options(normalize="median", dtype="float64"))

    def combined(pattern: str, **options: object) -> CCDData:
        frames = [CCDData.read(path, unit="adu") for path in sorted(night.glob(pattern))]
        return ccdproc.combine(frames, method="median", dtype="float64", **options)

    darks = {t: combined(f"dark/dark_{t}s-*.fits") for t in (3, 10)}
    flats = [
        ccdproc.subtract_dark(
            CCDData.read(path, unit="adu"),
            darks[3],
            dark_exposure=3 * units.s,
            data_exposure=3 * units.s,
        )
        for path in sorted(night.glob("flat/*.fits"))
    ]
    flat = ccdproc.combine(
        flats, method="median", scale=lambda data: 1 / np.median(data), dtype="float64"
    )
    for path in sorted((night / "ktwo220274129").glob("*.fits")):
        raw = CCDData.read(path, unit="adu")
        less = ccdproc.subtract_dark(
            raw, darks[10], dark_exposure=10 * units.s, data_exposure=10 * units.s
        )
        expected = ccdproc.flat_correct(less, flat, norm_value=np.median(flat.data))
        found = CCDData.read(tmp_path / "ktwo220274129" / f"{path.stem}c.fits")
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-12)


def detector_night(make_night: NightMaker) -> Path:
    """Write bias frames, darks of 30 s, flats of 3 s and a frame of 10 s, each with an overscan."""
    make_night.shape = (40, 56)
    common = {"BIASSEC": "[49:56,1:40]", "TRIMSEC": "[1:48,1:40]", "GAIN": 1.7, "RDNOISE": 5.0}
    for n in range(9):
        make_night.add(f"b{n}.fits", "bias", 400, 0.0, None, "u2", **common)
        make_night.add(f"d{n}.fits", "dark", 460, 30.0, None, "u2", **common)
        make_night.add(f"f{n}.fits", "flat", 9000 + 100 * n, 3.0, None, "u2", **common)
    path = make_night.add("s.fits", "object", 900, 10.0, None, "u2", OBJECT="M 31", **common)
    rng = np.random.default_rng(5)
    for each in make_night.folder.iterdir():
        with fits.open(each, mode="update") as hdus:
            hdus[0].data[:, 48:] = rng.normal(380, 5, (40, 8)).round()
            if each == path:
                hdus[0].data[20:22, 30] += 3000
    return make_night.folder


def prepared_by_ccdproc(path: Path) -> CCDData:
    ccd = CCDData.read(path, unit="adu")
    ccd.data = ccd.data.astype("f8")
    ccd = ccdproc.subtract_overscan(ccd, fits_section="[49:56,1:40]", overscan_axis=1, median=True)
    ccd = ccdproc.trim_image(ccd, fits_section="[1:48,1:40]")
    return ccdproc.gain_correct(ccd, 1.7 * units.electron / units.adu)


def test_ccdproc_gives_the_same_step_by_step(make_night: NightMaker, tmp_path: Path) -> None:
    folder = detector_night(make_night)
    camera = read_camera()
    camera = replace(camera, detector=replace(camera.detector, unit="electron"))
    options = Options(
        normalize="median",
        dtype="float64",
        combine="mean",
        reject="sigma",
        reject_low=3,
        reject_high=3,
        reject_iterations=1,
        mask=True,
        cosmics="flag",
    )
    reduce_night(open_night(folder, camera=camera), tmp_path / "out", options)

    def combined(frames: list[CCDData]) -> CCDData:
        combiner = ccdproc.Combiner(frames, dtype="float64")
        with warnings.catch_warnings(action="ignore"):  # of masks that its functions pass over
            combiner.sigma_clipping(3, 3, func=np.ma.median, dev_func=mad_std)
            return combiner.average_combine()

    frames = {
        kind: [prepared_by_ccdproc(path) for path in sorted(folder.glob(f"{kind}[0-9].fits"))]
        for kind in "bdf"
    }
    bias = combined(frames["b"])
    # A master dark here holds the bias; ccdproc scales darks without it.
    dark = combined(frames["d"])
    current = dark.subtract(bias)
    times = {"dark_exposure": 30 * units.s, "scale": True}

    def less_dark(ccd: CCDData, exptime_s: float) -> CCDData:
        own = ccdproc.subtract_bias(ccd, bias)
        return ccdproc.subtract_dark(own, current, data_exposure=exptime_s * units.s, **times)

    # Its Combiner clips values before it scales them; here they are scaled before.
    flats = [less_dark(ccd, 3) for ccd in frames["f"]]
    flat = combined([ccd.divide(float(np.median(ccd.data))) for ccd in flats])
    science = less_dark(prepared_by_ccdproc(folder / "s.fits"), 10)
    expected = ccdproc.flat_correct(science, flat, norm_value=float(np.median(flat.data)))

    def product(name: str) -> Any:
        return fits.getdata(tmp_path / "out" / name)

    np.testing.assert_allclose(product("masters/MasterBias.fits"), bias.data, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        product("masters/MasterDark_30s.fits"), dark.data, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        product("masters/MasterFlat.fits"), flat.data / np.median(flat.data), rtol=1e-9
    )
    np.testing.assert_allclose(product("sc.fits"), expected.data, rtol=1e-9, atol=1e-9)
    rays = ccdproc.cosmicray_lacosmic(
        expected.data.astype("f4"), readnoise=5.0, gain=1.0, satlevel=np.inf, gain_apply=False
    )[1]
    mask = fits.getdata(tmp_path / "out" / "sc.fits", "MASK")
    np.testing.assert_array_equal(mask & 4 != 0, rays)
    assert rays[20:22, 30].all()
