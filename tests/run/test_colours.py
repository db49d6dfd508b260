"""Flats of colour sensors: each pixel of the pattern has a level of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import daskred
from daskred import Options, open_night, reduce_night

SHAPE = (70, 90)
# What a lamp gives red, green and blue pixels: no grey one.
LAMP = np.array([[0.4, 1.0], [1.0, 0.7]])
GREY = np.array([[0.5, 0.9], [0.9, 0.6]])  # of the sky, as the sensor sees it


def tiled(pattern: Any) -> Any:
    return np.tile(pattern, (SHAPE[0] // 2, SHAPE[1] // 2))


def colour_night(folder: Path, cards: dict[str, Any]) -> Any:
    """Write a night of a colour sensor; return how its pixels differ beside their colours."""
    rng = np.random.default_rng(6)
    folder.mkdir()
    rows, columns = np.indices(SHAPE)
    response = rng.normal(1, 0.01, SHAPE) * (1 - 1e-5 * ((rows - 35) ** 2 + (columns - 45) ** 2))
    for kind, exptime_s, light, n in (
        ("dark", 1.0, 0.0, 5),
        ("flat", 1.0, 40000 * tiled(LAMP), 9),
        ("object", 1.0, 20000 * tiled(GREY), 1),
    ):
        for number in range(n):
            pixels = 500 + rng.poisson(light * response, SHAPE) + rng.normal(0, 3, SHAPE)
            header = fits.Header({"IMAGETYP": kind, "EXPTIME": exptime_s, "FILTER": "L", **cards})
            header["DATE-OBS"] = f"2026-01-01T01:{number:02d}:0{len(kind)}"
            fits.PrimaryHDU(np.round(pixels).astype("u2"), header).writeto(
                folder / f"{kind}-{number}.fits"
            )
    return response


BAYER = {"BAYERPAT": "RGGB", "XBAYROFF": 0, "YBAYROFF": 0}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("normalize", ["mode", "median"])
def test_a_colour_keeps_its_light(tmp_path: Path, normalize: Any, dtype: Any) -> None:
    response = colour_night(tmp_path / "night", BAYER)
    options = Options(threads=True, normalize=normalize, dtype=dtype, tile_rows=7)
    reduce_night(open_night(tmp_path / "night"), tmp_path / "out", options)
    with fits.open(tmp_path / "out/masters/MasterFlat_L.fits") as hdus:
        flat, header = hdus[0].data.astype("f8"), hdus[0].header
    assert header["NORMALIZ"] == f"{normalize}, of each colour"
    for row in (0, 1):
        for column in (0, 1):
            ratio = (flat / response)[row::2, column::2]
            assert np.std(ratio) < 0.004  # the photons of nine flats
            assert np.median(flat[row::2, column::2]) == pytest.approx(1, abs=0.01)
    science = fits.getdata(tmp_path / "out/object-0c.fits")
    found = np.array(
        [[np.median(science[row::2, column::2]) for column in (0, 1)] for row in (0, 1)]
    )
    found /= found[0][1] / GREY[0, 1]
    np.testing.assert_allclose(found, GREY, rtol=0.005)


def test_one_level_for_all_where_that_is_asked_for_or_no_colours_are_told(tmp_path: Path) -> None:
    colour_night(tmp_path / "night", BAYER)
    colour_night(tmp_path / "grey", {})
    for folder, asked in (("night", False), ("grey", None)):
        out = tmp_path / f"out-{folder}"
        options = Options(threads=True, normalize_bayer=asked)
        reduce_night(open_night(tmp_path / folder), out, options)
        with fits.open(out / "masters/MasterFlat_L.fits") as hdus:
            flat = hdus[0].data
            assert hdus[0].header["NORMALIZ"] == "mode"
        ratio = np.median(flat[::2, ::2]) / np.median(flat[::2, 1::2])
        assert ratio == pytest.approx(0.4, rel=0.01)
    options = Options(threads=True, normalize_bayer=True)
    reduce_night(open_night(tmp_path / "grey"), tmp_path / "out-asked", options)
    flat = fits.getdata(tmp_path / "out-asked/masters/MasterFlat_L.fits")
    assert np.median(flat[::2, ::2]) == pytest.approx(1, abs=0.01)


def test_a_notebook_divides_colours_as_a_run_does(tmp_path: Path) -> None:
    colour_night(tmp_path / "night", BAYER)
    night = open_night(tmp_path / "night")
    reduce_night(night, tmp_path / "out", Options(threads=True))
    dark = daskred.master_dark(night.select("dark"))
    flat = daskred.master_flat(night.select("flat"), dark)
    written = fits.getdata(tmp_path / "out/masters/MasterFlat_L.fits")
    np.testing.assert_array_equal(flat.values, written)
