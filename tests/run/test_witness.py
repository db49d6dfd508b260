"""Pixels are the last witness: what does not belong is named, and nothing else.

There are many cases, each short, which makes the file longer than others.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from daskred import Options, RequestError, Summary, open_night, reduce_night, simulate, verify
from daskred.model.checks import BY_NAME, CHECKS
from daskred.model.mask import SATURATED
from daskred.night.open import camera_of
from daskred.products.log import LOG_NAME
from tests.conftest import NightMaker, tree

SHAPE = (64, 96)
Pixels = NDArray[np.float64]
Spoil = Callable[[Pixels, Path], Pixels]
ROWS, COLUMNS = (axis / n - 0.5 for axis, n in zip(np.mgrid[:64, :96], SHAPE, strict=True))
RANDOM = np.random.default_rng(4)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nights") / "sound"
    simulate(folder, shape=SHAPE, n_darks=7, n_flats=7, n_science=5, seed=11)
    return folder


def frames(night: Path, part: str) -> list[Path]:
    return sorted(path for path in night.rglob("*.fits") if part in path.name)


def pixels(path: Path) -> Pixels:
    return np.asarray(fits.getdata(path), "f8")


def other(part: str) -> Spoil:
    """Return the pixels of another frame of the night."""
    return lambda _, night: pixels(frames(night, part)[0]) + RANDOM.normal(0, 1, SHAPE)


def more_dark(times: float) -> Spoil:
    def spoil(own: Pixels, night: Path) -> Pixels:
        dark = pixels(frames(night, "dark_10s")[0])
        return own + times * (dark - np.median(dark))

    return spoil


def of_stars(spoil: Callable[[Pixels], Any]) -> Spoil:
    """Return what becomes of a science frame when something happens to its stars alone."""

    def spoilt(own: Pixels, night: Path) -> Pixels:
        dark = pixels(frames(night, "dark_10s")[0])
        sky = np.median(own - dark)
        return np.asarray(dark + sky + spoil(own - dark - sky), "f8")

    return spoilt


SPOILS: dict[str, tuple[str, Spoil, str]] = {
    "another offset": ("dark_10s", lambda own, _: own + 60, "level"),
    "another temperature": ("dark_10s", more_dark(1.0), "hot pixels"),
    "another time": ("dark_10s", other("dark_3s"), "off that of the others"),
    "a camera turned": ("dark_10s", lambda own, _: own[::-1, ::-1], "hot pixels"),
    "another order of rows": ("dark_10s", lambda own, _: own[::-1], "hot pixels"),
    "a light leak": ("dark_10s", lambda own, _: own + 200 * (COLUMNS + 0.5), "level"),
    "stars among darks": ("dark_10s", other("ktwo"), "level"),
    "a noisy dark": ("dark_10s", lambda own, _: own + RANDOM.normal(0, 30, SHAPE), "noise"),
    "another filter": (
        "flat",
        lambda own, _: 1000 + (own - 1000) * (1 - 0.5 * (ROWS**2 + COLUMNS**2)),
        "another shape",
    ),
    "a lamp off": ("flat", other("dark_3s"), "no light"),
    "another slit": (
        "flat",
        lambda own, _: np.where(abs(COLUMNS) < 0.2, own, 1000 + (own - 1000) / 100),
        "another shape",
    ),
    "a flat turned": ("flat", lambda own, _: own[::-1, ::-1], "pattern"),
    "a burnt flat": ("flat", lambda own, _: np.minimum(own * 4, 65535), "saturated"),
    "a noisy flat": ("flat", lambda own, _: own + RANDOM.normal(0, 1500, SHAPE), "noise"),
    "a shutter stuck": ("ktwo", other("dark_10s"), "stands out: its level"),
    "dawn": ("ktwo", lambda own, _: 1000 + 10 * (own - 1000), "stands out: its level"),
    "a cloud": ("ktwo", of_stars(lambda stars: 0.2 * stars), "times the light"),
    "a jump": ("ktwo", of_stars(lambda stars: np.roll(stars, (32, 48), (0, 1))), "are elsewhere"),
    "trailed stars": (
        "ktwo",
        of_stars(lambda stars: np.mean([np.roll(stars, n, 1) for n in range(15)], axis=0)),
        "trails",
    ),
    "a satellite": (
        "ktwo",
        lambda own, _: own + 6000 * np.exp(-((COLUMNS - 0.3 - 0.4 * ROWS) ** 2) * 3000),
        "cross",
    ),
    "an empty frame": ("ktwo", lambda own, _: own * 0, "or empty"),
    "a burnt frame": ("ktwo", lambda own, _: own * 0 + 65535, "saturated"),
    "a frame of another offset": ("ktwo", lambda own, _: own - 1000, "negative"),
    "a frame of a camera turned": ("ktwo", lambda own, _: own[::-1, ::-1], "hot pixels"),
    "a frame of another temperature": ("ktwo", more_dark(1.2), "hot pixels"),
}


def named(summary: Summary) -> dict[str, str]:
    """Return what was said of frames, by their names."""
    told = {entry.name: entry.reason for entry in summary.failed}
    return told | {text.split(" ")[0]: text for text in summary.named}


@pytest.mark.parametrize("way", SPOILS)
def test_a_night_spoilt_in_one_way_names_what_was_spoilt(
    sound: Path, tmp_path: Path, way: str
) -> None:
    part, spoil, said = SPOILS[way]
    night = tmp_path / "night"
    shutil.copytree(sound, night)
    path = frames(night, part)[2]
    with fits.open(path, mode="update") as hdus:
        spoilt = spoil(hdus[0].data.astype("f8"), night)
        hdus[0].data = np.rint(spoilt).clip(0, 65535).astype("u2")
    summary = reduce_night(open_night(night), tmp_path / "out")
    told = named(summary)
    assert set(told) == {str(path.relative_to(night))}
    assert said in told[str(path.relative_to(night))]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("shape", "n_frames"), [((16, 16), 2), ((16, 16), 7), ((40, 60), 3), ((100, 64), 11)]
)
def test_nothing_is_said_of_a_sound_night(
    tmp_path: Path, seed: int, shape: tuple[int, int], n_frames: int
) -> None:
    simulate(
        tmp_path / "night",
        shape=shape,
        n_bias=n_frames,
        n_darks=n_frames,
        n_flats=n_frames,
        n_science=3,
        seed=1000 + seed,
    )
    summary = reduce_night(open_night(tmp_path / "night"), tmp_path / "out")
    assert named(summary) == {}


def drifting(number: int, random: np.random.Generator) -> Pixels:
    """Return the light of a lamp that fades, or of a twilight with its slope."""
    slope = 1 + 0.15 * COLUMNS * np.sin(number) + 0.1 * ROWS * np.cos(number)
    light: Pixels = 30000 * 0.8**number * slope * (1 - 0.3 * (ROWS**2 + COLUMNS**2))
    if number % 2:
        light[RANDOM.integers(0, 60, 12), RANDOM.integers(0, 90, 12)] *= 2  # stars
    return np.asarray(1000 + random.poisson(light), "f8")


def test_nothing_is_said_of_drifts_twilights_and_cosmic_rays(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    night = NightMaker(tmp_path / "night")
    pattern = random.normal(0, 3, SHAPE)
    for n in range(8):
        for kind, seconds in (("Bias", 0.0), ("Dark", 5.0)):
            level = 1000 + 2.0 * n + pattern + random.normal(0, 5, SHAPE)  # sigma 5, drift 14
            level[random.integers(0, 60, 20), random.integers(0, 90, 20)] += 3000
            path = night.add(f"{kind}{n}.fits", kind, 0, seconds, shape=SHAPE)
            with fits.open(path, mode="update") as hdus:
                hdus[0].data = np.rint(level).astype("u2")
        path = night.add(f"flat{n}.fits", "Flat", 0, 5.0, shape=SHAPE)
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = drifting(n, random).clip(0, 65535).astype("u2")
    summary = reduce_night(open_night(night.folder), tmp_path / "out", Options(masters_only=True))
    assert named(summary) == {}


def test_a_frame_that_does_not_belong_is_told_with_the_cards_in_which_it_differs(
    make_night: NightMaker, tmp_path: Path
) -> None:
    for n in range(5):
        make_night.add(f"b{n}.fits", "Bias", 100, 0.0, shape=(40, 60), KNOB=3)
    make_night.add("odd.fits", "Bias", 200, 0.0, shape=(40, 60), KNOB=7)
    options = Options(masters_only=True)
    summary = reduce_night(open_night(make_night.folder), tmp_path / "out", options)
    text = named(summary)["odd.fits"]
    assert "does not belong to MasterBias: its level is +2" in text
    assert "it differs in KNOB = 7, not 3" in text
    assert "--unchecked offset uses it" in text
    with fits.open(tmp_path / "out/masters/MasterBias.fits") as hdus:
        assert hdus[0].header["NCOMBINE"] == 5
        assert hdus[0].header["DQOFFSET"] < 1
    used = reduce_night(
        open_night(make_night.folder), tmp_path / "all", options.but(unchecked=("offset",))
    )
    assert not used.failed
    header = fits.getheader(tmp_path / "all/masters/MasterBias.fits")
    assert "DQOFFSET" not in header


def two_sorts(night: NightMaker, **cards: Any) -> None:
    for n in range(6):
        own = {keyword: value[n % 2] for keyword, value in cards.items()}
        night.add(f"b{n}.fits", "Bias", 100 + 100 * (n % 2), 0.0, shape=(40, 60), **own)


def test_a_group_that_falls_apart_is_made_as_two_where_a_card_tells_them_apart(
    make_night: NightMaker, tmp_path: Path
) -> None:
    two_sorts(make_night, KNOB=(3, 7))
    for n, knob in enumerate((3, 7, 7)):
        level = 400 + 100 * (knob == 7)
        make_night.add(f"s{n}.fits", "Light", level, 0.0, shape=(40, 60), KNOB=knob)
    for n in range(3):
        for kind, level in (("Flat", 9000),):
            make_night.add(f"f{n}.fits", kind, level, 0.0, shape=(40, 60), KNOB=3)
    make_night.add("s.fits", "Light", 400, 5.0, shape=(40, 60), KNOB=3)
    night = open_night(make_night.folder, kinds=[("science", "s*.fits"), ("flat", "f*.fits")])
    out = tmp_path / "out"
    summary = reduce_night(night, out, Options(missing_flat=True))
    assert [receipt.n_inputs for receipt in summary.masters[:2]] == [3, 3]
    assert {r.product for r in summary.masters[:2]} == {
        "masters/MasterBias_3.fits",
        "masters/MasterBias_7.fits",
    }
    used = {item.frame.name: item.correction.bias for item in summary.plan.science}
    assert used["s0.fits"] == used["s.fits"] == "MasterBias_3"
    assert used["s1.fits"] == used["s2.fits"] == "MasterBias_7"
    assert not summary.failed
    assert not verify(out).findings
    again = reduce_night(night, out, Options(missing_flat=True))
    assert not any(receipt.made for receipt in again.science)


def test_a_group_that_falls_apart_is_a_question_where_no_card_tells_them_apart(
    make_night: NightMaker, tmp_path: Path
) -> None:
    two_sorts(make_night)
    options = Options(masters_only=True)
    summary = reduce_night(open_night(make_night.folder), tmp_path / "out", options)
    assert len(summary.failed) == 6
    text = summary.failed[0].reason
    assert "fall apart into 2 groups by their offset" in text
    assert "--kind unknown='PATTERN' leaves some out" in text


def test_a_group_is_not_divided_by_a_card_that_science_frames_do_not_have(
    make_night: NightMaker, tmp_path: Path
) -> None:
    two_sorts(make_night, KNOB=(3, 7))
    make_night.add("s.fits", "Light", 400, 5.0, shape=(40, 60))
    options = Options(missing_flat=True)
    summary = reduce_night(open_night(make_night.folder), tmp_path / "out", options)
    text = named(summary)["b0.fits"]
    assert "it differs in KNOB = 7, not 3; --tell-apart CARD" in text
    apart = options.but(tell_apart=("KNOB",))
    night = open_night(make_night.folder, camera=camera_of(apart, [make_night.folder]))
    summary = reduce_night(night, tmp_path / "two", apart)
    assert [receipt.n_inputs for receipt in summary.masters] == [3, 3]


def test_figures_stand_in_headers_and_in_the_log_and_do_not_depend_on_tiles(
    sound: Path, tmp_path: Path
) -> None:
    for name, options in (("a", Options()), ("b", Options(tile_rows=7, threads=True, workers=3))):
        reduce_night(open_night(sound), tmp_path / name, options)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    dark = fits.getheader(tmp_path / "a/masters/MasterDark_10s.fits")
    flat = fits.getheader(tmp_path / "a/masters/MasterFlat_BG40.fits")
    science = fits.getheader(next((tmp_path / "a").rglob("ktwo*c.fits")))
    cards = {check.card for check in CHECKS}
    assert cards & set(dark) == {"DQOFFSET", "DQPATT", "DQHOT", "DQSCAT"}
    assert cards & set(flat) == {"DQSHAPE", "DQPATT", "DQSCAT", "DQLIT"}
    assert flat["DQLIT"] == 1
    assert cards & set(science) == {check.card for check in CHECKS if check.of == "science"}
    product = fits.getdata(next((tmp_path / "a").rglob("ktwo*c.fits")))
    assert science["DQLEVEL"] == pytest.approx(np.median(product), rel=0.02)
    assert science.comments["DQLEVEL"] == BY_NAME["level"].legend
    records = map(json.loads, (tmp_path / "a" / LOG_NAME).read_text().splitlines())
    figures = [
        record["figures"] for record in records if record.get("product", "").endswith("c.fits")
    ]
    assert set(figures[0]) == {check.name for check in CHECKS if check.of == "science"}


def test_checks_are_named() -> None:
    with pytest.raises(RequestError, match="the nearest is offset"):
        Options(unchecked=("ofset",))  # type: ignore[arg-type]
    assert Options(limit_offset=9).limits["offset"] == 9
    assert "offset" not in Options(unchecked=("offset",)).limits


def with_overscan(night: Path) -> None:
    """Give each frame twelve columns that see no light, beside the others."""
    for path in night.glob("*.fits"):
        with fits.open(path) as hdus:
            data, header = hdus[0].data, hdus[0].header
        height, width = data.shape
        header["TRIMSEC"] = f"[1:{width},1:{height}]"
        header["BIASSEC"] = f"[{width + 1}:{width + 12},1:{height}]"
        strip = np.full((height, 12), 40, data.dtype)
        fits.PrimaryHDU(np.hstack([data, strip]), header).writeto(path, overwrite=True)


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize(("top", "step"), [(4095, 1), (16383, 1), (4095 * 16, 16), (50000, 1)])
def test_a_pile_up_is_saturation_where_no_card_tells_it(
    make_night: NightMaker, tmp_path: Path, top: int, step: int, prepared: bool
) -> None:
    make_night.standard()
    for path in make_night.folder.glob("f-*.fits"):
        light = RANDOM.normal(0.5 * top, 0.02 * top, SHAPE)
        if path.name == "f-1.fits":
            light *= 2
        data = (np.minimum(light, top) // step * step).astype("u2")
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = data
    for path in [*make_night.folder.glob("d2-*.fits"), *make_night.folder.glob("d10*.fits")]:
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = np.rint(RANDOM.normal(100, 5, SHAPE)).astype("u2")
    for path in make_night.folder.glob("s-*.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = np.rint(RANDOM.normal(500, 5, SHAPE)).astype("u2")
    if prepared:
        with_overscan(make_night.folder)
    told = named(reduce_night(open_night(make_night.folder), tmp_path / "out"))
    assert set(told) == {"f-1.fits"}
    assert f"is saturated: {told['f-1.fits'].split()[2]}" in told["f-1.fits"]
    assert f"({top:g} ADU, the largest value)" in told["f-1.fits"]


@pytest.mark.parametrize("how", ["mode", "median", "mean"])
@pytest.mark.parametrize("lit_rows", [1, 2, 4])
def test_flats_are_measured_where_they_are_lit(
    make_night: NightMaker, tmp_path: Path, how: Any, lit_rows: int
) -> None:
    lit = np.arange(SHAPE[0])[:, np.newaxis] % 10 < lit_rows
    for n in range(3):
        for name, kind, light in (("d", "Dark", 0.0), ("f", "Flat", 20000.0)):
            path = make_night.add(f"{name}{n}.fits", kind, 0, 2.0, shape=SHAPE)
            with fits.open(path, mode="update") as hdus:
                hdus[0].data = np.rint(RANDOM.normal(100 + light * lit, 20, SHAPE)).astype("u2")
    options = Options(masters_only=True, normalize=how)
    summary = reduce_night(open_night(make_night.folder), tmp_path / "out", options)
    assert not summary.failed
    master = fits.getdata(tmp_path / "out/masters/MasterFlat.fits")
    assert np.median(master[np.broadcast_to(lit, SHAPE)]) == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(
    ("place", "sum_card"),
    [(2880 + 11, "DATASUM"), (60, "CHECKSUM")],  # a pixel, and the comment of the first card
)
def test_raw_files_whose_own_sums_are_wrong_are_named(
    make_night: NightMaker, tmp_path: Path, place: int, sum_card: str
) -> None:
    make_night.standard()
    for path in make_night.folder.glob("*.fits"):
        with fits.open(path) as hdus:
            hdus[0].data  # noqa: B018 - read before it is written again
            hdus.writeto(path, overwrite=True, checksum=True)
    damaged = bytearray((make_night.folder / "s-0.fits").read_bytes())
    damaged[place] ^= 1
    (make_night.folder / "s-0.fits").write_bytes(damaged)
    summary = reduce_night(open_night(make_night.folder), tmp_path / "out")
    assert not summary.failed
    text = f"s-0.fits: its {sum_card} of HDU 0 is wrong; was it changed, or damaged?"
    assert summary.named == (text,)
    options = Options(unchecked=("sums",), overwrite=True)
    assert reduce_night(open_night(make_night.folder), tmp_path / "out", options).named == ()


def test_floats_of_another_scale_are_named(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    path = make_night.folder / "s-0.fits"
    with fits.open(path) as hdus:
        scaled, header = hdus[0].data.astype("f4") / 65535, hdus[0].header
    for card in ("BZERO", "BSCALE"):
        header.remove(card, ignore_missing=True)
    fits.PrimaryHDU(scaled, header).writeto(path, overwrite=True)
    told: dict[str, Any] = named(reduce_night(open_night(make_night.folder), tmp_path / "out"))
    assert "would be negative" in told["s-0.fits"]


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("top", [4095, 16383, 4095 * 16])
def test_the_mask_knows_where_pixels_pile_up(
    make_night: NightMaker, tmp_path: Path, top: int, prepared: bool
) -> None:
    make_night.standard()
    for path in make_night.folder.glob("s-*.fits"):
        stars = np.rint(RANDOM.normal(500, 5, make_night.shape))
        stars[2:5, 3:11] = top
        stars[5, 3:7] = top * 0.9
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = stars.astype("u2")
    expected = fits.getdata(make_night.folder / "s-0.fits") == top
    if prepared:
        with_overscan(make_night.folder)
    summary = reduce_night(open_night(make_night.folder), tmp_path / "out", Options(mask=True))
    assert f"pixels pile up at {top} ADU, which is taken for saturation" in summary.named[0]
    mask = fits.getdata(tmp_path / "out" / "s-0c.fits", "MASK")
    np.testing.assert_array_equal((mask & SATURATED) > 0, expected)
    assert fits.getheader(tmp_path / "out" / "s-0c.fits")["DQCLIP"] == top


@pytest.mark.parametrize("fit", ["", "none", "constant"])
def test_integers_that_wrapped_are_named(make_night: NightMaker, tmp_path: Path, fit: Any) -> None:
    make_night.standard()
    for path in make_night.folder.glob("*.fits"):
        with fits.open(path) as hdus:
            data, header = hdus[0].data.astype("i2"), hdus[0].header
        header.remove("BZERO", ignore_missing=True)
        if path.name == "s-1.fits":
            data[3, 4] = -20536
        fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
    options = Options()
    if fit:
        with_overscan(make_night.folder)
        options = Options(overscan_fit=fit)
    night = open_night(make_night.folder, camera=camera_of(options, [make_night.folder]))
    told = named(reduce_night(night, tmp_path / "out", options))
    assert set(told) == {"s-1.fits"}
    assert "1 of its pixels are far below zero" in told["s-1.fits"]


def test_frames_without_any_value_are_named(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    blank = ("d10-1.fits", "f-1.fits", "s-1.fits")
    for path in make_night.folder.glob("*.fits"):
        with fits.open(path) as hdus:
            data, header = hdus[0].data.astype("f4"), hdus[0].header
        for card in ("BZERO", "BSCALE"):
            header.remove(card, ignore_missing=True)
        data[...] = np.nan if path.name in blank else data
        fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
    told = named(reduce_night(open_night(make_night.folder), tmp_path / "out"))
    assert told == dict.fromkeys(blank, "has no pixel with a value")


def test_floats_that_no_detector_has_raise_no_warning(
    make_night: NightMaker, tmp_path: Path
) -> None:
    make_night.standard()
    for path in make_night.folder.glob("*.fits"):
        with fits.open(path) as hdus:
            data, header = hdus[0].data.astype("f4"), hdus[0].header
        for card in ("BZERO", "BSCALE"):
            header.remove(card, ignore_missing=True)
        data[0, :4] = np.inf, -np.inf, np.nan, 3e38
        fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
    options = Options(threads=True)  # in this process warnings are errors
    summary = reduce_night(open_night(make_night.folder), tmp_path / "out", options)
    assert (named(summary), len(summary.science)) == ({}, 2)


@pytest.mark.parametrize("part", [0.002, 0.01, 0.05])
@pytest.mark.parametrize("charge", [60.0, 1000.0])
def test_a_science_frame_turned_is_noticed_by_few_and_by_many_hot_pixels(
    make_night: NightMaker, tmp_path: Path, part: float, charge: float
) -> None:
    make_night.shape = (100, 100)
    make_night.standard(n_each=5)
    hot = charge * (np.random.default_rng(3).random((100, 100)) < part)
    for path in [*make_night.folder.glob("d10*.fits"), *make_night.folder.glob("s-*.fits")]:
        with fits.open(path, mode="update") as hdus:
            data = hdus[0].data + hot
            hdus[0].data = (data[::-1] if path.name == "s-1.fits" else data).astype("u2")
    told = named(reduce_night(open_night(make_night.folder), tmp_path / "out"))
    assert set(told) == {"s-1.fits"}
    assert "hot pixels" in told["s-1.fits"]


@pytest.mark.parametrize("sky", [5, 20000])
@pytest.mark.parametrize(("n_darks", "size", "told"), [(9, 3.0, True), (1, 3.0, False)])
def test_a_science_frame_turned_is_noticed_by_the_fixed_pattern(
    make_night: NightMaker, tmp_path: Path, n_darks: int, size: float, told: bool, sky: int
) -> None:
    make_night.shape = (100, 100)
    pattern = np.random.default_rng(3).normal(0, size, (100, 100))
    names = []
    for kind, number in (("Dark", n_darks), ("Flat", 4), ("Light", 4)):
        for n in range(number):
            light = {"Dark": 0, "Flat": 20000, "Light": sky}[kind]
            path = make_night.add(f"{kind.lower()}{n}.fits", kind, 0, 5.0, shape=(100, 100))
            turned = pattern[::-1] if path.name == "light2.fits" else pattern
            with fits.open(path, mode="update") as hdus:
                noise = RANDOM.normal(0, 3, (100, 100))
                hdus[0].data = np.rint(500 + turned + noise + RANDOM.poisson(light, (100, 100)))
                hdus[0].data = hdus[0].data.astype("u2")
            names.append(path.name)
    found = named(reduce_night(open_night(make_night.folder), tmp_path / "out"))
    # Nothing can be told under the noise of a bright sky.
    if told and sky < 100:
        assert set(found) == {"light2.fits"}
        assert "of its pattern" in found["light2.fits"]
    else:
        assert not found


@pytest.mark.parametrize("step", [4, 16, 64])
def test_nothing_is_said_of_coarse_numbers(sound: Path, tmp_path: Path, step: int) -> None:
    shutil.copytree(sound, tmp_path / "night")
    for path in (tmp_path / "night").rglob("*.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = (hdus[0].data // step * step).astype("u2")
    options = Options(unchecked=("offset", "scatter", "hot"))
    assert named(reduce_night(open_night(tmp_path / "night"), tmp_path / "out", options)) == {}


def test_a_flat_that_is_lit_elsewhere_is_named_and_the_others_make_the_master(
    tmp_path: Path,
) -> None:
    """Of few flats the odd one must not spoil the levels of the others."""
    simulate(tmp_path / "night", shape=SHAPE, n_darks=5, n_flats=6, n_science=2, seed=4)
    path = frames(tmp_path / "night", "flat")[3]
    with fits.open(path, mode="update") as hdus:
        dark = pixels(frames(tmp_path / "night", "dark_3s")[0])
        own = hdus[0].data.astype("f8")
        hdus[0].data = np.rint(np.where(np.arange(SHAPE[1]) < 58, dark, own)).astype("u2")
    summary = reduce_night(open_night(tmp_path / "night"), tmp_path / "out")
    assert [Path(left.path).name for left in summary.failed] == [path.name]
    assert len(summary.science) == 2


@pytest.mark.parametrize(
    ("card", "values"),
    [("EXPOSURE", (3.0, 0.3)), ("OBJECT", ("dome flat hi", "dome flat lo")), ("OBSMODE", "ab")],
)
def test_flats_are_not_told_apart_by_what_they_never_share_with_science_frames(
    make_night: NightMaker, tmp_path: Path, card: str, values: tuple[Any, Any]
) -> None:
    make_night.shape = (48, 400)
    night = make_night.standard()
    for path in night.glob("f-*"):
        path.unlink()
    rng = np.random.default_rng(3)
    for number in range(8):
        path = make_night.add(
            f"f{number}.fits", "Flat", 0, 2.0, FILTER="V", **{card: values[number % 2]}
        )
        with fits.open(path, mode="update") as hdus:
            shape = hdus[0].data.shape
            slope = 1 + 0.2 * (number % 2) * np.linspace(-1, 1, shape[1]) ** 2
            hdus[0].data = rng.poisson(20000 * slope * np.ones(shape)).astype("u2")
    summary = reduce_night(open_night(night), tmp_path / "out")
    told = {entry.name: entry.reason for entry in summary.failed}
    assert "fall apart into 2 groups" in told["f0.fits"]
    assert card in told["f0.fits"]
