"""The exposure of each pixel, as flats of several times tell it, beside a shutter that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import Options, make_plan, open_night, reduce_night
from daskred.kernels.shutter import common_delay
from tests.conftest import WriteFits
from tests.telescope import SHAPE, Heard, Telescope

Y, X = np.indices(SHAPE)
# Blades that open from the middle, and all of it late.
DELAY_S = 0.04 * np.cos(np.pi * (X / SHAPE[1] - 0.5)) * np.cos(np.pi * (Y / SHAPE[0] - 0.5)) - 0.03
RATE = 4000.0  # electrons a second, of the lamp


@pytest.fixture
def camera(telescope: Telescope) -> Telescope:
    telescope.structure_adu = 0.0
    for seconds in (0.5, 2.0, 8.0):
        for _ in range(5):
            telescope.expose("dark", seconds)
    return telescope


def expose_flats(camera: Telescope, *times_s: float, steady: bool = True, number: int = 9) -> None:
    for seconds in times_s:
        rate = RATE if steady else RATE * 8 / seconds
        for _ in range(number):
            camera.expose("flat", seconds, rate * (seconds + DELAY_S))


def light(out: Path, blocks: int = 16) -> Any:
    """Return the mean of blocks of calibrated frames."""
    paths = sorted(out.glob("object*c.fits"))
    assert paths
    value = np.mean([fits.getdata(path) for path in paths], axis=0)
    cut = value.reshape(SHAPE[0] // blocks, blocks, SHAPE[1] // blocks, blocks)
    return cut.mean(axis=(1, 3))


@pytest.mark.parametrize("steady", [True, False])
def test_light_is_as_even_as_the_sky(camera: Telescope, tmp_path: Path, steady: bool) -> None:
    """Whatever the lamp does, what pixels differ by is found; the flats are short ones."""
    expose_flats(camera, 0.5, 8.0, steady=steady)
    for _ in range(6):
        camera.expose("object", 0.5, 4 * RATE * (0.5 + DELAY_S))
    night = open_night(camera.folder)
    without, corrected = tmp_path / "without", tmp_path / "with"
    summary = reduce_night(night, without)
    if not steady:  # else the short ones are faint, and noisier than that
        assert "--shutter takes out" in summary.failed[0].reason
    assert not reduce_night(night, without, Options(unchecked=["shape"])).failed
    assert not reduce_night(night, corrected, Options(shutter=True)).failed
    uneven = light(without).std() / light(without).mean()
    even = light(corrected).std() / light(corrected).mean()
    assert uneven > 0.008
    assert even < uneven / 3  # it is smooth within a fifth of the frame, as this one is not
    header = fits.getheader(next(corrected.glob("object*c.fits")))
    assert header["SHUTCOR"] == "MasterShutter.fits for 0.5 s"
    assert header["FLATCOR"] == "MasterFlat_V.fits"


def test_the_master_is_the_delay_of_each_pixel(camera: Telescope, tmp_path: Path) -> None:
    """Three times and a steady lamp tell what all pixels share, too."""
    expose_flats(camera, 0.5, 2.0, 8.0)
    heard = Heard()
    options = Options(shutter=True, masters_only=True)
    assert not reduce_night(open_night(camera.folder), tmp_path / "out", options, heard).failed
    with fits.open(tmp_path / "out/masters/MasterShutter.fits") as hdus:
        found, header = hdus[0].data.astype("f8"), hdus[0].header
    assert (header["BUNIT"], header["NCOMBINE"]) == ("s", 27)
    assert abs(np.median(found - DELAY_S)) < 0.0005
    assert np.std(found - DELAY_S) < 0.006  # photons of flats of half a second
    assert any("typical pixels are exposed" in text for text in heard.messages)


def test_light_is_that_of_the_exposure_time_told(camera: Telescope, tmp_path: Path) -> None:
    expose_flats(camera, 0.5, 2.0, 8.0)
    for seconds in (0.5, 8.0):
        camera.expose("object", seconds, RATE * (seconds + DELAY_S))
    out = tmp_path / "out"
    assert not reduce_night(open_night(camera.folder), out, Options(shutter=True)).failed
    rates = [
        np.median(fits.getdata(path)) / fits.getheader(path)["EXPTIME"]
        for path in sorted(out.glob("object*c.fits"))
    ]
    assert rates[0] == pytest.approx(rates[1], rel=0.003)


def test_flats_that_tell_nothing_are_told(camera: Telescope) -> None:
    expose_flats(camera, 2.0)
    camera.expose("object", 2.0, RATE)
    plan = make_plan(open_night(camera.folder), Options(shutter=True))
    assert any("no master of the shutter: flats of one filter" in text for text in plan.warnings)
    assert [master.kind for master in plan.masters].count("shutter") == 0
    assert not plan.science[0].correction.shutter


def test_the_same_bytes_however_it_is_cut(camera: Telescope, tmp_path: Path) -> None:
    expose_flats(camera, 0.5, 8.0, number=3)
    camera.expose("object", 2.0, RATE * (2.0 + DELAY_S))
    asked = Options(shutter=True, uncertainty=True, mask=True)
    outs = []
    for number, options in enumerate((asked.but(threads=True, workers=1), asked.but(tile_rows=7))):
        out = tmp_path / str(number)
        assert not reduce_night(open_night(camera.folder), out, options).failed
        outs.append({p.relative_to(out): p.read_bytes() for p in sorted(out.rglob("*.fits"))})
    assert outs[0] == outs[1]
    assert len(outs[0]) > 4


def test_two_times_or_another_lamp_tell_no_common_delay() -> None:
    rng = np.random.default_rng(3)
    times = np.repeat([1.0, 3.0, 9.0], 5)
    levels = 1000 * (times + 0.02) * rng.normal(1, 0.0005, 15)
    delay, error = common_delay(times.tolist(), levels.tolist())
    assert delay == pytest.approx(0.02, abs=4 * error)
    assert error < 0.005
    assert np.isnan(common_delay(times[:10].tolist(), levels[:10].tolist())[0])
    changed = np.where(times == 9.0, 1.05, 1.0) * levels
    assert np.isnan(common_delay(times.tolist(), changed.tolist())[0])


@pytest.mark.parametrize("n_images", [1, 2])
def test_images_of_a_mosaic_keep_their_light_and_cameras_their_shutters(
    write_fits: WriteFits, tmp_path: Path, n_images: int
) -> None:
    """Levels of flats are those of all images together; another camera has no such shutter."""
    rng = np.random.default_rng(4)
    shape = (96, 128)
    ramp = 0.06 * np.linspace(0, 1, n_images * shape[1])
    delays = np.split(np.broadcast_to(ramp, (shape[0], ramp.size)), n_images, axis=1)

    def expose(name: str, kind: str, seconds: float, rate: float, camera: str) -> None:
        cards: dict[str, Any] = {"IMAGETYP": kind, "EXPTIME": seconds, "FILTER": "V"}
        cards["INSTRUME"] = camera
        cards |= {"OBJECT": "M 31"} if kind == "object" else {}
        slow = 1.0 if camera == "A" else 0.0
        images = [
            rng.normal(300 + rng.poisson(rate * (seconds + slow * delay)), 3).round().astype("u2")
            for delay in delays
        ]
        write_fits(f"night/{name}.fits", images if n_images > 1 else images[0], cards)

    for camera in "AB":
        for seconds in (0.5, 8.0):
            for n in range(3):
                expose(f"d{camera}{seconds}{n}", "dark", seconds, 0.0, camera)
        for n in range(5):
            if camera == "A":
                expose(f"fa{n}", "flat", 0.5, 40000.0, camera)
            expose(f"f{camera}{n}", "flat", 8.0, 4000.0, camera)
        expose(f"s{camera}", "object", 0.5, 4000.0, camera)
    night = open_night(tmp_path / "night")
    plan = make_plan(night, Options(shutter=True))
    assert any("no master of the shutter fits" in text for text in plan.warnings)
    assert not reduce_night(night, tmp_path / "out", Options(shutter=True)).failed
    with fits.open(tmp_path / "out/sAc.fits") as hdus:
        images = [hdu.data for hdu in hdus if hdu.data is not None]
    parts = slice(16), slice(-16, None)
    edges = [float(np.mean(image[:, part])) for image in images for part in parts]
    assert len(edges) == 2 * n_images
    assert max(edges) / min(edges) < 1.005
    assert "SHUTCOR" not in fits.getheader(tmp_path / "out/sBc.fits")
