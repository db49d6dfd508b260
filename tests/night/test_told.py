"""What headers tell in odd ways, and what is told by hand: exposure times, filters, gains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import Frame, Options, RequestError, make_plan, open_night
from daskred.night.choices import parse_exptimes, parse_filters
from daskred.night.times import date_text, mjd_of
from tests.conftest import NightMaker

Cards = dict[str, Any]
Add = Callable[..., Path]


@pytest.fixture
def add(tmp_path: Path) -> Add:
    random = np.random.default_rng(1)

    def _add(name: str = "x.fits", **cards: Any) -> Path:
        image = fits.PrimaryHDU(random.normal(1000, 5, (6, 8)).astype(np.uint16))
        for keyword, value in cards.items():
            image.header[keyword.replace("__", "-")] = value
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        image.writeto(tmp_path / name)
        return tmp_path

    return _add


def only(night: Path, **told: Any) -> Frame:
    (frame,) = open_night(night, **told).frames
    return frame


TIMES: list[tuple[Cards, float]] = [
    ({"EXPTIME": (5000000.0, "[us] exposure")}, 5.0),
    ({"EXPTIME": (2000, "exposure time in ms")}, 2.0),
    ({"EXPTIME": (2, "[min] exposure")}, 120.0),
    ({"EXPOINUS": 250000}, 0.25),
    ({"IMG_EXP": (1999, "Exposure (ms)")}, 1.999),
    ({"PARAM25": (1000.0, "Exposure Time (ms)")}, 1.0),
    ({"COMMENT": "Light Exposure, Exp Time= 12"}, 12.0),
    ({"UT-START": "23:59:55.0", "UT-END": "00:00:05.0"}, 10.0),
    ({"TM-START": 100.0, "TM-END": 130.0}, 30.0),
    ({"DATE-OBS": "2024-01-01T00:00:00", "DATE-END": "2024-01-01T00:01:00"}, 60.0),
    # A card for it comes before all these.
    ({"EXPTIME": 7.0, "UT-START": "23:59:55.0", "UT-END": "00:00:05.0"}, 7.0),
]


@pytest.mark.parametrize(("cards", "seconds"), TIMES)
def test_exposure_times_in_odd_places(add: Add, cards: Cards, seconds: float) -> None:
    frame = only(add(**{"IMAGETYP": "dark", **cards}))
    assert frame.facts.exptime_s == pytest.approx(seconds)


GAINS: list[tuple[Cards, float | None]] = [
    ({"GAIN": 1.5}, 1.5),
    ({"GAIN": 120}, None),
    ({"GAIN": (120, "[e-/ADU] gain")}, 120.0),
    ({"GAIN": 0, "OFFSET": 10}, None),
    ({"GAIN": 2, "OFFSET": 10}, None),
    ({"GAIN": 2, "OFFSET": 10, "EGAIN": 0.8}, 0.8),
    ({"GAIN": 2, "INSTRUME": "ZWO ASI1600MM"}, None),
    ({"GAIN": (2, "e-/ADU"), "INSTRUME": "QHY600M"}, None),  # whose rules know EGAIN only
    ({"EGAIN": 2.3}, 2.3),
]


@pytest.mark.parametrize(("cards", "gain"), GAINS)
def test_a_setting_is_no_gain(add: Add, cards: Cards, gain: float | None) -> None:
    frame = only(add(**{"IMAGETYP": "dark", "EXPTIME": 1.0, **cards}))
    assert frame.facts.gain_e_per_adu == gain


@pytest.mark.parametrize(
    ("cards", "name"),
    [
        ({"MYFILT": "V"}, "V"),
        ({"WHEEL": ("Ha", "filter in the beam")}, "Ha"),
        ({"MYFILT": "position 3"}, None),
        ({"FILTPOS": ("3", "filter position")}, None),
    ],
)
def test_filter_cards_that_nobody_knows_are_told_by_their_values(
    add: Add, cards: Cards, name: str | None
) -> None:
    assert only(add(IMAGETYP="flat", EXPTIME=1.0, **cards)).facts.filter == name


def named_night(add: Add, flats: str = "flat_{name}_{n}") -> Path:
    for name in "BV":
        for n in range(2):
            add(f"{flats.format(name=name, n=n)}.fits", IMAGETYP="flat", EXPTIME=1.0, NUMBER=n)
        night = add(f"m51_{name}_1.fits", IMAGETYP="light", EXPTIME=1.0, OBJECT="M 51")
    return night


def test_filters_are_told_by_names_where_no_card_tells_them(add: Add) -> None:
    plan = make_plan(open_night(named_night(add)), Options(missing_dark=True))
    used = {entry.frame.name: entry.correction.flat for entry in plan.science}
    assert used == {"m51_B_1.fits": "MasterFlat_B", "m51_V_1.fits": "MasterFlat_V"}


def test_names_that_do_not_all_tell_a_filter_tell_none(add: Add) -> None:
    named_night(add)
    night = add("flat_9.fits", IMAGETYP="flat", EXPTIME=1.0)
    assert {frame.facts.filter for frame in open_night(night).frames} == {None}


def test_the_name_of_a_star_is_no_filter(add: Add) -> None:
    named_night(add)
    night = add("B_Cas_1.fits", IMAGETYP="light", EXPTIME=1.0, OBJECT="V 404 Cyg")
    found = {frame.name: frame.facts.filter for frame in open_night(night).frames}
    assert found["B_Cas_1.fits"] is None


def test_what_no_header_tells_is_told_by_hand(add: Add) -> None:
    for name in ("Darks/a", "Darks/b", "Flats/a", "Lights/a"):
        night = add(f"{name}.fits", NUMBER=hash(name) % 97)
    plan = make_plan(open_night(night))
    assert all("--exptime" in entry.reason for entry in plan.left_out)
    told = open_night(
        night,
        exptimes=parse_exptimes(["Darks/*=10", "*/a.fits=10"]),
        filters=parse_filters(["Flats/*=V", "Lights/*=V"]),
    )
    plan = make_plan(told)
    assert [entry.correction.masters for entry in plan.science] == [
        ("MasterDark_10s", "MasterFlat_V")
    ]


@pytest.mark.parametrize("choice", ["darks", "darks/*=", "darks/*=long", "=10", "darks/*=-1"])
def test_exposure_times_are_checked(choice: str) -> None:
    with pytest.raises(RequestError, match="write PATTERN=SECONDS"):
        parse_exptimes([choice])


def test_a_pattern_that_matches_nothing_is_named(add: Add) -> None:
    night = add(IMAGETYP="dark", EXPTIME=1.0)
    with pytest.raises(RequestError, match=r"--exptime 'z\*'=1 matches no frame"):
        open_night(night, exptimes=[(1.0, "z*")])
    with pytest.raises(RequestError, match=r"--filter 'z\*'=V matches no frame"):
        open_night(night, filters=[("V", "z*")])


@pytest.mark.parametrize(
    ("cards", "seconds"),
    [
        ({"EXPTIME": "60,5"}, 60.5),
        ({"EXPTIME": "00:01:00"}, 60.0),
        ({"EXPTIME": "1/30"}, 1 / 30),
        ({"EXPTIME": 0.0, "EXPOSURE": 60.0}, 60.0),
        ({"EXPTIME": 0.0, "EXPOSURE": 0.0}, 0.0),
    ],
)
def test_exposure_times_as_people_write_them(add: Add, cards: Any, seconds: float) -> None:
    (frame,) = open_night(add(IMAGETYP="dark", **cards)).frames
    assert frame.facts.exptime_s == pytest.approx(seconds)


def test_an_exposure_time_that_nobody_can_read_says_what_tells_it(add: Add) -> None:
    (entry,) = open_night(add(IMAGETYP="dark", EXPTIME="long")).left_out
    assert "'long' is no exposure time in seconds; --exptime '" in entry.reason


@pytest.mark.parametrize(
    ("text", "mjd"),
    [
        ("2024-01-01T12:00:00", 60310.5),
        ("2024/01/01 12:00", 60310.5),
        ("31/12/98", 51178.0),
        ("2460311.0", 60310.5),
        ("60310.5", 60310.5),
        ("2024-01-01T12:00:00 UTC", 60310.5),
        ("2024-01-01T13:00:00+01:00", 60310.5),
        ("2024-01-01T08:30:00-0330", 60310.5),
        ("01/01/2024 12:00", 60310.5),
        ("12/31/2023", 60309.0),
        ("20240101", 60310.0),
        ("yesterday", None),
        ("2024-13-01", None),
        (None, None),
    ],
)
def test_dates_as_headers_write_them(text: str | None, mjd: float | None) -> None:
    assert mjd_of(text) == mjd
    if mjd is not None:
        assert mjd_of(date_text(mjd)) == pytest.approx(mjd, abs=1e-8)


@pytest.mark.parametrize(
    ("flats", "science", "filters"),
    [
        (("flats/V/f1.fits", "flats/B/f2.fits"), "lights/V/m67_1.fits", {"V", "B"}),
        (("flatV0.fits", "flatB1.fits"), "m67_V_1.fits", {"V", "B"}),
        (("Vflat_0.fits", "Bflat_1.fits"), "m67_V_1.fits", {"V", "B"}),
        (("DomeFlatV_0.fits", "DomeFlatB_0.fits"), "m67_V_1.fits", {"V", "B"}),
        (("flat_656nm_1.fits", "flat_501nm_1.fits"), "m67_656nm_1.fits", {"656nm", "501nm"}),
        (("b11.fits", "b12.fits"), "b24.fits", {None}),
        (("flat_1.fits", "flat_2.fits"), "m67_1.fits", {None}),
    ],
)
def test_filters_of_names_and_folders(
    make_night: NightMaker, flats: tuple[str, ...], science: str, filters: set[str | None]
) -> None:
    for name in flats:
        make_night.add(name, "Flat", 20000, 3.0)
    make_night.add(science, "Light", 400, 60.0)
    night = open_night(make_night.folder)
    assert {frame.facts.filter for frame in night.select("flat")} == filters
    (frame,) = night.select("science")
    assert frame.facts.filter in filters


@pytest.mark.parametrize("last", ["flat_Vx_9.fits", "flat_b_9.fits"])
def test_filters_that_names_do_not_tell_clearly_are_a_warning(
    make_night: NightMaker, last: str
) -> None:
    for name in ("flat_V_1.fits", "flat_B_1.fits", last):
        make_night.add(name, "Flat", 20000, 3.0)
    make_night.add("m67_V_1.fits", "Light", 400, 60.0)
    plan = make_plan(open_night(make_night.folder), Options(missing_dark=True))
    (text,) = [text for text in plan.warnings if "no card tells the filter" in text]
    assert "--filter 'PATTERN'=NAME tells" in text
