"""Uncertainties of science frames, cosmic rays and bad pixels, judged by a simulator.

There are many cases, each short, which makes the file longer than others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from scipy.special import ndtr

from daskred import Options, find_bad_pixels, open_night, reduce_night, simulate
from daskred.kernels.replaced import replace_by_neighbours
from daskred.model.mask import BAD, COSMIC, HOT, NONLINEAR, UNSTABLE
from daskred.steps.interpolation import fill_gaps
from tests.telescope import SHAPE, Pixels, Telescope, pulls, scatter


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
        assert scatter(found) == pytest.approx(1, abs=0.01)
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


def expose_spoilt(telescope: Telescope, spoilt: dict[str, Any], n_darks: int) -> None:
    """Write darks and flats; some pixels are as much out as is told, by the cards of limits."""
    rng, flat = np.random.default_rng(5), telescope.flat.copy()
    for card, (where, limit) in spoilt.items():
        if card == "HOTLIM":
            telescope.dark[where] += limit * telescope.gain / 60
        elif card == "DEADLIM":
            flat[where] *= limit
    current = telescope.dark.copy()
    for _ in range(n_darks):
        telescope.expose("dark", 1.0)
        if "UNSTLIM" in spoilt:
            where, limit = spoilt["UNSTLIM"]
            usual = np.hypot(telescope.read_noise_adu, np.sqrt(3) / telescope.gain)
            noise = usual * np.sqrt(limit**2 - 1) * rng.normal(0, 1, where.sum())
            # Charge cannot be negative; a level that all frames share takes nothing away.
            telescope.structure[where] += noise
            telescope.expose("dark", 60.0)
            telescope.structure[where] -= noise
        else:
            telescope.expose("dark", 60.0)
    for number in range(12):
        level = (40000, 120000)[number % 2]
        telescope.flat = flat.copy()
        if "NONLLIM" in spoilt and number % 2:
            where, limit = spoilt["NONLLIM"]
            telescope.flat[where] *= 1 - limit
        telescope.expose("flat", 1.0, level)
    telescope.dark, telescope.flat = current, flat


@pytest.mark.parametrize("n_darks", [9, 25])
def test_bad_pixels_are_found_as_completely_as_the_mask_says(tmp_path: Path, n_darks: int) -> None:
    """And next to no good ones: one in a hundred thousand."""
    found, bits = {}, {"HOTLIM": HOT, "DEADLIM": BAD, "UNSTLIM": UNSTABLE, "NONLLIM": NONLINEAR}
    places = np.random.default_rng(7).permutation(SHAPE[0] * SHAPE[1])[: 4 * 150].reshape(4, 150)
    spoilt: dict[str, Any] = {}
    for turn in ("quiet", "spoilt"):
        telescope = Telescope(tmp_path / turn / "night", current=0.05, structure_adu=2.0)
        expose_spoilt(telescope, spoilt, n_darks)
        found[turn] = find_bad_pixels(open_night(telescope.folder), tmp_path / turn / "bad")
        header = fits.getheader(found[turn].path)
        assert header["COMPLETE"] == 0.98
        for card, place in zip(bits, places, strict=True):
            where = np.zeros(SHAPE, bool)
            where.flat[place] = True
            spoilt[card] = where, header[card]
    assert np.count_nonzero(found["quiet"].masks[0]) <= 1
    (mask,) = found["spoilt"].masks
    everywhere = np.zeros(SHAPE, bool)
    for card, bit in bits.items():
        where = spoilt[card][0]
        everywhere |= where
        # Of 150 pixels; six more than the three that may be missed would be rare.
        assert np.count_nonzero(mask[where] & bit) >= 0.98 * 150 - 6, card
    assert np.count_nonzero(mask[~everywhere]) <= 1


def test_bad_columns_are_marked_and_listed(telescope: Telescope) -> None:
    telescope.read_noise_adu, telescope.current, telescope.structure_adu = 3.0, 0.1, 1.0
    telescope.__post_init__()
    telescope.dark[40:, 50] += 0.1  # 3 ADU in a minute, where the noise of the master is 1
    telescope.flat[:90, 120] *= 0.98  # a trap; the flats' noise is a percent
    telescope.flat[100:103, 30:33] *= 0.3
    for _ in range(11):
        telescope.expose("dark", 1.0)
        telescope.expose("dark", 60.0)
        telescope.expose("flat", 1.0, 60000)
    found = find_bad_pixels(open_night(telescope.folder), telescope.folder.parent / "bad")
    (columns,), (clusters,) = found.columns, found.clusters
    assert [section.columns for section in columns] == [(50, 51), (120, 121)]
    (first_bright, last_bright), (first, last) = (section.rows for section in columns)
    assert (first, last_bright) == (0, SHAPE[0])
    assert last == pytest.approx(90, abs=6)
    assert first_bright == pytest.approx(40, abs=6)
    assert [str(section) for section in clusters] == ["[31:33,101:103]"]
    mask = found.masks[0]
    assert (mask[50:, 50] & HOT != 0).all()
    assert (mask[:80, 120] & BAD != 0).all()
    header = fits.getheader(found.path)
    assert (header["NCOLUMN"], header["COLUMN01"]) == (2, str(columns[0]))
    assert (header["NCLUST"], header["CLUST01"]) == (1, str(clusters[0]))


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
    assert np.std(pull) == pytest.approx(1, abs=0.15)  # of some hundred that share neighbours


def test_filled_pixels_are_as_uncertain_as_they_say(telescope: Telescope) -> None:
    """On even light a straight line is wrong by what its ends are."""
    value = telescope.rng.normal(0, 1, (1200, 1200))
    sigma = np.ones(value.shape)
    wanted = np.zeros(value.shape, bool)
    wanted[3:-3:5, 3:-3:5] = wanted[3:-3:5, 4:-3:5] = True
    fill_gaps(value, wanted, sigma)
    pull = (value / sigma)[wanted]
    assert np.std(pull) == pytest.approx(1, abs=0.01)
    replaced = telescope.rng.normal(0, 1, (1200, 1200))
    errors = np.ones(replaced.shape)
    replace_by_neighbours(replaced, wanted, ~wanted, errors)
    assert np.std((replaced / errors)[wanted]) == pytest.approx(1, abs=0.01)


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


def some_pixels(telescope: Telescope, n: int) -> Any:
    chosen = np.zeros(SHAPE, bool)
    chosen[tuple(telescope.rng.integers(0, SHAPE, (n, 2)).T)] = True
    return chosen


@pytest.mark.parametrize("levels", [(15000, 15000, 60000, 60000), range(10000, 70000, 10000)])
def test_pixels_that_fall_behind_in_bright_light_are_found(
    telescope: Telescope, levels: Any
) -> None:
    bent = some_pixels(telescope, 300)
    for _ in range(5):
        telescope.expose("dark", 1.0)
    for level in levels:
        telescope.expose("flat", 1.0, level * (1 - 0.075 * level / 60000 * bent))
    found = marked(telescope, NONLINEAR)
    assert (found & bent).sum() >= 0.98 * bent.sum()
    assert (found & ~bent).sum() == 0


@pytest.mark.parametrize(("n", "part"), [(8, 0.7), (20, 0.98), (60, 0.99)])
def test_pixels_that_jump_are_found(telescope: Telescope, n: int, part: float) -> None:
    """By 60 electrons in a minute, where the noise of one dark is ten."""
    jumping, steady = some_pixels(telescope, 300), telescope.dark
    for _ in range(n):
        telescope.dark = steady + jumping * telescope.rng.choice([0, 1], SHAPE)
        telescope.expose("dark", 60.0)
    found = marked(telescope, UNSTABLE)
    assert (found & jumping).sum() >= part * jumping.sum()
    assert (found & ~jumping).sum() <= 2


def test_stars_in_apertures_are_as_bright_and_as_uncertain_as_it_says(
    telescope: Telescope,
) -> None:
    """Some 5,000 stars of 100 to 50,000 electrons, on 30 electrons of sky."""
    telescope.read_noise_adu, telescope.current = 3.0, 0.05
    telescope.__post_init__()
    rng, exposed = np.random.default_rng(3), []
    for _ in range(25):
        telescope.expose("bias", 0.0)
        telescope.expose("dark", 60.0)
        telescope.expose("flat", 1.0, 40000)
    grid = [(y, x) for y in range(16, 150, 18) for x in range(16, 180, 18)]
    for _ in range(64):
        light, places = np.full(SHAPE, 30.0), np.array(grid) + rng.uniform(-9, 9, 2)
        places += rng.uniform(-0.5, 0.5, places.shape)
        for row, column in places:
            light += 10 ** rng.uniform(2, 4.7) * star_of(row, column, 3.0)
        telescope.expose("science", 60.0, light)
        exposed.append((light, places))
    out = telescope.reduce(combine="clipped-mean")
    with fits.open(out / "masters/MasterFlat_V.fits") as hdus:
        scale = np.median(telescope.flat) / np.median(hdus[0].data)
    y, x = np.indices(SHAPE)
    found = []
    for path, (light, places) in zip(sorted(out.glob("science*c.fits")), exposed, strict=True):
        with fits.open(path) as hdus:
            off = hdus[0].data.astype("f8") - light * scale / telescope.gain
            variance = np.square(hdus["UNCERT"].data.astype("f8"))
        for row, column in places:
            aperture = (y - row) ** 2 + (x - column) ** 2 < 25
            found.append(off[aperture].sum() / np.sqrt(variance[aperture].sum()))
    # Each with three errors of its own beside what is asked for.
    assert np.mean(found) == pytest.approx(0, abs=0.02 + 3 / np.sqrt(len(found)))
    assert np.std(found) == pytest.approx(1, abs=0.02 + 3 / np.sqrt(2 * len(found)))
