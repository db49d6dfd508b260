"""Every frame's kind, and the reason for it; contradictions are unknown, never guessed.

There are many cases, each short, which makes the file longer than others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daskred import open_night
from daskred.cameras.read import read_camera
from daskred.fits.header import Header, Value, format_card
from daskred.night.facts import facts_of
from daskred.night.kinds import kind_of
from daskred.night.processed import processed_sign
from daskred.night.signs import signs_of
from daskred.night.values import parse_number
from daskred.night.words import read_words
from tests.conftest import WriteFits

CAMERA = read_camera()
PIXELS = np.arange(48, dtype=np.uint16).reshape(6, 8)


def header(cards: dict[str, Value]) -> Header:
    return Header(tuple(format_card(keyword, value) for keyword, value in cards.items()))


def kind(name: str, exptime_s: float | None, **cards: Any) -> tuple[str, str]:
    own = {keyword.replace("_", "-"): value for keyword, value in cards.items()}
    return told(name, header(own), exptime_s)


def told(name: str, own: Header, exptime_s: float | None) -> tuple[str, str]:
    return kind_of(name, signs_of(name, [own], exptime_s, CAMERA))


CLEAR = [
    ("dark", "a.fits", 10.0, {"IMAGETYP": "Dark Frame"}),
    ("bias", "a.fits", 0.0, {"IMAGETYP": "Bias Frame"}),
    ("bias", "a.fits", 0.12, {"IMAGETYP": "BIAS"}),
    ("bias", "a.fits", 0.0, {"IMAGETYP": "zero"}),
    ("flat", "a.fits", 2.0, {"IMAGETYP": "Flat Field"}),
    ("flat", "a.fits", 2.0, {"OBSTYPE": "SKYFLAT"}),
    ("science", "a.fits", 300.0, {"IMAGETYP": "Light Frame"}),
    ("science", "a.fits", 300.0, {"OBSTYPE": "EXPOSE", "OBJECT": "2021 SO2"}),
    # The lab's cards: no IMAGETYP at all.
    ("dark", "dark/dark_10s-01.fits", 10.0, {"OBJECT": "Dark", "SHUTTER": "closed"}),
    ("flat", "flat/flat-01.fits", 3.0, {"OBJECT": "flat", "SHUTTER": "open"}),
    ("science", "k/k-0001.fits", 10.0, {"OBJECT": "ktwo220274129", "SHUTTER": "open"}),
    # A dark of zero seconds is a bias; a generic exposure is what OBJECT says.
    ("bias", "b21.fits.gz", 0.0, {"OBSTYPE": "DARK", "OBJECT": "Bias"}),
    ("flat", "b11.fits.gz", 15.0, {"OBSTYPE": "OBJECT", "OBJECT": "Dome Flat"}),
    ("science", "b27.fits.gz", 1200.0, {"OBSTYPE": "OBJECT", "OBJECT": "J1217p3905"}),
    # Darks taken while OBJECT still names the last target.
    ("dark", "x.fits", 60.0, {"IMAGETYP": "Dark", "OBJECT": "M 31"}),
    ("dark", "x.fits", 3.0, {"IMAGETYP": "DARKFLAT"}),
    ("dark", "x.fits", 3.0, {"IMAGETYP": "Flat Dark"}),
    # The names alone.
    ("flat", "flats01.fits", 6.0, {"OBJECT": "None", "IRAFNAME": "flats_j_6s_01"}),
    ("bias", "bias_1.fits", 0.0, {"OBJECT": "None"}),
    ("science", "IC310_1.fits", 40.0, {"OBJECT": "None"}),
    ("dark", "Darks/0001.fits", 30.0, {}),
    ("science", "lights/0001.fits", 30.0, {}),
    ("flat", "a.fits", 3.0, {"ESO DPR TYPE": "FLAT,SKY", "ESO DPR CATG": "CALIB"}),
    ("dark", "flats/d-1.fits", 3.0, {"IMAGETYP": "Dark Frame"}),
    # Words run together, and words beside them.
    ("flat", "x.fits", 3.0, {"OBSTYPE": "OBJECT", "OBJECT": "skyflatr 1"}),
    ("flat", "x.fits", 3.0, {"IMAGETYP": "object", "OBJECT": "Flat Bessel V"}),
    ("flat", "sn/flatb002.fits", 3.0, {"IMAGETYP": "flat", "OBJECT": "SN2019abc"}),
    ("science", "x.fits", 3.0, {"IMAGETYP": "object", "OBJECT": "AR Lac"}),
    ("science", "x.fits", 3.0, {"IMAGETYP": "Light", "OBJECT": "Dark Nebula B33"}),
    # A generic type card that nobody changed for the biases; an instrument's mode.
    ("bias", "x.fits", 0.0, {"IMAGETYP": "object", "OBJECT": "Bias"}),
    ("bias", "bias/x.fits", 0.0, {"OBJECT": "M 31"}),
    ("bias", "x.fits", 0.0, {"CCDTYPE": "ZERO", "OBSMODE": "SPECTROSCOPY"}),
    ("dark", "x.fits", 60.0, {"IMAGETYP": "Flat Dark", "FRAME": "Light"}),
    # A card made to tell the type outweighs words in OBJECT and in names.
    *(
        ("science", "x.fits", 60.0, {"IMAGETYP": "Light Frame", "OBJECT": name})
        for name in (
            *("Mercury", "WASP-12 comp", "Cygnus Arc", "Helium star", "M31 offset field"),
            *("Guide star field", "sky offset", "Pointing 3", "Flat Top Hill", "Neon Nebula"),
            *("Alignment star Vega", "Linearity field NGC 188", "une galaxie"),
        )
    ),
    ("science", "M31_gain100_offset50_0001.fits", 60.0, {"IMAGETYP": "LIGHT"}),
    ("dark", "Flat-001D600s.fit", 600.0, {"IMAGETYP": "DARK"}),
    *(
        ("dark", "DARKFLAT/f_0.fits", 2.0, {"IMAGETYP": name, "OBJECT": "FlatWizard"})
        for name in ("DARKFLAT", "FlatDark", "Dark Flat", "flat-dark", "DARK_FLAT", "Flat Darks")
    ),
    *(
        ("dark", f"{folder}/img_0.fits", 2.0, {})
        for folder in ("FlatDarks", "Flat darks", "DARKFLAT", "dark_flats", "darks_flat")
    ),
    ("flat", "x.fits", 2.0, {"IMAGETYP": "FLAT", "OBJECT": "Focus field"}),
    ("flat", "x.fits", 2.0, {"IMAGETYP": "FF"}),
    # Other cards, and numbers that stand for words.
    ("science", "x.fits", 60.0, {"IMAGTYP": "Light Frame"}),
    *(
        (word, "x.fits", 0.1, {"PICTTYPE": number})
        for number, word in enumerate(("science", "bias", "dark", "flat"), start=1)
    ),
    ("dark", "x.fits", 30.0, {"IMAGETYP": "Dark", "FRAME": "Light"}),
    ("bias", "offset_001.fits", 0.0, {}),
    ("bias", "x.fits", 0.0, {"OBSTYPE": "Bias", "SHUTTER": "open"}),
    ("bias", "x.fits", 0.0, {"OBJECT": "bias", "SHUTTER": "open"}),
    ("science", "Moon_offset10_002.fits", 0.02, {}),
    ("bias", "offset-12.fits", 0.01, {}),
]


@pytest.mark.parametrize(("expected", "name", "exptime_s", "cards"), CLEAR)
def test_clear_signs(expected: str, name: str, exptime_s: float, cards: dict[str, Value]) -> None:
    own = Header(
        tuple(
            f"HIERARCH {k} = '{v}'".ljust(80) if " " in k else format_card(k, v)
            for k, v in cards.items()
        )
    )
    found, reason = told(name, own, exptime_s)
    assert found == expected, reason
    named = [*cards, "file name", "folder"]
    assert any(text in reason for text in named)


UNCLEAR = [
    ("x.fits", 300.0, {"IMAGETYP": "Bias Frame"}, "disagree"),
    ("x.fits", 0.0, {"IMAGETYP": "Light Frame"}, "disagree"),
    ("flat_01.fits", 3.0, {"IMAGETYP": "Light Frame"}, "disagree"),
    ("darks/x.fits", 3.0, {"IMAGETYP": "Light Frame"}, "disagree"),
    ("x.fits", 30.0, {"IMAGETYP": "Light Frame", "SHUTTER": "closed"}, "disagree"),
    ("x.fits", 30.0, {"OBJECT": "M 31", "SHUTTER": "closed"}, "disagree"),
    ("x.fits", 30.0, {"OBJECT": "Dark Nebula B33"}, "too few"),
    ("x.fits", 30.0, {}, "too few"),
    ("x.fits", None, {"OBJECT": "M 31"}, "no exposure time"),
    ("x.fits", 30.0, {"SHUTTER": "open"}, "too few"),
    ("x.fits", 30.0, {"OBSTYPE": "OBJECT", "OBJECT": "Arcs"}, "lamp"),
    ("focus.fits", 30.0, {"IMAGETYP": "Light Frame"}, "lamp, focus"),
    ("Sun_gain100_offset_50_001.fits", 0.005, {}, "too few"),
    ("offset10.fits", 0.0, {}, "alone"),
    ("wfs_0150.fits", 0.0, {}, "the exposure time is zero alone"),
    ("ff_0150.fits", 1.0, {}, "too few"),
    ("darks_and_flats/x.fits", 1.0, {}, "too few"),
    ("x.fits", 5.0, {"IMAGETYP": "FLAT", "OBJECT": "dome flat off"}, "dome flat off"),
    ("x.fits", 5.0, {"IMAGETYP": "BIAS", "OBJECT": "flat"}, "disagree"),
    ("flat_01.fits", 0.0, {"IMAGETYP": "BIAS", "OBJECT": "flat"}, "disagree"),
    ("x.fits", 30.0, {"IMAGETYP": "EXT", "OBJECT": "M 31"}, "no word"),
    ("flat_M31.fits", 30.0, {"OBJECT": "M 31"}, "disagree"),
    ("x.fits", 30.0, {"OBSTYPE": "OBJECT", "OBJECT": "HgArNe"}, "lamp"),
    ("x.fits", 30.0, {"OBSTYPE": "OBJECT", "OBJECT": "Th-Ar"}, "lamp"),
    ("x.fits", 30.0, {"OBSTYPE": "OBJECT", "OBJECT": "mosfocus"}, "focus"),
    ("x.fits", 30.0, {"OBSTYPE": "OBJECT", "OBJECT": "M 31", "LAMPSTAF": "on"}, "LAMPSTAF"),
    ("x.fits", 30.0, {"OBSTYPE": "OBJECT", "OBJECT": "M 31", "LAMPS": "0,1,0"}, "LAMPS"),
    ("x.fits", 30.0, {"IMGTYPE": "cal", "OBJECT": "ZTF20abismub"}, "no word"),
    ("x.fits", 30.0, {"OBSTYPE": "SKY", "OBJECT": "SA95 42 r"}, "no word"),
    ("x.fits", 30.0, {"OBSTYPE": "OBJECT", "OBJECT": "sky V"}, "too few"),
    ("x.fits", 30.0, {"IMAGETYP": "object", "OBJECT": "Dark Nebula B33"}, "too few"),
    ("x.fits", 30.0, {"OBSTYPE": "Line", "TARGNAME": "DOME FLATS"}, "lamp"),
    ("science/halogen_001.fits", 30.0, {}, "too few"),
]


@pytest.mark.parametrize(("name", "exptime_s", "cards", "reason"), UNCLEAR)
def test_unclear_signs_are_unknown_with_what_settles_it(
    name: str, exptime_s: float | None, cards: dict[str, Value], reason: str
) -> None:
    found, why = told(name, header(cards), exptime_s)
    assert found == "unknown"
    assert reason in why
    assert f"--kind KIND='{name}'" in why


PROCESSED = [
    ("calibrated", {"CALSTAT": "D"}),
    ("calibrated", {"DARKCOR": "Jan 1 dark corrected"}),
    ("calibrated", {"RLEVEL": 91}),
    ("calibrated", {"REDUCED": "2015-09-14"}),
    ("master", {"NCOMBINE": 61}),
    ("master", {"IMAGETYP": "Master Dark"}),
    ("master", {"IMCMB001": "a.fits"}),
    ("product", {"DASKRED": "abc"}),
    ("calibrated", {"L1STATFL": 1}),
    ("calibrated", {"CALSTAT": "BDF"}),
    ("master", {"COMBINED": True}),
    (None, {"BIASCORR": "PERFORM"}),
    (None, {"FLATCOR": "-"}),
    (None, {"DARKCOR": "not applied"}),
    (None, {"L1STATZE": -1}),
    (None, {"NCOMBINE": 1}),
    (None, {"CALSTAT": ""}),
    (None, {"DARKCOR": "F"}),
    (None, {"DARKCOR": False}),
    (None, {"RLEVEL": 0}),
    (None, {"PROCTYPE": "RAW"}),
]


@pytest.mark.parametrize(("meaning", "cards"), PROCESSED)
def test_frames_that_are_no_raw_frames(meaning: str | None, cards: dict[str, Value]) -> None:
    found = processed_sign("a.fits", [header(cards)], CAMERA)
    assert (found and found[0]) == meaning


@pytest.mark.parametrize("text", ["master 10-second dark", "61 frames median combined"])
def test_the_notebooks_masters_are_known_by_their_comments(text: str) -> None:
    found = processed_sign("x.fits", [Header((f"COMMENT {text}".ljust(80),))], CAMERA)
    assert found is not None
    assert found[0] == "master"
    assert processed_sign("MasterFlat.fits", [Header(())], CAMERA) is not None


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("masters/x.fits", "master"),
        ("mflat_B.fits", "master"),
        ("avg_bias.fits", "master"),
        ("NGC1_stack.fits", "master"),
        ("pp_light_001.fits", "calibrated"),
        ("reduced/x.fits", "calibrated"),
        ("Master thesis/dark.fits", None),
        ("reduced_gain/x.fits", None),
        ("dark_10s-01.fits", None),
        ("webmaster2.fits", None),
    ],
)
def test_names_of_frames_that_are_no_raw_frames(name: str, meaning: str | None) -> None:
    found = processed_sign(name, [Header(())], CAMERA)
    assert (found and found[0]) == meaning


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("Dark Subtraction (Dark 3, 300 s)", "calibrated"),
        ("imcombine a,b,c", "master"),
        ("No dark subtracted", None),
        ("bias subtraction: OFF", None),
        ("bias subtraction will be done later", None),
    ],
)
def test_what_history_tells(text: str, meaning: str | None) -> None:
    found = processed_sign("x.fits", [Header((f"HISTORY {text}".ljust(80),))], CAMERA)
    assert (found and found[0]) == meaning


def test_words() -> None:
    assert "flat" in read_words("DomeFlat", CAMERA).groups
    assert "auxiliary" in read_words("NeonCalibration", CAMERA).groups
    assert read_words("AR Lac", CAMERA).groups == frozenset()


@pytest.mark.parametrize(
    ("cards", "seconds"),
    [
        ({"EXPTIME": 10}, 10.0),
        ({"EXPTIME": 10.5}, 10.5),
        ({"EXPTIME": "40      "}, 40.0),
        ({"EXPTIME": "2.5 s"}, 2.5),
        ({"EXPOSURE": 7}, 7.0),
        ({"EXP_TIME": "1.5E1"}, 15.0),
        ({"EXPTIME": "", "EXPOSURE": 3}, 3.0),
        ({"EXPTIME": "500 ms"}, 0.5),
        ({"EXPTIME": "UNKNOWN", "EXPOSURE": 3}, 3.0),
        ({"EXPTIME": -1.0, "EXPOSURE": 3}, 3.0),
        ({}, None),
    ],
)
def test_exposure_times_as_cameras_write_them(
    cards: dict[str, Value], seconds: float | None
) -> None:
    assert facts_of("x", [header(cards)], CAMERA).exptime_s == seconds


def test_facts_that_matter() -> None:
    facts = facts_of(
        "x",
        [
            header({"GAIN": 0.0, "CCDSUM": "2 2", "CAMTEMP": "11 C", "DATE-OBS": "2020-01-02"}),
            header({"GAIN": 6.4, "FILTER1": "None", "FILTER2": "J", "TIME-OBS": "01:02:03"}),
        ],
        CAMERA,
    )
    assert facts.gain_e_per_adu == 6.4
    assert facts.binning == (2, 2)
    assert facts.ccd_temp_c == 11
    assert facts.filter == "J"
    assert facts.time_obs == "2020-01-02T01:02:03"
    assert parse_number("long") is None


def test_a_comment_may_tell_that_the_exposure_is_in_milliseconds() -> None:
    card = format_card("EXPOSURE", 3000, "Total exposure time in milliseconds")
    assert facts_of("x", [Header((card,))], CAMERA).exptime_s == 3.0


def test_temperatures_in_kelvin() -> None:
    assert facts_of("x", [header({"CCDATEMP": 166.0})], CAMERA).ccd_temp_c == pytest.approx(-107.15)


def test_a_lamp_that_is_on_in_frames_without_light_tells_nothing(write_fits: WriteFits) -> None:
    lamp = {"LAMPSTAH": "on", "LAMPSTAG": "off"}
    write_fits("n/b.fits", PIXELS, {"OBSTYPE": "DARK", "OBJECT": "bias", "EXPTIME": 0.0, **lamp})
    arc = {"OBSTYPE": "OBJECT", "OBJECT": "Zw 2", "EXPTIME": 9.0, **lamp, "LAMPSTAG": "on"}
    write_fits("n/arc.fits", PIXELS, arc)
    cards = {"OBSTYPE": "OBJECT", "OBJECT": "Zw 229", "EXPTIME": 1200.0, **lamp}
    folder = write_fits("n/s.fits", PIXELS, cards).parent
    kinds = {frame.name: frame.kind for frame in open_night(folder).frames}
    assert kinds == {"b.fits": "bias", "s.fits": "science", "arc.fits": "unknown"}
    (folder / "b.fits").unlink()
    assert {frame.kind for frame in open_night(folder).frames} == {"unknown"}


@pytest.mark.parametrize("folder", ["Darks", "dark frames", "FlatDarks"])
def test_a_folder_gives_the_same_kinds_however_it_is_named(
    write_fits: WriteFits, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(2):
        path = write_fits(f"night/{folder}/x{n}.fits", PIXELS + n, {"EXPTIME": 5.0})
    monkeypatch.chdir(path.parent)
    sources: list[Path | str] = [path.parents[1], path.parent, ".", "*.fits", path, "../.."]
    for source in sources:
        assert {frame.kind for frame in open_night(source).frames} == {"dark"}, source


def test_a_folder_of_the_night_whose_words_are_not_all_known_tells_nothing(
    write_fits: WriteFits,
) -> None:
    path = write_fits("dark sky site/x.fits", PIXELS, {"EXPTIME": 5.0})
    assert open_night(path.parent).frames[0].kind == "unknown"


def test_science_that_is_passed_over_is_a_failure(write_fits: WriteFits) -> None:
    cards = {"IMAGETYP": "Light Frame", "EXPTIME": 5.0, "OBJECT": "focus"}
    path = write_fits("n/x.fits", PIXELS, cards)
    write_fits("n/y.fits", PIXELS + 1, {**cards, "IMAGETYP": "object"})
    failed = {entry.name: entry.failed for entry in open_night(path.parent).left_out}
    assert failed == {"x.fits": True, "y.fits": False}


def test_maxims_history_tells_that_a_frame_is_calibrated(write_fits: WriteFits) -> None:
    cards = {"IMAGETYP": "Light Frame", "EXPTIME": 5.0, "HISTORY": "Process Calibrate"}
    path = write_fits("n/x.fits", PIXELS, cards)
    assert "is already calibrated" in open_night(path).left_out[0].reason


@pytest.mark.parametrize("name", ["Flat galaxy UGC 7321", "Twilight Zone", "flat M 31"])
def test_a_flat_that_may_be_a_thing_in_the_sky_is_a_question(name: str) -> None:
    headers = [Header((format_card("IMAGETYP", "object"), format_card("OBJECT", name)))]
    camera = read_camera()
    kind, _ = kind_of("a-1.fits", signs_of("a-1.fits", headers, 60.0, camera))
    assert kind == "unknown"
    headers = [Header((format_card("IMAGETYP", "flat"), format_card("OBJECT", name)))]
    assert kind_of("a-1.fits", signs_of("a-1.fits", headers, 60.0, camera))[0] == "flat"
