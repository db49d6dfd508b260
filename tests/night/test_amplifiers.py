"""Amplifiers of which cards tell that end in A, B, C, D: several in each image of a mosaic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import Options, open_night, reduce_night
from daskred.night.open import camera_of

RANDOM = np.random.default_rng(3)
# In each detector B lies left of A, behind a prescan; their overscans are the outer columns.
CARDS = {
    "DATASECA": "[27:46,5:34]",
    "BIASSECA": "[47:52,5:34]",
    "DATASECB": "[7:26,5:34]",
    "BIASSECB": "[1:6,5:34]",
    "GAINA": 4.0,
    "GAINB": 3.0,
    "RDNOISEA": 6.0,
    "RDNOISEB": 5.0,
    "SATURATA": 30000.0,
    "SATURATB": 20000.0,
}
NAMES = ("N1", "S1")


def detector(signal: float) -> Any:
    """Return 34 rows of 52 columns: a bias that differs between amplifiers and from row to row."""
    pixels = RANDOM.normal(0, 2, (34, 52)) + 3 * np.arange(34)[:, np.newaxis]
    pixels[:, :26] += 1200
    pixels[:, 26:] += 2000
    pixels[:, 6:26] += signal
    pixels[:, 26:46] += signal * 0.75
    return pixels.round().astype("u2")


def write(path: Path, kind: str, seconds: float, signal: float, cards: dict[str, Any]) -> None:
    primary = fits.Header({"OBSTYPE": kind, "EXPTIME": seconds, "FILTER": "r", "INSTRUME": "X"})
    hdus = [fits.PrimaryHDU(header=primary)]
    hdus += [fits.ImageHDU(detector(signal), fits.Header(cards), name=name) for name in NAMES]
    fits.HDUList(hdus).writeto(path)


def make(night: Path, cards: dict[str, Any]) -> Path:
    night.mkdir()
    for n in range(3):
        write(night / f"b{n}.fits", "zero", 0.0, 0.0, cards)
        write(night / f"f{n}.fits", "dome flat", 5.0, 9000.0, cards)
    write(night / "s.fits", "object", 60.0, 600.0, cards)
    return night


def test_amplifiers_of_one_image_have_their_own_overscans_and_lie_side_by_side(
    tmp_path: Path,
) -> None:
    night = open_night(make(tmp_path / "night", CARDS))
    science = next(frame for frame in night.frames if frame.kind == "science")
    told = [(a.name, a.gain_e_per_adu, a.saturation_adu) for a in science.readout.amplifiers]
    assert told[:2] == [("N1,1 A", 4.0, 30000.0), ("N1,1 B", 3.0, 20000.0)]
    summary = reduce_night(night, tmp_path / "out", Options(dtype="float64"))
    assert not summary.failed
    with fits.open(tmp_path / "out/sc.fits") as made, fits.open(tmp_path / "night/s.fits") as raw:
        masters = tmp_path / "out/masters"
        for number, name in enumerate(NAMES, start=1):
            pixels = raw[number].data.astype("f8")[4:34]
            left = pixels[:, 6:26] - np.median(pixels[:, :6], axis=1, keepdims=True)
            right = pixels[:, 26:46] - np.median(pixels[:, 46:], axis=1, keepdims=True)
            bias = fits.getdata(masters / "MasterBias.fits", number)
            flat = fits.getdata(masters / "MasterFlat_r.fits", number)
            expected = (np.hstack([left, right]) - bias) / flat
            np.testing.assert_allclose(made[number].data, expected, rtol=1e-12)
            assert made[number].name == name
            assert (
                abs(np.median(made[number].data[:, 20:]) - np.median(made[number].data[:, :20])) < 9
            )
            gone = {"DATASECA", "BIASSECB", "SATURATA"} & set(made[number].header)
            assert not gone


def test_gaps_between_amplifiers_are_closed(tmp_path: Path) -> None:
    # Overscans in the middle, as of four amplifiers that are read towards the corners.
    cards = {
        **{"DATASECA": "[1:20,1:15]", "BIASSECA": "[21:26,1:15]"},
        **{"DATASECB": "[33:52,1:15]", "BIASSECB": "[27:32,1:15]"},
        **{"DATASECC": "[1:20,20:34]", "BIASSECC": "[21:26,20:34]"},
        **{"DATASECD": "[33:52,20:34]", "BIASSECD": "[27:32,20:34]"},
    }
    night = open_night(make(tmp_path / "night", cards))
    readout = night.frames[0].readout
    assert readout.shapes == ((30, 40), (30, 40))
    assert [str(a.place) for a in readout.amplifiers[:4]] == [
        *("[1:20,1:15]", "[21:40,1:15]", "[1:20,16:30]", "[21:40,16:30]")
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [(Options(trim=False), "not with --no-trim"), (Options(assemble=True), "--assemble cannot")],
)
def test_what_cannot_be_done_with_them_is_said(tmp_path: Path, options: Options, said: str) -> None:
    folder = make(tmp_path / "night", {**CARDS, "DETSEC": "[1:40,1:30]"})
    night = open_night(folder, camera=camera_of(options, [folder]))
    assert not night.frames
    assert all(said in entry.reason for entry in night.left_out)


ODD: dict[str, tuple[dict[str, Any], str]] = {
    "that overlap": ({"DATASECA": "[25:46,5:34]"}, "do not lie side by side"),
    "of unlike heights": ({"DATASECA": "[27:46,5:33]"}, "do not lie side by side"),
    "without an overscan": ({"BIASSECA": None}, "and of others their overscans"),
    "without pixels": ({"DATASECB": None}, "and of others their overscans"),
    "outside": ({"DATASECA": "[27:66,5:34]"}, "lies outside its image"),
}


@pytest.mark.parametrize("way", ODD)
def test_amplifiers_that_contradict_each_other_are_refused(tmp_path: Path, way: str) -> None:
    change, said = ODD[way]
    cards = {card: value for card, value in (CARDS | change).items() if value is not None}
    night = open_night(make(tmp_path / "night", cards))
    assert not night.frames
    assert all(said in entry.reason for entry in night.left_out)


@pytest.mark.parametrize("none", ["[0:0,0:0]", "none", ""])
def test_amplifiers_that_are_not_used_are_passed_over(tmp_path: Path, none: str) -> None:
    cards = {**CARDS, "DATASECC": none, "BIASSECC": none, "DATASECD": none}
    frame = open_night(make(tmp_path / "night", cards)).frames[0]
    assert len(frame.readout.amplifiers) == 4
