"""Masters of the night sky: fringes, uneven light and flats, against a sky that is known."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import daskred
from daskred import Options, Summary, open_night, reduce_night, verify
from daskred.kernels.fringes import smooth_light
from daskred.kernels.objects import MARGIN, objects_in
from tests.observatory import SHAPE, Observatory, X, Y


def part_of(pattern: np.ndarray[Any, Any], image: np.ndarray[Any, Any]) -> float:
    """Return how much of a pattern an image has, by least squares."""
    good = np.isfinite(image)
    wanted = pattern[good] - pattern[good].mean()
    return float(np.sum((image[good] - image[good].mean()) * wanted) / np.sum(wanted**2))


def reduced(night: Path, out: Path, **options: Any) -> Summary:
    return reduce_night(open_night(night), out, Options(threads=True, **options))


@pytest.fixture(scope="module")
def observatory(tmp_path_factory: pytest.TempPathFactory) -> Observatory:
    return Observatory(tmp_path_factory.mktemp("sky") / "night")


@pytest.fixture(scope="module")
def plain(observatory: Observatory) -> Path:
    out = observatory.folder.parent / "plain"
    assert not reduced(observatory.folder, out).failed
    return out


@pytest.fixture(scope="module")
def corrected(observatory: Observatory) -> Path:
    out = observatory.folder.parent / "corrected"
    options = {"fringe": ("I",), "illumination": ("i",), "uncertainty": True}
    summary = reduced(observatory.folder, out, **options)
    assert not summary.failed
    assert not summary.plan.warnings
    return out


def test_fringes_and_uneven_light_are_taken_out(
    observatory: Observatory, plain: Path, corrected: Path
) -> None:
    before, after = (observatory.left(out) for out in (plain, corrected))
    assert part_of(observatory.pattern, before) == pytest.approx(1, abs=0.05)
    assert abs(part_of(observatory.pattern, after)) < 0.05
    assert part_of(observatory.uneven, before) == pytest.approx(1, abs=0.05)
    assert abs(part_of(observatory.uneven, after)) < 0.02
    header = fits.getheader(corrected / f"{next(iter(observatory.truth))}c.fits")
    assert header["FRINGCOR"].startswith("MasterSky_I.fits with scale=")
    assert header["ILLUMCOR"] == "MasterSky_I.fits"
    scale = float(header["FRINGCOR"].split("=")[1])
    # As bright as the sky of this frame, but for the noise of the pattern and the flat's level.
    sky, _ = next(iter(observatory.truth.values()))
    assert scale == pytest.approx(np.mean(sky), rel=0.15)


def test_either_comes_alone(observatory: Observatory, tmp_path: Path) -> None:
    for option, taken, left in (
        ("fringe", observatory.pattern, observatory.uneven),
        ("illumination", observatory.uneven, observatory.pattern),
    ):
        reduced(observatory.folder, tmp_path / option, **{option: ("all",)})
        found = observatory.left(tmp_path / option)
        assert abs(part_of(taken, found)) < 0.05
        assert part_of(left, found) == pytest.approx(1, abs=0.08)


def test_the_master_has_no_stars_and_says_what_it_is(
    observatory: Observatory, corrected: Path
) -> None:
    with fits.open(corrected / "masters/MasterSky_I.fits") as hdus:
        value, sigma = hdus[0].data.astype("f8"), hdus["UNCERT"].data.astype("f8")
        header = hdus[0].header
    truth = observatory.uneven * (1 + observatory.pattern)
    # The flat, and so what is divided by it, is known but for a factor.
    pulls = (value * (np.median(truth) / np.median(value)) - truth) / sigma
    assert np.std(pulls) == pytest.approx(1, abs=0.05)
    assert np.mean(np.abs(pulls) > 4) < 1e-3
    assert header["NCOMBINE"] == observatory.n_science
    assert header["IMCMB001"].startswith("science-")
    assert header["FLATCOR"] == "MasterFlat_I.fits"
    assert header["DARKCOR"] == "MasterDark_60s.fits"
    assert "master sky" in str(header["COMMENT"])


def test_stars_keep_their_light(observatory: Observatory, plain: Path, corrected: Path) -> None:
    ratios = []
    for name, (sky, stars) in observatory.truth.items():
        where = stars > 30
        before, after = (
            fits.getdata(out / f"{name}c.fits").astype("f8") for out in (plain, corrected)
        )
        factor = np.median(before[stars < 0.1]) / sky
        expected = before - factor * sky * observatory.uneven * (1 + observatory.pattern)
        expected /= observatory.uneven
        found = after - factor * sky
        ratios.append(found[where].sum() / expected[where].sum())
    assert np.mean(ratios) == pytest.approx(1, abs=0.01)


def test_uncertainties_stay_right(observatory: Observatory, corrected: Path) -> None:
    pulls = []
    for name, (_sky, stars) in observatory.truth.items():
        with fits.open(corrected / f"{name}c.fits") as hdus:
            value, sigma = hdus[0].data.astype("f8"), hdus["UNCERT"].data.astype("f8")
        dark = stars < 0.05
        pulls.append(np.std((value[dark] - np.median(value[dark])) / sigma[dark]))
    assert np.mean(pulls) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("how", [{"tile_rows": 5}, {"tile_rows": 64}, {"workers": 2}])
def test_bytes_do_not_depend_on_how_the_work_is_cut(
    observatory: Observatory, corrected: Path, tmp_path: Path, how: dict[str, Any]
) -> None:
    options = Options(
        fringe=("I",), illumination=("i",), uncertainty=True, processes="workers" in how, **how
    )
    reduce_night(open_night(observatory.folder), tmp_path, options)
    for path in sorted(corrected.rglob("*.fits")):
        assert (tmp_path / path.relative_to(corrected)).read_bytes() == path.read_bytes()


def test_a_notebook_has_the_same_sky(observatory: Observatory, corrected: Path) -> None:
    night, options = open_night(observatory.folder), Options(uncertainty=True)
    dark, short = (
        daskred.master_dark(night.select("dark", exptime_s=time), options=options)
        for time in (60, 2)
    )
    flat = daskred.master_flat(night.select("flat"), short, options=options)
    science = night.select("science")
    sky = daskred.master_sky(science, dark, flat, options=options)
    with fits.open(corrected / "masters/MasterSky_I.fits") as hdus:
        np.testing.assert_array_equal(sky.pixels, hdus[0].data)
        np.testing.assert_array_equal(sky.uncertainty, hdus["UNCERT"].data)
    calibrated = daskred.calibrate(science, dark, flat, sky=sky, options=options)
    for frame, labelled in zip(science[:2], calibrated.pixels[:2], strict=True):
        name = f"{Path(frame.name).stem}c.fits"
        np.testing.assert_array_equal(labelled, fits.getdata(corrected / name))
    with pytest.raises(daskred.RequestError, match="need a master of the sky"):
        daskred.calibrate(science, dark, flat, options=Options(fringe=("I",)))
    with pytest.raises(daskred.RequestError, match="is no science frame"):
        daskred.master_sky(night.select("flat"), short)


def test_the_same_command_again_makes_nothing(observatory: Observatory, tmp_path: Path) -> None:
    options = {"fringe": ("I",), "uncertainty": False}
    reduced(observatory.folder, tmp_path / "out", **options)
    again = reduced(observatory.folder, tmp_path / "out", **options)
    assert not any(receipt.made for receipt in (*again.masters, *again.science))
    assert not verify(tmp_path / "out").findings
    (tmp_path / "out/masters/MasterSky_I.fits").unlink()
    remade = reduced(observatory.folder, tmp_path / "out", **options)
    assert [r.product for r in remade.masters if r.made] == ["masters/MasterSky_I.fits"]
    other = reduced(observatory.folder, tmp_path / "out")
    assert all(receipt.made for receipt in other.science)


def test_stars_that_never_move_make_no_sky(tmp_path: Path) -> None:
    fixed = Observatory(tmp_path / "night", moves=0.0, n_science=6)
    summary = reduced(fixed.folder, tmp_path / "out", fringe=("I",))
    assert not summary.failed
    assert len(summary.science) == 6
    (warning,) = summary.plan.warnings
    assert "shows the same stars" in warning
    assert not verify(tmp_path / "out").findings
    assert not (tmp_path / "out/masters/MasterSky_I.fits").exists()
    name = next(iter(fixed.truth))
    assert "FRINGCOR" not in fits.getheader(tmp_path / f"out/{name}c.fits")


def test_frames_without_sky_stay_science_frames(tmp_path: Path) -> None:
    night = Observatory(tmp_path / "night", sky_e=3.0, n_science=5)
    summary = reduced(night.folder, tmp_path / "out", fringe=("I",))
    assert not summary.failed
    assert len(summary.science) == 5
    assert any("has no light" in text for text in summary.plan.warnings)


@pytest.mark.parametrize(
    ("filters", "n_science", "text"),
    [(("I",), 2, "3 at least are wanted"), (("V",), 3, "no science frame is in filter V")],
)
def test_what_cannot_be_had_is_named(
    tmp_path: Path, filters: tuple[str, ...], n_science: int, text: str
) -> None:
    night = Observatory(tmp_path / "night", n_science=n_science)
    summary = reduced(night.folder, tmp_path / "out", fringe=filters)
    assert len(summary.science) == n_science
    assert any(text in warning for warning in summary.plan.warnings)


def test_a_sky_without_fringes_is_left_as_it_is(tmp_path: Path) -> None:
    night = Observatory(tmp_path / "night", fringes=0.0, n_science=6)
    reduced(night.folder, tmp_path / "plain")
    reduced(night.folder, tmp_path / "out", fringe=("I",))
    for name in night.truth:
        plain, same = (
            fits.open(tmp_path / folder / f"{name}c.fits") for folder in ("plain", "out")
        )
        with plain, same:
            np.testing.assert_array_equal(plain[0].data, same[0].data)
            assert same[0].header["FRINGCOR"] == "MasterSky_I.fits: none to be seen"


def test_a_science_frame_that_cannot_be_read_is_named_and_the_rest_goes_on(
    observatory: Observatory, tmp_path: Path
) -> None:
    shutil.copytree(observatory.folder, tmp_path / "night")
    name = list(observatory.truth)[3]
    path = tmp_path / f"night/{name}.fits.gz"
    whole = tmp_path / f"night/{name}.fits"
    packed = bytearray(gzip.compress(whole.read_bytes()))
    packed[len(packed) // 2] ^= 255  # its header can be read
    path.write_bytes(packed)
    whole.unlink()
    summary = reduced(tmp_path / "night", tmp_path / "out", fringe=("I",))
    assert [entry.name for entry in summary.failed] == [path.name]
    assert len(summary.science) == observatory.n_science - 1
    assert fits.getheader(tmp_path / "out/masters/MasterSky_I.fits")["NCOMBINE"] == 11


def test_flats_of_the_sky(tmp_path: Path) -> None:
    night = Observatory(tmp_path / "night", fringes=0.0, has_flats=False)
    lost = reduced(night.folder, tmp_path / "out")
    assert len(lost.failed) == night.n_science
    assert all("--sky-flats" in entry.reason for entry in lost.failed)
    summary = reduced(night.folder, tmp_path / "out", sky_flats=True, uncertainty=True)
    assert not summary.failed
    with fits.open(tmp_path / "out/masters/MasterFlat_I.fits") as hdus:
        value, sigma = hdus[0].data.astype("f8"), hdus["UNCERT"].data.astype("f8")
    truth = night.flat * night.uneven
    pulls = (value * (np.median(truth) / np.median(value)) - truth) / sigma
    assert np.std(pulls) == pytest.approx(1, abs=0.1)
    assert np.mean(np.abs(pulls) > 4) < 1e-3


def test_a_flat_that_is_there_is_preferred(observatory: Observatory, tmp_path: Path) -> None:
    reduced(observatory.folder, tmp_path, sky_flats=True, masters_only=True)
    header = fits.getheader(tmp_path / "masters/MasterFlat_I.fits")
    assert header["IMCMB001"].startswith("flat-")


def test_objects_are_the_same_in_any_band_of_rows() -> None:
    sky = np.random.default_rng(3).normal(1, 0.05, (5, 90, 40)).astype("f4")
    sky[2, 40:44, 10:14] += 0.3
    levels = [100.0, 120.0, 90.0, 100.0, 200.0]
    whole = objects_in(sky.copy(), levels)
    for start, stop in ((30, 45), (0, 10), (80, 90)):
        first, last = max(start - MARGIN, 0), min(stop + MARGIN, 90)
        band = objects_in(sky[:, first:last].copy(), levels)
        part = band[:, start - first : stop - first]
        np.testing.assert_array_equal(part, whole[:, start:stop])


def test_smooth_light_follows_slopes_to_the_edges_and_passes_over_gaps() -> None:
    light = 1 + 0.1 * Y / SHAPE[0] - 0.05 * X / SHAPE[1]
    image = light + np.random.default_rng(2).normal(0, 0.01, SHAPE)
    image[30:60, 40:90] = np.nan
    found = smooth_light(image)
    assert np.abs(found - light).max() < 0.006


def test_moonlight_does_not_bend_the_sky(tmp_path: Path) -> None:
    night = Observatory(tmp_path / "night", fringes=0.0, moonlight=0.4, sky_e=3000.0)
    reduced(night.folder, tmp_path / "out", illumination=("I",))
    found = fits.getdata(tmp_path / "out/masters/MasterSky_I.fits").astype("f8")
    ratio = smooth_light(found / night.uneven)
    ratio /= np.median(ratio)
    # What is common to all frames is a plane, as moonlight is; it is no bowl.
    places = np.stack([np.ones(ratio.size), Y.ravel() / SHAPE[0], X.ravel() / SHAPE[1]], axis=1)
    plane = places @ np.linalg.lstsq(places, ratio.ravel(), rcond=None)[0]
    assert np.abs(ratio.ravel() - plane).max() < 0.004
    assert np.ptp(plane) < 0.1


def test_uneven_light_is_taken_out_where_there_is_no_flat(tmp_path: Path) -> None:
    night = Observatory(tmp_path / "night", fringes=0.0, has_flats=False)
    reduced(night.folder, tmp_path / "plain", missing_flat=True)
    reduced(night.folder, tmp_path / "out", missing_flat=True, illumination=("I",))
    before, after = (smooth_light(night.left(tmp_path / name)) for name in ("plain", "out"))
    assert np.ptp(before) > 0.1 * np.median(before)  # the telescope's vignetting
    assert np.ptp(after) < 0.02 * np.median(after)


def test_stars_between_any_rows_that_never_move_are_seen(tmp_path: Path) -> None:
    for seed in range(3):
        night = Observatory(
            tmp_path / f"night{seed}", moves=0.3, n_science=5, rng=np.random.default_rng(seed)
        )
        summary = reduced(night.folder, tmp_path / f"out{seed}", fringe=("I",))
        assert any("shows the same stars" in text for text in summary.plan.warnings)
        sky = daskred.master_sky(
            open_night(night.folder).select("science"), options=Options(missing_dark=True)
        )
        with pytest.raises(daskred.FramesError, match="shows the same stars"):
            sky.compute()


def test_windows_make_no_sky_and_are_calibrated_all_the_same(tmp_path: Path) -> None:
    night = Observatory(tmp_path / "night", has_flats=False, n_science=4)
    for name in night.truth:
        path = night.folder / f"{name}.fits"
        pixels, header = fits.getdata(path), fits.getheader(path)
        header["XORGSUBF"], header["YORGSUBF"] = 20, 40
        part = np.ascontiguousarray(pixels[40:140, 20:150])
        fits.PrimaryHDU(part, header).writeto(path, overwrite=True)
    summary = reduced(
        night.folder, tmp_path / "out", sky_flats=True, missing_flat=True, fringe=("I",)
    )
    assert len(summary.science) == 4
    assert any("windows" in text for text in summary.plan.warnings)


def test_a_night_of_nothing_but_science_frames_names_them(tmp_path: Path) -> None:
    night = Observatory(tmp_path / "night", n_science=4)
    for path in [*night.folder.glob("dark*"), *night.folder.glob("flat*")]:
        path.unlink()
    summary = reduced(night.folder, tmp_path / "out", sky_flats=True, fringe=("I",))
    assert len(summary.failed) == 4


def test_large_integers_keep_all_their_digits(tmp_path: Path) -> None:
    skies = []
    for offset in (0, 2**26):
        night = Observatory(tmp_path / f"night{offset}", dtype="i4", offset=offset, n_science=5)
        out = tmp_path / f"out{offset}"
        reduced(night.folder, out, fringe=("I",), dtype="float64")
        skies.append(fits.getdata(out / "masters/MasterSky_I.fits"))
    np.testing.assert_allclose(skies[1], skies[0], atol=1e-7)


def test_a_notebook_that_works_on_pixels_says_that_fringes_were_subtracted(
    observatory: Observatory, tmp_path: Path
) -> None:
    night = open_night(observatory.folder)
    dark = daskred.master_dark(night.select("dark", exptime_s=60))
    sky = daskred.master_sky(night.select("science"), dark)
    daskred.write_frames(
        daskred.calibrate(night.select("science")[:1], dark, sky=sky).compute(), tmp_path
    )
    (path,) = tmp_path.rglob("science*c.fits")
    assert fits.getheader(path)["FRINGCOR"] == "MasterSky_I.fits"


def test_filters_and_patterns_that_match_nothing_are_named(observatory: Observatory) -> None:
    night = open_night(observatory.folder)
    found = daskred.make_plan(night, Options(fringe=("I", "Q"), sky_frames=("blank/*", "*")))
    texts = [text for text in found.warnings if "Q" in text or "blank" in text]
    assert len(texts) == 2
    assert "no science frame is in filter Q; there are I" in texts[0]
    assert "--sky-frames 'blank/*' matches the name of no science frame" in texts[1]


def test_sky_frames_are_chosen_by_their_names(observatory: Observatory, tmp_path: Path) -> None:
    chosen = list(observatory.truth)[2:7]
    patterns = tuple(f"{name}.fits" for name in chosen)
    summary = reduced(observatory.folder, tmp_path, fringe=("I",), sky_frames=patterns)
    assert len(summary.science) == observatory.n_science
    header = fits.getheader(tmp_path / "masters/MasterSky_I.fits")
    assert [header[f"IMCMB{n:03d}"] for n in range(1, 6)] == [f"{name}.fits" for name in chosen]


def test_light_beyond_a_steep_edge_does_not_turn_negative() -> None:
    image = np.where(Y < 60, 0.006, 1.0) + np.random.default_rng(4).normal(0, 0.001, SHAPE)
    assert smooth_light(image).min() > 0
