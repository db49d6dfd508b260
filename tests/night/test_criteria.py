"""What must agree before frames belong together, told by headers; and nights kept apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import Options, Plan, RequestError, make_plan, open_night, read_camera

Cards = dict[str, Any]
Add = Callable[..., Path]


@pytest.fixture
def add(tmp_path: Path) -> Add:
    """Add frames with cards to a night."""
    random = np.random.default_rng(1)

    def _add(name: str, kind: str, exptime_s: float | None = 10.0, **cards: Any) -> Path:
        image = fits.PrimaryHDU(random.normal(1000, 5, (6, 8)).astype(np.uint16))
        if exptime_s is not None:
            image.header["EXPTIME"] = exptime_s
        image.header["IMAGETYP"] = kind
        for keyword, value in cards.items():
            image.header[keyword.replace("__", "-")] = value
        path = tmp_path / f"{name}.fits"
        path.parent.mkdir(exist_ok=True, parents=True)
        image.writeto(path)
        return tmp_path

    return _add


def plan_of(night: Path, **options: Any) -> Plan:
    return make_plan(open_night(night), Options(**options))


def failures(plan: Plan) -> dict[str, str]:
    return {entry.name: entry.reason for entry in plan.left_out if entry.failed}


# A card, its value in the master's frames and in the science frame, and how the criterion is told.
OF_DARKS: list[tuple[Cards, Cards, str]] = [
    ({"OFFSET": 10}, {"OFFSET": 50}, "offset 10, not 50"),
    ({"BLKLEVEL": 10}, {"BLKLEVEL": 30.0}, "black level 10, not 30"),
    ({"ISOSPEED": "800"}, {"ISOSPEED": 1600}, "ISO 800, not 1600"),
    ({"ADCBITS": 12}, {"ADCBITS": 14}, "ADC bits 12, not 14"),
    ({"COADDS": 1}, {"COADDS": 10}, "coadds 1, not 10"),
    ({"NREADS": 1}, {"NREADS": 4}, "number of reads 1, not 4"),
    ({}, {"NUMACC": 10}, "coadds none, not 10"),
    ({"GAIN": 100}, {"GAIN": 120}, "gain setting 100, not 120"),
    # A card that both share hides no other in which they differ.
    ({"GAIN": 1, "GAINSET": "low"}, {"GAIN": 1, "GAINSET": "high"}, "gain mode low, not high"),
    ({"GAIN": 1, "EGAIN": 1.5}, {"GAIN": 1, "EGAIN": 0.4}, "electrons per ADU 1.5, not 0.4"),
    ({"GAIN": 1, "EMREALGN": 0}, {"GAIN": 1, "EMREALGN": 300}, "EM gain 0, not 300"),
    ({"GAIN": 1, "PREAMP": 1.0}, {"GAIN": 1, "PREAMP": 5.1}, "preamplifier 1, not 5.1"),
    ({"OUTPTAMP": "EM"}, {"OUTPTAMP": "Conventional"}, "output amplifier EM, not Conventional"),
    ({"READOUTM": "N", "READMODE": 0}, {"READOUTM": "N", "READMODE": 1}, "read mode 0, not 1"),
    ({"CCDSPEED": "SLOW"}, {"CCDSPEED": "FAST"}, "read speed SLOW, not FAST"),
    (
        {"INSTRUME": "W", "DETECTOR": "E2V"},
        {"INSTRUME": "W", "DETECTOR": "RED"},
        "detector E2V, not RED",
    ),
    ({"SERNO": 5678}, {"SERNO": 5679}, "serial number 5678, not 5679"),
    ({"DETWIN1": "[1:8, 1:6]"}, {"DETWIN1": "[1:8, 11:16]"}, "window [1:8, 1:6], not [1:8, 11:16]"),
    (
        {"CCDSEC": "[1:8,1:6]"},
        {"CCDSEC": "[1:8,9:14]"},
        "window of the chip [1:8,1:6], not [1:8,9:14]",
    ),
    (
        {"DETSEC": "[1:8,1:6]"},
        {"DETSEC": "[1:8,9:14]"},
        "window of the detector [1:8,1:6], not [1:8,9:14]",
    ),
    ({"LTV1": 0, "LTV2": 0}, {"LTV1": 0, "LTV2": -80}, "origin of the window 0 0, not 0 -80"),
    ({"READOUTM": "Fast"}, {"READOUTM": "Slow"}, "readout Fast, not Slow"),
    ({"ROWORDER": "TOP-DOWN"}, {"ROWORDER": "BOTTOM-UP"}, "row order TOP-DOWN, not BOTTOM-UP"),
    ({"FLIPSTAT": "Flip"}, {"FLIPSTAT": "Flip/Mirror"}, "flips Flip, not Flip/Mirror"),
    ({"BAYERPAT": "RGGB"}, {"BAYERPAT": "GBRG"}, "Bayer pattern RGGB, not GBRG"),
    ({"SET__TEMP": -10}, {"SET__TEMP": -20}, "set temperature -10 C, not -20 C"),
]
OF_FLATS: list[tuple[Cards, Cards, str]] = [
    ({"FILTER": "V"}, {"FILTER": "R"}, "filter V, not R"),
    ({"FILTER": "V"}, {}, "filter V, not none"),
    ({"GRATNG_N": "300/5000"}, {"GRATNG_N": "1200/5000"}, "grating 300/5000, not 1200/5000"),
    ({"GRISM": "G3"}, {"GRISM": "G5"}, "grism G3, not G5"),
    ({"SLIT": "1.0"}, {"SLIT": "2.0"}, "slit 1, not 2"),
    ({"SLIT": "a", "SLITWID": 1.0}, {"SLIT": "a", "SLITWID": 2.0}, "slit width 1, not 2"),
    ({"SLIT": "a", "DECKER": "V"}, {"SLIT": "a", "DECKER": "W"}, "decker V, not W"),
    ({"DICHNAME": "460"}, {"DICHNAME": "560"}, "dichroic 460, not 560"),
    ({"GRISMID": "VPH1"}, {"GRISMID": "VPH2"}, "grism VPH1, not VPH2"),
    ({"FILTER1": 1, "FILTER2": 3}, {"FILTER1": 1, "FILTER2": 4}, "filter 1+3, not 1+4"),
    (
        {"FILTER": "NO_FILTER", "FILTER2": "g"},
        {"FILTER": "NO_FILTER", "FILTER2": "r"},
        "filter g, not r",
    ),
    ({"FILTA": "Empty", "FILTB": "V"}, {"FILTA": "Empty", "FILTB": "R"}, "filter V, not R"),
    ({"FILTPOS": 1}, {"FILTPOS": 2}, "place of the filter 1, not 2"),
    ({"HWPANGLE": 0.0}, {"HWPANGLE": 45.0}, "wave plate 0, not 45"),
    ({"TELESCOP": "1m"}, {"TELESCOP": "2m"}, "telescope 1m, not 2m"),
]


@pytest.mark.parametrize(("theirs", "own", "told"), OF_DARKS)
def test_a_dark_that_differs_is_not_used(add: Add, theirs: Cards, own: Cards, told: str) -> None:
    add("d1", "dark", **theirs)
    add("d2", "dark", **theirs)
    night = add("s", "light", **own)
    reason = failures(plan_of(night, missing_flat=True))["s.fits"]
    assert f"MasterDark_10s ({told})" in reason
    name = re.split(r" (-10 C|\S+|\[.*\]|0 0), not ", told)[0]
    assert f"--allow '{name}' uses MasterDark_10s" in reason
    allowed = plan_of(night, missing_flat=True, allow=(name,))
    assert allowed.science[0].correction.dark == "MasterDark_10s"


@pytest.mark.parametrize(("theirs", "own", "told"), OF_FLATS)
def test_a_flat_that_differs_is_not_used(add: Add, theirs: Cards, own: Cards, told: str) -> None:
    add("f1", "flat", **theirs)
    night = add("s", "light", **own)
    assert f"({told})" in failures(plan_of(night, missing_dark=True))["s.fits"]


@pytest.mark.parametrize(("theirs", "own", "told"), [*OF_DARKS, *OF_FLATS])
def test_frames_that_differ_make_two_masters(
    add: Add, theirs: Cards, own: Cards, told: str
) -> None:
    kind = "dark" if (theirs, own, told) in OF_DARKS else "flat"
    add("1", kind, **theirs)
    night = add("2", kind, **own)
    plan = plan_of(night, missing_dark=True)
    assert [len(master.inputs) for master in plan.masters] == [1, 1]


@pytest.mark.parametrize("value", [100, 100.0, "100", " 100 ", "100."])
def test_numbers_are_compared_as_numbers(add: Add, value: object) -> None:
    add("d", "dark", GAIN=100)
    night = add("s", "light", GAIN=value)
    assert len(plan_of(night, missing_flat=True).science) == 1


def test_texts_are_compared_without_case_and_blanks(add: Add) -> None:
    add("d", "dark", INSTRUME="ZWO ASI294MM", READOUTM="High Gain")
    night = add("s", "light", INSTRUME="zwo asi294mm ", READOUTM="HighGain")
    assert len(plan_of(night, missing_flat=True).science) == 1


def test_filters_are_compared_as_they_are_written(add: Add) -> None:
    add("f", "flat", FILTER="r")
    night = add("s", "light", FILTER="R")
    assert "filter r, not R" in failures(plan_of(night, missing_dark=True))["s.fits"]


def test_flats_with_their_own_darks_need_not_share_gain_and_temperature(add: Add) -> None:
    for name, gain, temperature in (("a", 0, 5), ("b", 120, -10)):
        add(f"dark-{name}", "dark", GAIN=gain, SET__TEMP=temperature)
    add("flat", "flat", GAIN=0, SET__TEMP=5)
    night = add("s", "light", GAIN=120, SET__TEMP=-10)
    plan = plan_of(night)
    assert not failures(plan)
    assert plan.science[0].correction.dark == "MasterDark_10s_120_-10C"
    assert plan.master("MasterFlat").needs == ("MasterDark_10s_0_5C",)


def test_names_keep_the_sign(add: Add) -> None:
    add("a", "dark", SET__TEMP=-10)
    night = add("b", "dark", SET__TEMP=10)
    assert [m.name for m in plan_of(night).masters] == ["MasterDark_10s_-10C", "MasterDark_10s_10C"]


def test_a_temperature_that_wanders_while_it_cools_does_not_split_bias_frames(add: Add) -> None:
    for n, temperature in enumerate((0.0, 1.96, 0.4, 3.0)):
        night = add(str(n), "bias", 0.0, SET__TEMP=temperature)
    assert [len(master.inputs) for master in plan_of(night).masters] == [4]


def test_measured_temperatures_that_differ_are_told_and_the_nearest_is_taken(add: Add) -> None:
    add("warm", "dark", CCD__TEMP=20.0)
    night = add("s", "light", CCD__TEMP=-10.0)
    plan = plan_of(night, missing_flat=True)
    assert plan.science[0].correction.dark == "MasterDark_10s"
    assert any("temperature 20 C, not -10 C" in warning for warning in plan.warnings)
    add("cold", "dark", CCD__TEMP=-9.0)
    plan = plan_of(night, missing_flat=True)
    assert plan.science[0].correction.dark == "MasterDark_10s_-9C"
    assert not any("differs" in warning for warning in plan.warnings)


def test_a_set_temperature_that_was_not_reached_is_not_believed(add: Add) -> None:
    add("d", "dark", SET__TEMP=-10.0, CCD__TEMP=14.5)
    night = add("s", "light", SET__TEMP=-10.0, CCD__TEMP=-10.1)
    warnings = plan_of(night, missing_flat=True).warnings
    assert any("temperature 14.5 C, not -10 C" in warning for warning in warnings)


def test_the_time_of_dark_current_is_what_darks_are_chosen_by(add: Add) -> None:
    add("d1", "dark", 10.0, DARKTIME=10.4)
    add("d2", "dark", 10.0, DARKTIME=30.0)
    night = add("s", "light", 10.0, DARKTIME=30.0)
    plan = plan_of(night, missing_flat=True)
    assert plan.science[0].correction.dark == "MasterDark_30s"
    assert {master.name for master in plan.masters} == {"MasterDark_10s", "MasterDark_30s"}


def test_rotated_flats_are_told(add: Add) -> None:
    add("f", "flat", ROTATANG=359.0)
    add("s", "light", ROTATANG=2.0)
    night = add("t", "light", ROTATANG=90.0)
    warnings = plan_of(night, missing_dark=True).warnings
    assert [w for w in warnings if "rotator" in w] == [
        "MasterFlat differs in rotator 359, not 90 (calibrates t.fits)"
    ]


def test_a_camera_file_adds_criteria_and_changes_them(add: Add, tmp_path: Path) -> None:
    rules = tmp_path / "camera.toml"
    rules.write_text(
        """
        [facts]
        voltage = ["VOLT"]
        [[criterion]]
        name = "voltage"
        fact = "voltage"
        masters = ["dark"]
        tolerance = 0.5
        unit = "V"
        [[criterion]]
        name = "offset"
        masters = []
        """
    )
    camera = read_camera(rules)
    add("d", "dark", VOLT=3.0, OFFSET=1)
    add("s", "light", VOLT=3.4, OFFSET=2)
    night = add("t", "light", VOLT=4.0)
    plan = make_plan(open_night(night, camera=camera), Options(missing_flat=True))
    assert [entry.frame.name for entry in plan.science] == ["s.fits"]
    assert "voltage 3 V, not 4 V" in failures(plan)["t.fits"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[criterion]]\nname = 'x'", "needs a name, and a new one a fact"),
        ("[[criterion]]\nname = 'offset'\ntolerance = -1", "must be a number that is not negative"),
        ("[[criterion]]\nname = 'offset'\nfar = 1", "unknown key 'far'"),
        ("[[criterion]]\nname = 'offset'\nmasters = ['lamp']", "must be kinds of masters"),
        ("[facts]\nvoltage = ['V']", "unknown key 'voltage'"),
    ],
)
def test_criteria_are_checked(tmp_path: Path, text: str, told: str) -> None:
    rules = tmp_path / "camera.toml"
    rules.write_text(text)
    with pytest.raises(RequestError, match=told):
        read_camera(rules)


def test_what_may_be_allowed_is_named(add: Add) -> None:
    night = add("s", "light")
    with pytest.raises(RequestError, match="there is no ofset; the nearest is offset"):
        plan_of(night, allow=("ofset",))


def mixed(add: Add) -> Path:
    """Two nights in one folder, of the same cards but for their dates."""
    for day in (1, 2):
        for n in range(2):
            cards = {"DATE__OBS": f"2024-03-0{day}T21:0{n}:00", "FILTER": "V"}
            add(f"n{day}/dark{n}", "dark", **cards)
            add(f"n{day}/flat{n}", "flat", **cards)
            night = add(f"n{day}/s{n}", "light", **cards)
    return night


def test_nights_keep_their_masters_apart(add: Add) -> None:
    plan = plan_of(mixed(add))
    used = {entry.frame.name: entry.correction.masters for entry in plan.science}
    assert used["n1/s0.fits"] == ("MasterDark_10s", "MasterFlat_V")
    assert used["n2/s0.fits"] == ("MasterDark_10s_2024-03-02", "MasterFlat_V_2024-03-02")
    assert plan.master("MasterFlat_V_2024-03-02").needs == ("MasterDark_10s_2024-03-02",)
    assert not plan.warnings


def test_nights_are_combined_where_that_is_asked_for(add: Add) -> None:
    plan = plan_of(mixed(add), across_nights=True)
    assert [len(master.inputs) for master in plan.masters] == [4, 4]


def test_the_nearest_set_is_taken_and_told(add: Add) -> None:
    for day in (1, 9):
        for n in range(2):
            add(f"f{day}{n}", "flat", DATE__OBS=f"2024-03-0{day}T18:0{n}:00")
    for day in (1, 3, 7, 9):
        night = add(f"s{day}", "light", DATE__OBS=f"2024-03-0{day}T21:00:00")
    plan = plan_of(night, missing_dark=True)
    used = {entry.frame.name: entry.correction.flat for entry in plan.science}
    later = "MasterFlat_2024-03-09"
    assert used == dict(zip(sorted(used), ["MasterFlat", "MasterFlat", later, later], strict=True))
    assert plan.warnings == (
        "MasterFlat is of 2024-03-01, the nearest that there is to 2024-03-03 (calibrates s3.fits)",
        f"{later} is of 2024-03-09, the nearest that there is to 2024-03-07 (calibrates s7.fits)",
    )


def test_who_tells_no_coadds_has_added_nothing(add: Add) -> None:
    add("d", "dark")
    night = add("s", "light", COADDS=1)
    assert plan_of(night, missing_flat=True).science[0].correction.dark == "MasterDark_10s"


def test_offsets_of_zero_of_a_bayer_pattern_are_none(add: Add) -> None:
    add("d", "dark", BAYERPAT="RGGB", XBAYROFF=0, YBAYROFF=0)
    night = add("s", "light", BAYERPAT="RGGB")
    assert plan_of(night, missing_flat=True).science[0].correction.dark == "MasterDark_10s"


def test_a_camera_without_darks_says_what_its_bias_differs_in(add: Add) -> None:
    card = {"INSTRUME": "EFOSC", "HIERARCH ESO INS FILT1 NAME": "V"}
    add("b", "bias", 0.0, READOUTM="fast", **card)
    night = add("s", "light", READOUTM="slow", **card)
    reason = failures(plan_of(night, missing_flat=True))["s.fits"]
    assert "needs a bias; there was MasterBias (readout fast, not slow)" in reason
    (text,) = plan_of(night, missing_flat=True, missing_dark=True).warnings[-1:]
    assert text == "no bias, and no dark, is subtracted (calibrates s.fits)"
