"""Cards of products that must stay true of their pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

import daskred
from daskred import Options, RequestError, open_night, reduce_night
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
    make_night: NightMaker, tmp_path: Path, packing: str, character: str
) -> None:
    make_night.standard()
    for path in make_night.folder.glob("s-*.fits"):
        path.write_bytes(path.read_bytes().replace(b"M 31", f"M{character}31".encode()))
    options = Options(compress=packing)
    summary = reduce_night(open_night(make_night.folder), tmp_path / "out", options)
    assert not summary.failed
    assert not daskred.verify(tmp_path / "out").findings


@pytest.mark.parametrize(
    "cut", [{"x": slice(2, 9)}, {"y": slice(0, 5)}, {"x": slice(None, None, -1)}]
)
def test_parts_of_frames_are_not_written_with_wrong_coordinates(
    make_night: NightMaker, tmp_path: Path, cut: dict[str, slice]
) -> None:
    science = daskred.open_frames(open_night(make_night.standard()).select("science")) - 1.0
    with pytest.raises(RequestError, match="coordinates in their headers would be wrong"):
        daskred.write_frames(science.isel(cut), tmp_path / "out")
    with pytest.raises(RequestError, match="coordinates in their headers would be wrong"):
        daskred.write_frames(science.coarsen(x=2, y=2).mean(), tmp_path / "out")
