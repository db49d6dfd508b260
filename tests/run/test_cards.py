"""Cards of products that must stay true of their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

import daskred
from daskred import FramesError, Options, RequestError, open_night, reduce_night
from daskred.night.open import camera_of
from tests.conftest import NightMaker

_WCS = {
    **{"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0},
    **{"CRPIX1": 6.0, "CRPIX2": 4.0, "CD1_1": -1e-3, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-3},
}


def product(night: NightMaker, out: Path, cards: dict[str, Any], **options: Any) -> fits.Header:
    """Reduce a night whose frames all have some cards; return the header of a science frame."""
    night.standard()
    for path in night.folder.glob("*.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header.update(cards)
    summary = reduce_night(open_night(night.folder), out, Options(**options))
    assert not summary.failed
    return fits.getheader(out / "s-0c.fits")


def test_coordinates_count_from_the_corner_of_what_is_left(
    make_night: NightMaker, tmp_path: Path
) -> None:
    cards = {**_WCS, "TRIMSEC": "[4:12,3:8]", "IMAGEW": 12, "IMAGEH": 8}
    header = product(make_night, tmp_path / "out", cards)
    raw = WCS(fits.getheader(make_night.folder / "s-0.fits"), fix=False)
    own = WCS(header, fix=False)
    assert raw.pixel_to_world(7, 5).separation(own.pixel_to_world(4, 3)).arcsec < 1e-6
    # Physical coordinates, as IRAF and DS9 have them: p = (image - LTV) / LTM.
    assert (5 - header["LTV1"]) / header["LTM1_1"] == 8
    assert (4 - header["LTV2"]) / header["LTM2_2"] == 6
    assert "IMAGEW" not in header


def test_physical_coordinates_of_a_window_are_moved_too(
    make_night: NightMaker, tmp_path: Path
) -> None:
    cards = {"LTV1": -100.0, "LTM1_1": 0.5, "TRIMSEC": "[4:12,1:8]"}
    header = product(make_night, tmp_path / "out", cards)
    assert (header["LTV1"], header["LTM1_1"]) == (-103.0, 0.5)


@pytest.mark.parametrize(("x", "y"), [(2, 1), (1, 2), (2, 2), (3, 3)])
@pytest.mark.parametrize("before", [{}, {"XBAYROFF": 1, "YBAYROFF": 0}])
def test_the_colour_pattern_moves_with_a_trim(
    make_night: NightMaker, tmp_path: Path, x: int, y: int, before: dict[str, int]
) -> None:
    cards = {"BAYERPAT": "RGGB", "TRIMSEC": f"[{x}:11,{y}:8]", **before}
    header = product(make_night, tmp_path / "out", cards)
    colours = np.array(list("RGGB")).reshape(2, 2)

    def colour(column: int, row: int, header: Any) -> str:
        across, up = header.get("XBAYROFF", 0), header.get("YBAYROFF", 0)
        return str(colours[(row + up) % 2, (column + across) % 2])

    raw = colour(x - 1, y - 1, cards)
    assert colour(0, 0, header) == raw


def test_levels_of_raw_pixels_are_none_of_a_product_in_electrons(
    make_night: NightMaker, tmp_path: Path
) -> None:
    levels = ("SATURATE", "SATURATI", "SATLEVEL", "SATUR_E", "MAXLIN", "DATAMAX", "FULLY")
    rules = tmp_path / "camera.toml"
    rules.write_text('[facts]\nsaturation_adu = ["FULLY"]\n')
    cards = {**dict.fromkeys(levels, 60000.0), "EGAIN": 1.5}
    make_night.standard()
    for path in make_night.folder.glob("*.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header.update(cards)
    options = Options(unit="electron", camera=str(rules))
    night = open_night(make_night.folder, camera=camera_of(options, [make_night.folder]))
    reduce_night(night, tmp_path / "out", options)
    header = fits.getheader(tmp_path / "out" / "s-0c.fits")
    assert not [card for card in levels if card in header]
    assert header["GAIN"] == 1.0


def test_levels_that_were_added_and_how_the_raw_frame_was_shown_are_dropped(
    make_night: NightMaker, tmp_path: Path
) -> None:
    shown = {"CBLACK": 1000, "CWHITE": 9000, "MIPS-HI": 9000, "MIPS-LO": 1000}
    header = product(make_night, tmp_path / "out", {"PEDESTAL": 100, **shown})
    assert not [card for card in ("PEDESTAL", *shown) if card in header]
    assert fits.getheader(tmp_path / "out/masters/MasterDark_10s.fits")["PEDESTAL"] == 100


@pytest.mark.parametrize("packing", ["rice", "lossless", "gzip"])
@pytest.mark.parametrize("character", ["\n", "\t", "\x1b", "\x7f"])
def test_control_characters_do_not_lose_a_packed_product(
    make_night: NightMaker, tmp_path: Path, packing: Any, character: str
) -> None:
    make_night.standard()
    for path in make_night.folder.glob("s-*.fits"):
        path.write_bytes(path.read_bytes().replace(b"M 31", f"M{character}31".encode()))
    options = Options(compress=packing)
    summary = reduce_night(open_night(make_night.folder), tmp_path / "out", options)
    assert not summary.failed
    assert not daskred.verify(tmp_path / "out").findings


_TURNED = {"CD1_1": -8e-4, "CD1_2": 6e-4, "CD2_1": 6e-4, "CD2_2": 8e-4}
_LINEAR = {card: value for card, value in _WCS.items() if not card.startswith("CD")}
_SIP = {
    **{"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2},
    **{"A_2_0": 2e-3, "A_1_1": -1e-3, "B_0_2": 3e-3, "B_2_0": 1e-3},
}
SKIES: dict[str, dict[str, Any]] = {
    "a matrix": {**_WCS, **_TURNED},
    "a matrix and SIP": {**_WCS, **_TURNED, **_SIP},
    "scales": {**_LINEAR, "CDELT1": -1e-3, "CDELT2": 2e-3},
    "scales and an angle": {**_LINEAR, "CDELT1": -1e-3, "CDELT2": 2e-3, "CROTA2": 30.0},
    "no reference pixel": {k: v for k, v in _WCS.items() if not k.startswith("CRPIX")},
    "no scale": {k: v for k, v in _LINEAR.items() if not k.startswith("CRPIX2")},
    "scales and a matrix": {
        **{**_LINEAR, "CDELT1": -1e-3, "CDELT2": 2e-3},
        **{"PC1_2": -0.6, "PC2_1": 0.6, "PC1_1": 0.8},
    },
}
# What is taken of frames of 8 rows and 12 columns, and where its first pixels come from.
CUTS: dict[str, tuple[Any, Sequence[float], Sequence[float]]] = {
    "a part": (lambda a: a.isel(x=slice(3, 10), y=slice(1, 7)), [3, 4, 5], [1, 2, 3]),
    "turned": (lambda a: a.isel(x=slice(None, None, -1)), [11, 10, 9], [0, 1, 2]),
    "binned": (lambda a: a.coarsen(x=2, y=4).mean(), [0.5, 2.5, 4.5], [1.5, 5.5]),
    "thinned": (lambda a: a.isel(x=slice(1, None, 3)), [1, 4, 7], [0, 1, 2]),
    "a part, binned and turned": (
        lambda a: a.isel(x=slice(2, 10)).coarsen(x=2).sum().isel(y=slice(7, 1, -1)),
        *([2.5, 4.5, 6.5], [7, 6, 5]),
    ),
    "as it is": (lambda a: a, [0, 1, 2], [0, 1, 2]),
}


@pytest.mark.parametrize("sky", SKIES)
@pytest.mark.parametrize("cut", CUTS)
def test_coordinates_stay_true_of_what_is_cut_out_binned_or_turned(
    make_night: NightMaker, tmp_path: Path, cut: str, sky: str
) -> None:
    make_night.standard()
    cards = {**SKIES[sky], "LTV1": -100.0, "LTM1_1": 0.5, "XBINNING": 1}
    for path in make_night.folder.glob("s-*.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header.update(cards)
    take, columns, rows = CUTS[cut]
    taken = take(daskred.open_frames(open_night(make_night.folder).select("science")) - 1.0)
    daskred.write_frames(taken, tmp_path / "out")
    made, raw = tmp_path / "out" / "s-0c.fits", make_night.folder / "s-0.fits"
    np.testing.assert_array_equal(fits.getdata(made), taken.values[0].astype("f4"))
    header = fits.getheader(made)
    before, after = WCS(fits.getheader(raw), fix=False), WCS(header, fix=False)
    for x, column in enumerate(columns):
        # Physical coordinates, as IRAF and DS9 have them: p = (image - LTV) / LTM.
        physical = (x + 1 - header["LTV1"]) / header["LTM1_1"]
        assert physical == pytest.approx((column + 1 + 100) / 0.5)
        for y, row in enumerate(rows):
            there = before.pixel_to_world(column, row)
            assert there.separation(after.pixel_to_world(x, y)).arcsec < 1e-6
    assert ("XBINNING" in header) == (abs(columns[1] - columns[0]) == 1 == abs(rows[1] - rows[0]))


@pytest.mark.parametrize("before", [{}, {"XBAYROFF": 1, "YBAYROFF": 0}])
@pytest.mark.parametrize("cut", CUTS)
def test_the_colour_pattern_is_that_of_what_is_cut_out(
    make_night: NightMaker, tmp_path: Path, cut: str, before: dict[str, int]
) -> None:
    make_night.standard()
    for path in make_night.folder.glob("s-*.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header.update({"BAYERPAT": "RGGB", **before})
    take, columns, rows = CUTS[cut]
    taken = take(daskred.open_frames(open_night(make_night.folder).select("science")))
    daskred.write_frames(taken, tmp_path / "out")
    header = fits.getheader(tmp_path / "out" / "s-0c.fits")
    if "binned" in cut:
        assert not {"BAYERPAT", "XBAYROFF", "YBAYROFF"} & set(header)
        return
    for x, column in enumerate(columns):
        for y, row in enumerate(rows):
            places = (
                ((at_x + of.get("XBAYROFF", 0)) % 2, (at_y + of.get("YBAYROFF", 0)) % 2)
                for at_x, at_y, of in ((x, y, header), (column, row, before))
            )
            assert next(places) == next(places)


def test_what_is_no_regular_part_of_its_frames_is_not_written(
    make_night: NightMaker, tmp_path: Path
) -> None:
    science = daskred.open_frames(open_night(make_night.standard()).select("science")) - 1.0
    with pytest.raises(RequestError, match="no regular part of its frames along x"):
        daskred.write_frames(science.isel(x=[0, 1, 5]), tmp_path / "out")
    with pytest.raises(RequestError, match="no regular part of its frames along y"):
        daskred.write_frames(science.coarsen(y=8).mean(), tmp_path / "out")
    with pytest.raises(RequestError, match="no regular part of its frames along y"):
        daskred.write_frames(science.assign_coords(y=science.y + 3), tmp_path / "out")
    bare = science.isel(x=slice(2, 9)).drop_vars("x")
    with pytest.raises(RequestError, match="no coordinate 'x' tells which"):
        daskred.write_frames(bare, tmp_path / "out")
    assert not list(tmp_path.glob("out/*.fits"))
    daskred.write_frames(science.drop_vars(["x", "y"]), tmp_path / "out")
    assert len(list(tmp_path.glob("out/*.fits"))) == 2


def test_tables_of_distortion_are_not_cut(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    for path in make_night.folder.glob("s-*.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header["CPDIS1"] = "LOOKUP"
    science = daskred.open_frames(open_night(make_night.folder).select("science")) - 1.0
    with pytest.raises(FramesError, match="tables of its pixels tell its coordinates"):
        daskred.write_frames(science.isel(x=slice(2, 9)), tmp_path / "out")
    daskred.write_frames(science, tmp_path / "out")
