"""Packed products: the same pixels, or the same but for a stated part of their noise."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import Options, open_night, reduce_night
from daskred.fits.pack import QUANTIZE_LEVEL, pack
from daskred.run.verify import verify
from tests.conftest import NightMaker, tree

ALL = ("gzip", "rice", "lossless")


def reduced(night: Path, out: Path, compress: Any) -> Any:
    return reduce_night(open_night(night), out, Options(mask=True, compress=compress))


@pytest.fixture(scope="module")
def plain(night: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain")
    reduced(night, out, "none")
    return out


@pytest.mark.parametrize("how", ALL)
def test_packed_products_hold_the_same(night: Path, plain: Path, tmp_path: Path, how: str) -> None:
    summary = reduced(night, tmp_path, how)
    suffix = ".gz" if how == "gzip" else ".fz"
    for receipt in summary.science:
        assert receipt.product.endswith(f"c.fits{suffix}")
        original = plain / receipt.product.removesuffix(suffix)
        with (
            fits.open(tmp_path / receipt.product, checksum=True) as hdus,
            fits.open(original) as own,
        ):
            first = 0 if how == "gzip" else 1
            found, expected = hdus[first].data, own[0].data
            np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
            if how == "rice":
                # Steps are a part of the noise of each row, which neighbours tell.
                noise = np.std(np.diff(expected, axis=1), axis=1) / np.sqrt(2)
                error = np.abs(found - expected).max(axis=1)
                assert (error < 2 * noise / QUANTIZE_LEVEL).all()
                assert hdus[first].header["FZQVALUE"] == QUANTIZE_LEVEL
            else:
                np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(hdus["MASK"].data, own["MASK"].data)
            for card in ("EXPTIME", "FLATCOR", "DARKCOR", "RAWSUM", "BUNIT"):
                assert hdus[first].header[card] == own[0].header[card]
        if how == "gzip":
            assert gzip.decompress((tmp_path / receipt.product).read_bytes()) is not None


@pytest.mark.parametrize("how", ALL)
def test_packed_products_have_the_same_bytes_each_time(
    night: Path, tmp_path: Path, how: str
) -> None:
    reduced(night, tmp_path / "a", how)
    time.sleep(1.1)  # streams of gzip would tell the second
    reduced(night, tmp_path / "b", how)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert not any(one.made for one in reduced(night, tmp_path / "a", how).science)
    assert verify(tmp_path / "a").findings == ()
    product = next(tmp_path.joinpath("a").rglob("ktwo*c.fits.*"))
    data = bytearray(product.read_bytes())
    data[len(data) // 2] ^= 4
    product.write_bytes(data)
    (finding,) = verify(tmp_path / "a").findings
    assert product.name in finding.product


def test_pixels_without_a_value_stay_so(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    for path in make_night.folder.glob("f-*.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].data[2, 3] = 0
    for how in ALL:
        summary = reduced(make_night.folder, tmp_path / how, how)
        with fits.open(tmp_path / how / summary.science[0].product) as hdus:
            pixels = hdus[0].data if hdus[0].data is not None else hdus[1].data
            assert np.flatnonzero(np.isnan(pixels)).tolist() == [2 * 12 + 3]


def test_weak_losses_are_honest(tmp_path: Path) -> None:
    """What fitsio and astropy read back is within the stated step, and no flux is lost."""
    fitsio = pytest.importorskip("fitsio")
    rng, noise = np.random.default_rng(9), 10.0
    rows, columns = np.indices((1024, 1024))
    stars = 5000 * np.exp(-((rows % 64 - 32) ** 2 + (columns % 64 - 32) ** 2) / 8)
    pixels = (100 + stars + rng.normal(0, noise, stars.shape)).astype("f4")
    pixels[5, 7] = np.nan
    fits.PrimaryHDU(pixels).writeto(tmp_path / "plain.fits", checksum=True)
    pack(tmp_path / "plain.fits", tmp_path / "packed.fits.fz", "rice")
    with fits.open(tmp_path / "packed.fits.fz") as hdus:
        by_astropy = hdus[1].data.astype("f8")
    by_fitsio = fitsio.read(str(tmp_path / "packed.fits.fz"), ext=1).astype("f8")
    np.testing.assert_array_equal(by_astropy, by_fitsio)
    error = by_astropy - pixels
    assert np.nanmax(np.abs(error)) < noise / QUANTIZE_LEVEL
    assert abs(np.nanmean(error)) < 1e-4 * noise
    lit = stars > 100
    assert abs(np.nanmean(error[lit])) < 5 * noise / QUANTIZE_LEVEL / np.sqrt(12 * lit.sum())
