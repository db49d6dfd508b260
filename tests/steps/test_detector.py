"""Sections, amplifiers, overscan, linearity, crosstalk: against ccdproc, numpy and known truth.

There are many cases, each short, which makes the file longer than others.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import ccdproc
import numpy as np
import pytest
from astropy.io import fits
from astropy.modeling.models import Chebyshev1D, Legendre1D
from astropy.nddata import CCDData
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from daskred import FrameError, Options, open_night, read_camera, reduce_night
from daskred.kernels.overscan import fit_levels, row_levels
from daskred.model.errors import RequestError
from daskred.model.readout import (
    Amplifier,
    Overscan,
    Readout,
    Section,
    parse_section,
    whole,
)
from daskred.night.open import Night
from tests.conftest import NightMaker, WriteFits
from tests.frames import prepare

EXTENT = st.tuples(st.integers(0, 50), st.integers(1, 50)).map(lambda t: (t[0], t[0] + t[1]))


@given(EXTENT, EXTENT, st.booleans(), st.booleans())
def test_sections_are_written_as_they_are_read(
    rows: tuple[int, int], columns: tuple[int, int], up: bool, across: bool
) -> None:
    # A range of one pixel runs neither way.
    flips = (up and rows[1] - rows[0] > 1, across and columns[1] - columns[0] > 1)
    section = Section(rows, columns, flips)
    assert parse_section(str(section)) == section


@pytest.mark.parametrize("text", ["UNKNOWN", "", "[0:3,1:2]", "[1:2]", "[a:b,1:2]", "1:2,3:4"])
def test_what_is_no_section_is_none(text: str) -> None:
    assert parse_section(text) is None


def raw_frame(shape: tuple[int, int] = (40, 60)) -> Any:
    rng = np.random.default_rng(2)
    y, x = np.mgrid[: shape[0], : shape[1]]
    level = 1000 + 0.3 * y + 4 * np.sin(y / 9)
    return (level + 50 * (x < 48) + rng.normal(0, 3, shape)).round().astype("u2")


def one_amplifier(overscan: Overscan | None, **more: Any) -> Readout:
    amplifier = Amplifier(
        "A", 0, Section((0, 40), (0, 48)), (Section((0, 40), (50, 60)),), 0, whole((40, 48)), **more
    )
    return Readout((amplifier,), ("",), ((40, 48),), overscan)


@pytest.mark.parametrize(
    ("how", "theirs"),
    [
        (Overscan("median"), {"median": True}),
        (Overscan("mean"), {"median": False}),
        (Overscan("median", "legendre", 3, 0.0), {"median": True, "model": Legendre1D(3)}),
        (Overscan("mean", "chebyshev", 2, 0.0), {"median": False, "model": Chebyshev1D(2)}),
    ],
)
def test_overscan_and_trim_are_those_of_ccdproc(how: Overscan, theirs: dict[str, Any]) -> None:
    raw = raw_frame()
    ccd = CCDData(raw.astype("f8"), unit="adu")
    ccd = ccdproc.subtract_overscan(ccd, fits_section="[51:60,1:40]", overscan_axis=1, **theirs)
    expected = ccdproc.trim_image(ccd, fits_section="[1:48,1:40]").data
    (found,), _ = prepare([raw], one_amplifier(how), "f8")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def levels_of(strip: NDArray[Any], overscan: Overscan) -> NDArray[np.float64]:
    levels = row_levels(strip, overscan.statistic)
    return levels if overscan.fit == "none" else fit_levels(levels, overscan).at(0, len(levels))


@pytest.mark.parametrize("fit", ["constant", "legendre", "chebyshev", "spline"])
def test_fits_pass_over_levels_that_stand_out(fit: str) -> None:
    rng = np.random.default_rng(1)
    truth = np.full(300, 1000.0) if fit == "constant" else 1000 + 3 * np.linspace(-1, 1, 300)
    strip = truth[:, np.newaxis] + rng.normal(0, 2, (300, 20))
    strip[77] += 400  # a cosmic ray along a row
    found = levels_of(strip, Overscan("mean", fit, 1))  # type: ignore[arg-type]
    assert np.abs(found - truth).max() < 1.0


def test_a_spline_follows_a_drift_and_not_the_noise() -> None:
    rng = np.random.default_rng(3)
    truth = 1000 + 20 * np.sin(np.linspace(0, 6, 500))
    strip = truth[:, np.newaxis] + rng.normal(0, 4, (500, 16))
    found = levels_of(strip, Overscan("mean", "spline"))
    assert np.std(found - truth) < 0.6 * 4 / np.sqrt(16)


def test_a_clipped_mean_passes_over_hot_columns() -> None:
    rng = np.random.default_rng(4)
    strip = rng.normal(500, 3, (50, 40))
    strip[:, 7] = 60000
    found = levels_of(strip, Overscan("clipped-mean"))
    assert np.abs(found - np.delete(strip, 7, axis=1).mean(axis=1)).max() < 1.0


def test_overscan_above_the_pixels_and_prescan_on_the_other_side() -> None:
    raw = raw_frame((40, 60))
    above = Amplifier(
        "A", 0, Section((0, 30), (0, 60)), (Section((30, 40), (0, 60)),), 0, whole((30, 60))
    )
    (found,), _ = prepare([raw], Readout((above,), ("",), ((30, 60),)), "f8")
    np.testing.assert_allclose(found, raw[:30] - np.median(raw[30:], axis=0))
    strips = (Section((0, 40), (0, 5)), Section((0, 40), (50, 60)))
    both = Amplifier("A", 0, Section((0, 40), (5, 50)), strips, 0, whole((40, 45)))
    (found,), _ = prepare([raw], Readout((both,), ("",), ((40, 45),)), "f8")
    levels = np.median(np.concatenate([raw[:, :5], raw[:, 50:]], axis=1), axis=1)
    np.testing.assert_allclose(found, raw[:, 5:50] - levels[:, np.newaxis])


@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_overscans_beside_and_above_at_once(statistic: Literal["median", "mean"]) -> None:
    """Rows first, of the strip above too; then what is left of each column."""
    raw = raw_frame((40, 60))
    strips = (Section((0, 30), (50, 60)), Section((30, 40), (0, 50)))
    amplifier = Amplifier("A", 0, Section((0, 30), (0, 50)), strips, 0, whole((30, 50)))
    readout = Readout((amplifier,), ("",), ((30, 50),), Overscan(statistic))
    (found,), _ = prepare([raw], readout, "f8")
    of = getattr(np, statistic)
    less = raw.astype("f8") - of(raw[:, 50:], axis=1)[:, np.newaxis]
    np.testing.assert_allclose(found, (less - of(less[30:], axis=0))[:30, :50])


def test_integers_do_not_wrap_and_saturation_is_told_from_raw_pixels() -> None:
    raw = np.array([[10, 65535, 40000, 50, 52, 51]], "u2")
    amplifier = Amplifier(
        "A",
        0,
        Section((0, 1), (0, 3)),
        (Section((0, 1), (3, 6)),),
        0,
        whole((1, 3)),
        saturation_adu=40000,
    )
    (found,), (full,) = prepare([raw], Readout((amplifier,), ("",), ((1, 3),)))
    np.testing.assert_array_equal(found, [[-41, 65484, 39949]])
    np.testing.assert_array_equal(full, [[False, True, True]])


def test_saturated_columns_bleed_as_far_as_they_are_told_to() -> None:
    raw = np.zeros((9, 3), "u2")
    raw[4, 1] = 60000
    amplifier = Amplifier("A", 0, whole((9, 3)), (), 0, whole((9, 3)), saturation_adu=50000)
    how = Readout((amplifier,), ("",), ((9, 3),), None, bleed_rows=2)
    _, (full,) = prepare([raw], how)
    assert np.flatnonzero(full[:, 1]).tolist() == [2, 3, 4, 5, 6]
    assert not full[:, [0, 2]].any()


def test_a_nonlinear_amplifier_becomes_linear() -> None:
    linear = np.linspace(0, 40000, 41).reshape(1, -1)
    k = 2e-6
    measured = (np.sqrt(1 + 4 * k * linear) - 1) / (2 * k)
    amplifier = Amplifier("A", 0, whole((1, 41)), (), 0, whole((1, 41)), linearity=(1.0, k))
    (found,), _ = prepare([measured], Readout((amplifier,), ("",), ((1, 41),)), "f8")
    np.testing.assert_allclose(found, linear, atol=1e-7)
    table = tuple(zip(measured[0].tolist(), linear[0].tolist(), strict=True))
    by_table = replace(amplifier, linearity=(), linearity_table=table)
    (found,), _ = prepare([measured], Readout((by_table,), ("",), ((1, 41),)), "f8")
    np.testing.assert_allclose(found, linear, atol=1e-7)
    short = replace(by_table, linearity_table=table[:20])
    with pytest.raises(FrameError, match=r"the linearity table of amplifier 'A' reaches 18\d\d\d"):
        prepare([measured], Readout((short,), ("",), ((1, 41),)), "f8")


def test_crosstalk_is_taken_back_pixel_by_pixel_as_they_are_read() -> None:
    rng = np.random.default_rng(5)
    left, right = rng.uniform(0, 1000, (2, 6, 8))
    part = 0.001
    # The right half is read from its right end.
    raw = np.concatenate([left + part * right[:, ::-1], right], axis=1)
    halves = (
        Amplifier("L", 0, Section((0, 6), (0, 8)), (), 0, Section((0, 6), (0, 8))),
        Amplifier("R", 0, Section((0, 6), (8, 16), (False, True)), (), 0, Section((0, 6), (8, 16))),
    )
    how = Readout(halves, ("",), ((6, 16),), None, crosstalk=((0.0, part), (0.0, 0.0)))
    (found,), _ = prepare([raw], how, "f8")
    np.testing.assert_allclose(found, np.concatenate([left, right], axis=1))


MOSAIC = {"OBJECT": "M 31", "IMAGETYP": "object", "EXPTIME": 10.0}


def write_mosaic(write_fits: WriteFits, name: str = "m.fits", **cards: str) -> Path:
    """Write four amplifiers of 6x8 binned pixels, each with its own flips, gain and overscan."""
    sections = ["[1:16,12:1]", "[1:16,13:24]", "[32:17,12:1]", "[32:17,13:24]"]
    pixels = [np.full((6, 11), 100 + 10 * n, "u2") for n in range(4)]
    for n, one in enumerate(pixels):
        one[:, :8] += np.arange(48).reshape(6, 8).astype("u2") + 1
        one[:, 8:] = 50 + n
    path = write_fits(name, pixels, MOSAIC)
    with fits.open(path, mode="update") as hdus:
        for n, section in enumerate(sections):
            header = hdus[n + 1].header
            header["DATASEC"], header["BIASSEC"] = "[1:8,1:6]", "[9:11,1:6]"
            header["DETSEC"], header["GAIN"] = section, 1.5 + n
            header.update(cards)
    return path


def opened(path: Path, **rules: Any) -> Night:
    camera = read_camera()
    return open_night(path, camera=replace(camera, detector=replace(camera.detector, **rules)))


ALLOW: dict[str, Any] = {"missing_dark": True, "missing_flat": True}


def test_a_mosaic_keeps_its_structure_or_is_put_together(
    write_fits: WriteFits, tmp_path: Path
) -> None:
    path = write_mosaic(write_fits)
    options = Options(**ALLOW)
    reduce_night(opened(path, unit="electron"), tmp_path / "out", options)
    ramp = np.arange(48.0).reshape(6, 8) + 51
    own = [(ramp + 9 * n) * (1.5 + n) for n in range(4)]
    with fits.open(tmp_path / "out" / "mc.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "AMP", "AMP", "AMP", "AMP"]
        for n, hdu in enumerate(hdus[1:]):
            np.testing.assert_array_equal(hdu.data, own[n].astype("f4"))
            assert hdu.header["BUNIT"] == "electron"
            assert "BIASSEC" not in hdu.header
            assert "DATASEC" not in hdu.header
    reduce_night(opened(path, unit="electron", assemble=True), tmp_path / "one", options)
    with fits.open(tmp_path / "one" / "mc.fits") as hdus:
        assert len(hdus) == 1
        expected = np.block([[own[0][::-1], own[2][::-1, ::-1]], [own[1], own[3][:, ::-1]]])
        np.testing.assert_array_equal(hdus[0].data, expected.astype("f4"))
        assert hdus[0].header["GAINCOR"] == "1.5 2.5 3.5 4.5"
        assert hdus[0].header["OVERSCAN"] == "median"


@pytest.mark.parametrize(
    ("cards", "rules", "told"),
    [
        ({"BIASSEC": "[9:12,1:6]"}, {}, "BIASSEC = '[9:12,1:6]' lies outside its image"),
        ({"DATASEC": "[1:99,1:6]"}, {}, "DATASEC = '[1:99,1:6]' lies outside"),
        ({"BIASSEC": "[7:11,1:6]"}, {}, "BIASSEC = '[7:11,1:6]' overlaps the pixels that see"),
        ({"BIASSEC": "[9:11,1:3]"}, {}, "lies neither beside nor above its data"),
        ({"GAIN": "UNKNOWN"}, {"unit": "electron"}, "GAIN = 'UNKNOWN'"),
        ({"GAIN": 0.0}, {"unit": "electron"}, "GAIN = 0.0"),
        ({"DETSEC": "[1:8,1:6]"}, {"assemble": True}, "two amplifiers are to lie at"),
        ({"DETSEC": "[1:9,1:6]"}, {"assemble": True}, "does not fit the pixels"),
        ({"DETSEC": "UNKNOWN"}, {"assemble": True}, "cannot be assembled"),
    ],
)
def test_sections_and_gains_that_make_no_sense_are_named(
    write_fits: WriteFits, cards: dict[str, Any], rules: dict[str, Any], told: str
) -> None:
    (entry,) = opened(write_mosaic(write_fits, **cards), **rules).left_out
    assert entry.failed
    assert told in entry.reason


def test_frames_of_other_sections_are_left_out_of_their_group(
    make_night: NightMaker, tmp_path: Path
) -> None:
    common: dict[str, Any] = {"DATASEC": "[1:10,1:8]", "BIASSEC": "[11:12,1:8]"}
    for n in range(3):
        make_night.add(f"b{n}.fits", "bias", 100, 0.0, **common)
        make_night.add(f"s{n}.fits", "object", 500, 10.0, OBJECT="M 31", **common)
    odd = make_night.add("b9.fits", "bias", 100, 0.0, DATASEC="[3:12,1:8]", BIASSEC="[1:2,1:8]")
    summary = reduce_night(open_night(make_night.folder), tmp_path, Options(**ALLOW))
    (entry,) = summary.failed
    assert entry.path == str(odd)
    assert "overscan [1:2,1:8]" in entry.reason
    assert fits.getheader(tmp_path / "masters" / "MasterBias.fits")["NCOMBINE"] == 3


def test_reference_pixels_move_with_the_trim(make_night: NightMaker, tmp_path: Path) -> None:
    cards: dict[str, Any] = {
        "DATASEC": "[4:12,3:8]",
        "BIASSEC": "[1:3,1:8]",
        "CRPIX1": 6.5,
        "CRPIX2": 4.0,
    }
    make_night.add("s.fits", "object", 500, 10.0, OBJECT="M 31", **cards)
    reduce_night(open_night(make_night.folder), tmp_path, Options(**ALLOW))
    header = fits.getheader(tmp_path / "sc.fits")
    assert (header["CRPIX1"], header["CRPIX2"]) == (3.5, 2.0)
    assert header["TRIM"] == "[4:12,3:8]"


def test_camera_files_compute_sections_from_cards(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.add("s.fits", "object", 500, 10.0, OBJECT="M 31", COVER=2)
    camera = tmp_path / "camera.toml"
    camera.write_text(
        '[[amplifier]]\nname = "L"\ndata = "[1:(NAXIS1-2*COVER)/2,1:NAXIS2]"\n'
        'overscan = ["[NAXIS1-2*COVER+1:NAXIS1-COVER,1:NAXIS2]"]\n'
        '[[amplifier]]\nname = "R"\ndata = "[(NAXIS1-2*COVER)/2+1:NAXIS1-2*COVER,1:NAXIS2]"\n'
        'overscan = ["[NAXIS1-COVER+1:NAXIS1,1:NAXIS2]"]\n'
    )
    (frame,) = open_night(make_night.folder, camera=read_camera(camera)).frames
    assert frame.preparation is not None
    assert frame.preparation.geometry == (
        "L: data [1:4,1:8], overscan [9:10,1:8]; R: data [5:8,1:8], overscan [11:12,1:8]"
    )
    assert frame.layout == (("", (8, 8)),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[detector]\noverscan = 'mode'\n", "overscan = 'mode' in [detector]: there are median"),
        ("[detector]\ntrim = 1\n", "trim in [detector] must be a bool"),
        ("[detector]\nunheard = 1\n", "unknown key 'unheard' in [detector]"),
        ("[[amplifier]]\nname = 'A'\n", "needs data"),
        ("[[amplifier]]\ndata = '[1:2,1:2]'\ngain_e_per_adu = 0\n", "must be a positive number"),
        ("[[amplifier]]\ndata = '[1:2,1:2]'\nunheard = 0\n", "unknown key 'unheard'"),
        ("amplifier = 3\n", "amplifiers are tables"),
    ],
)
def test_camera_files_of_nonsense_are_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "camera.toml"
    path.write_text(text)
    with pytest.raises(RequestError) as refused:
        read_camera(path)
    assert told in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("[1:NOCARD,1:2]", "NOCARD = None"),
        ("[1:2]", "is none: write"),
        ("[1:99,1:2]", "lies outside"),
        ("[1:2**3,1:2]", "is missing"),
        ("[1:__import__(1),1:2]", "is missing"),
        ("[1:99999999999999,1:2]", "too large"),
        ("[1:(,1:2]", "cannot be computed"),
        ("[1:0,1:2]", "comes out as"),
    ],
)
def test_sections_of_camera_files_that_make_no_sense_are_named(
    make_night: NightMaker, tmp_path: Path, section: str, told: str
) -> None:
    make_night.add("s.fits", "object", 500, 10.0, OBJECT="M 31")
    path = tmp_path / "camera.toml"
    path.write_text(f"[[amplifier]]\ndata = '{section}'\n")
    (entry,) = open_night(make_night.folder, camera=read_camera(path)).left_out
    assert told in entry.reason
