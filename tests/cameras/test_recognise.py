"""Cameras and capture programs are recognised; each by a header as it writes it.

There are many cases, each short, which makes the file longer than others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import Camera, Options, make_plan, open_night, read_camera, reduce_night
from daskred.cameras.shipped import shipped_cameras

# A camera, its kind of frame, and the header.
Header = dict[str, Any]
HEADERS: list[tuple[str, str, Header]] = [
    ("kast-blue", "bias", {"VERSION": "kastb", "OBSTYPE": "DARK", "OBJECT": "Bias", "EXPTIME": 0}),
    (
        "kast-red",
        "science",
        {"VERSION": "kastr", "OBSTYPE": "OBJECT", "OBJECT": "Feige 66", "EXPTIME": 60, "GAIN": 3},
    ),
    (
        "lris",
        "flat",
        {"INSTRUME": "LRISBLUE", "KOAIMTYP": "flatlamp", "ELAPTIME": 5, "GRISNAME": "400/3400"},
    ),
    (
        "alfosc",
        "science",
        {
            **{"INSTRUME": "ALFOSC_FASU", "IMAGETYP": "OBJECT", "OBJECT": "SN2020abc"},
            **{"EXPTIME": 120, "ALFLTNM": "Open", "FAFLTNM": "V_Bes 530_80", "FBFLTNM": "Open"},
            **{"DETXBIN": 1, "DETYBIN": 1, "ALGRNM": "Open (Lyot)", "GAIN1": 0.16},
        },
    ),
    (
        "efosc2",
        "flat",
        {
            **{"INSTRUME": "EFOSC", "HIERARCH ESO DPR TYPE": "FLAT,SKY", "EXPTIME": 2.5},
            **{"HIERARCH ESO DPR CATG": "CALIB", "HIERARCH ESO INS FILT1 NAME": "V#641"},
        },
    ),
    (
        "fors2",
        "bias",
        {"INSTRUME": "FORS2", "HIERARCH ESO DPR TYPE": "BIAS", "EXPTIME": 0.0},
    ),
    (
        "isis",
        "science",
        {
            **{"INSTRUME": "ISIS", "ISIARM": "Blue arm", "OBSTYPE": "TARGET", "OBJECT": "WD 1"},
            **{"EXPTIME": 900, "ISIGRAT": "R600B", "ISISLITW": 1.0, "CENWAVE": 4500.0},
        },
    ),
    (
        "gmos",
        "science",
        {
            **{"INSTRUME": "GMOS-S", "OBSTYPE": "OBJECT", "OBJECT": "NGC 1", "EXPTIME": 300},
            **{"FILTER1": "open1-6", "FILTER2": "r_G0326", "GRATING": "MIRROR", "CCDSUM": "2 2"},
        },
    ),
    (
        "decam",
        "bias",
        {"INSTRUME": "DECam", "OBSTYPE": "zero", "EXPTIME": 0.0, "FILTER": "r DECam SDSS c0002"},
    ),
    (
        "lco-sinistro",
        "flat",
        {"ORIGIN": "LCOGT", "INSTRUME": "fa05", "OBSTYPE": "SKYFLAT", "EXPTIME": 3.0},
    ),
    (
        "muscat",
        "science",
        {
            **{"ORIGIN": "LCOGT", "INSTRUME": "ep02", "OBSTYPE": "EXPOSE", "OBJECT": "TOI-700"},
            **{"EXPTIME": 30.0, "FILTER": "gp", "CCDATEMP": -70.0, "CCDSTEMP": -70.0},
        },
    ),
    ("proem", "dark", {"INSTRUME": "ProEM:1024B", "IMAGETYP": "dark", "EXPTIME": 3.0}),
    (
        "andor",
        "dark",
        {
            **{"HEAD": "DU8201_BV", "IMAGETYP": "dark", "EXPOSURE": 0.5, "TEMP": -60.0},
            **{"HBIN": 1, "VBIN": 1, "GAIN": 300.0},
        },
    ),
    ("sta", "dark", {"DETECTOR": "STA1600LN", "IMAGETYP": "dark", "EXPTIME": 60.0}),
    (
        "fli",
        "science",
        {"INSTRUME": "FLI ProLine PL16803", "IMAGETYP": "Light Frame", "EXPTIME": 60.0},
    ),
    ("apogee", "bias", {"INSTRUME": "Apogee Alta U9000", "IMAGETYP": "Bias Frame", "EXPTIME": 0.0}),
    ("sbig", "dark", {"INSTRUME": "SBIG STL-11000 3 CCD", "IMAGETYP": "Dark Frame", "EXPTIME": 9}),
    ("sbig-st7", "dark", {"INSTRUME": "SBIG ST-7", "IMAGETYP": "Dark Frame", "EXPTIME": 60}),
    ("sbig-st8", "dark", {"INSTRUME": "SBIG ST-8 Dual CCD", "IMAGETYP": "DARK", "EXPTIME": 60}),
    (
        "qhy",
        "flat",
        {"INSTRUME": "QHY600M", "IMAGETYP": "FLAT", "EXPTIME": 1.2, "GAIN": 26, "OFFSET": 15},
    ),
    (
        "zwo",
        "dark",
        {
            **{"INSTRUME": "ZWO ASI294MM Pro", "IMAGETYP": "DARKFLAT", "EXPTIME": 1.5},
            **{"GAIN": 120, "OFFSET": 30, "SET-TEMP": -10.0, "CCD-TEMP": -9.9},
        },
    ),
    ("player-one", "dark", {"INSTRUME": "Poseidon-C PRO", "IMAGETYP": "DARK", "EXPTIME": 60}),
    ("atik", "science", {"INSTRUME": "Atik 460EX", "IMAGETYP": "LIGHT", "EXPTIME": 60}),
    (
        "moravian",
        "science",
        {"INSTRUME": "Moravian Instruments, G2-8300", "IMAGETYP": "LIGHT", "EXPTIME": 60},
    ),
    ("starlight-xpress", "bias", {"INSTRUME": "SXVR-H18", "IMAGETYP": "Bias", "EXPTIME": 0.001}),
    (
        "dslr",
        "dark",
        {"INSTRUME": "Canon EOS 600D", "IMAGETYP": "DARK", "EXPTIME": 30, "ISOSPEED": 800},
    ),
    ("saao-ste3", "dark", {"INSTRUME": "STE3 CCD", "IMAGETYP": "dark", "EXPTIME": 30}),
    ("tircam2", "bias", {"INSTRUME": "TIRCAM2", "OBJECT": "bias", "EXPTIME": 0.0}),
    ("panoptes", "science", {"ORIGIN": "Project PANOPTES", "FIELD": "KIC 8462852", "EXPTIME": 120}),
    (
        "maxim",
        "flat",
        {"SWCREATE": "MaxIm DL Version 6.20", "IMAGETYP": "Flat Field", "EXPTIME": 2},
    ),
    (
        "nina",
        "dark",
        {"SWCREATE": "N.I.N.A. 3.1", "IMAGETYP": "DARK", "EXPOSURE": 300, "GAIN": 100},
    ),
    (
        "sharpcap",
        "dark",
        {
            "SWCREATE": "SharpCap v4.1",
            "IMAGETYP": "Dark",
            "EXPTIME": 2,
            "BLKLEVEL": 10,
            "GAIN": 200,
        },
    ),
    (
        "asiair",
        "science",
        {"CREATOR": "ASIAIR Plus", "IMAGETYP": "Light", "EXPTIME": 180, "GAIN": 100},
    ),
    (
        "ekos",
        "flat",
        {"COMMENT": "Generated by INDI", "FRAME": "Flat", "EXPTIME": 0.5, "CCD-TEMP": -10.0},
    ),
    (
        "sgp",
        "science",
        {"CREATOR": "Sequence Generator Pro", "IMAGETYP": "LIGHT", "EXPTIME": 9},
    ),
    ("apt", "dark", {"SWCREATE": "Astro Photography Tool - APT", "IMAGETYP": "Dark", "EXPTIME": 9}),
    ("prism", "dark", {"SWCREATE": "PRISM 10", "IMAGETYP": "dark", "EXPTIME": 9, "CVF": 1.2}),
    ("seestar", "science", {"CREATOR": "ZWO Seestar S50", "IMAGETYP": "Light", "EXPTIME": 10}),
    ("dwarf", "science", {"ORIGIN": "DWARFLAB", "IMAGETYP": "LIGHT", "EXPTIME": 15, "GAIN": 60}),
    ("lco", "bias", {"ORIGIN": "LCOGT", "INSTRUME": "kb26", "OBSTYPE": "BIAS", "EXPTIME": 0.0}),
    ("theskyx", "dark", {"SWCREATE": "TheSkyX Version 10.5", "PICTTYPE": 3, "EXPTIME": 30}),
    ("voyager", "bias", {"SWCREATE": "Voyager 2.3", "IMAGETYP": "BIAS", "EXPTIME": 0.0}),
    ("astroimagej", "science", {"SWCREATE": "AstroImageJ", "IMAGETYP": "Light", "EXPTIME": 30}),
]
Write = Callable[[Header], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(cards: Header, name: str = "x.fits") -> Path:
        pixels = np.random.default_rng(1).integers(900, 1000, (6, 8)).astype("u2")
        header = fits.Header()
        header.update(cards)
        fits.PrimaryHDU(pixels, header).writeto(tmp_path / name)
        return tmp_path

    return _write


def facts_of(camera: str) -> Camera:
    """Return the rules of a camera but for its detector, which these small frames are not of."""
    return replace(read_camera(camera), amplifiers=(), detector=read_camera().detector)


@pytest.mark.parametrize(("camera", "kind", "cards"), HEADERS, ids=[name for name, *_ in HEADERS])
def test_a_header_tells_the_camera_and_what_it_means(
    write: Write, camera: str, kind: str, cards: Header
) -> None:
    night = open_night(write(cards))
    assert night.camera.source == camera
    card = night.camera.reason.split(" = ")[0]
    assert card in cards or card in ("COMMENT", "HISTORY")
    (frame,) = open_night(night.sources[0], camera=facts_of(camera)).frames
    assert frame.kind == kind, frame.reason
    assert frame.facts.exptime_s is not None
    if "EGAIN" not in cards and cards.get("GAIN", 0) > 2:
        assert frame.facts.gain_e_per_adu is None


def test_a_temperature_that_nobody_knows_is_none(write: Write) -> None:
    cards = {"HEAD": "DU8201_BV", "EXPOSURE": 1.0, "TEMP": -999.0, "UNSTTEMP": -69.5}
    own = {**cards, "FRAME": "2021-05-05T02:00:00", "OBJECT": "WASP 12"}
    (frame,) = open_night(write(own)).frames
    assert frame.facts.ccd_temp_c == -69.5
    assert frame.kind == "science"


def test_every_camera_has_a_header() -> None:
    assert {name for name, *_ in HEADERS} == set(shipped_cameras())
    assert len(HEADERS) >= 25


def test_filters_of_several_wheels_are_read_without_their_holes(write: Write) -> None:
    header = next(cards for name, _, cards in HEADERS if name == "alfosc")
    (frame,) = open_night(write(header)).frames
    assert frame.facts.filter == "V_Bes 530_80"


KAST = {
    "VERSION": "kastr",
    "OBSTYPE": "OBJECT",
    "EXPTIME": 20,
    "LAMPSTA5": "off",
    "LAMPSTAG": "off",
}
LRIS = {"INSTRUME": "LRISBLUE", "ELAPTIME": 5}


@pytest.mark.parametrize(
    ("cards", "kind", "reason"),
    [
        ({**KAST, "LAMPSTA5": "on"}, "flat", "LAMPSTA5 = 'on'"),
        ({**KAST, "LAMPSTAG": "on"}, "unknown", "a lamp, focus, pointing or test exposure"),
        ({**KAST, "LAMPSTA5": "on", "OBJECT": "Feige 66"}, "unknown", "the signs disagree"),
        ({**KAST, "LAMPSTA5": "on", "LAMPSTAG": "on"}, "unknown", "the signs disagree"),
        (
            {**KAST, "LAMPSTA5": "on", "OBSTYPE": "DARK", "OBJECT": "Bias", "EXPTIME": 0},
            "bias",
            "OBJECT",
        ),
        ({**LRIS, "LAMPS": "0,0,0,0,0,1"}, "flat", "LAMPS = '0,0,0,0,0,1'"),
        ({**LRIS, "LAMPS": "1,0,0,1,0,0"}, "unknown", "a lamp, focus, pointing or test exposure"),
        ({**LRIS, "LAMPS": "0,0,0,0,0,0", "FLAMP1": "on"}, "flat", "FLAMP1 = 'on'"),
        ({**LRIS, "LAMPS": "0,0,0,0,0,0", "FLAMP1": "off"}, "unknown", "too few signs"),
    ],
)
def test_lamps_tell_flats_from_arcs_where_the_camera_says_which_is_which(
    write: Write, cards: Header, kind: str, reason: str
) -> None:
    (frame,) = open_night(write(cards)).frames
    assert (frame.kind, reason in frame.reason) == (kind, True), frame.reason


def test_two_cameras_in_one_night_are_told(write: Any) -> None:
    write({"INSTRUME": "QHY600M", "IMAGETYP": "DARK", "EXPTIME": 1}, "a.fits")
    folder = write({"INSTRUME": "Atik 460EX", "IMAGETYP": "DARK", "EXPTIME": 1}, "b.fits")
    night = open_night(folder)
    assert night.camera.source is None
    assert make_plan(night).camera == "no rules of a camera: frames of several cameras: atik, qhy"


def test_recognition_is_switched_off(write: Write) -> None:
    folder = write({"INSTRUME": "QHY600M", "IMAGETYP": "DARK", "EXPTIME": 1})
    assert open_night(folder, camera=read_camera("none")).camera.source is None
    assert "recognised by INSTRUME = 'QHY600M'" in make_plan(open_night(folder)).camera


def test_where_there_is_no_dark_the_bias_alone_is_subtracted(
    make_night: Any, tmp_path: Path
) -> None:
    for n in range(3):
        make_night.add(f"b{n}.fits", "Bias", 100, 0.0)
        make_night.add(f"f{n}.fits", "Flat", 9000, 2.0)
    make_night.add("s.fits", "Light", 500, 10.0)
    summary = reduce_night(open_night(make_night.folder), tmp_path / "out")
    assert not summary.failed
    assert summary.plan.science[0].correction.bias == "MasterBias"
    assert any("MasterBias alone is subtracted, no dark" in text for text in summary.plan.warnings)
    header = fits.getheader(tmp_path / "out" / "sc.fits")
    assert header["ZEROCOR"] == "MasterBias.fits"
    assert "no dark: the bias alone was subtracted" in list(header["COMMENT"])
    # With darks of another time it is only done on request, unless the camera needs none.
    make_night.add("d.fits", "Dark", 110, 5.0)
    make_night.add("d2.fits", "Dark", 110, 5.0)
    assert make_plan(open_night(make_night.folder)).science == ()
    rules = tmp_path / "cooled.toml"
    rules.write_text("[detector]\nneeds_darks = false\n")
    cooled = make_plan(open_night(make_night.folder, camera=read_camera(rules)), Options())
    assert cooled.science[0].correction.bias == "MasterBias"
