"""Broken and hostile files: refused by name, or read as astropy reads them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from daskred import open_night
from daskred.fits.hdus import read_hdus
from daskred.fits.images import images_of
from daskred.fits.pixels import read_rows
from daskred.model.errors import FrameError
from tests.fits.fuzz import fuzz, judge, seeds


def test_mutated_files_are_read_as_astropy_reads_them_or_refused() -> None:
    outcomes, wrong = fuzz(count=1200, seed=7)
    assert wrong == []
    assert outcomes["refused"] > 300
    assert outcomes["read"] > 100


def test_sound_files_are_read(tmp_path: Path) -> None:
    for name, data in seeds().items():
        (tmp_path / name).write_bytes(data)
        assert judge(str(tmp_path / name)) == "read", name


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.fits.gz"
    header = fits.PrimaryHDU(np.zeros((1, 1), "u1")).header
    header["NAXIS1"] = header["NAXIS2"] = 20_000
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(header.tostring().encode())
        for _ in range(400):
            file.write(bytes(10**6))
    (entry,) = open_night(path).left_out
    assert "unpacks to" in entry.reason


def test_a_promise_of_many_packed_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.fits.fz"
    fits.CompImageHDU(np.zeros((30, 40), "i2")).writeto(path)
    data = path.read_bytes()
    for axis in (1, 2):
        start = data.index(f"ZNAXIS{axis} =".encode())
        card = f"ZNAXIS{axis} = {1_000_000:>20}".ljust(80).encode()
        data = data[:start] + card + data[start + 80 :]
    path.write_bytes(data)
    with pytest.raises(FrameError, match="pixels"):
        images_of(str(path), read_hdus(str(path)))


def test_a_mask_is_no_frame(tmp_path: Path) -> None:
    path = tmp_path / "mask.fits.fz"
    fits.CompImageHDU(np.ones((9, 9), "i2"), compression_type="PLIO_1").writeto(path)
    (entry,) = open_night(path).left_out
    assert "as a mask" in entry.reason


@pytest.mark.parametrize(
    "name",
    [
        "a b.fits",
        "new\nline.fits",
        "quo'te\".fits",
        "caf\u00e9 \u2603.fits",
        "-o.fits",
        "[x]*.fits",
    ],
)
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    pixels = np.arange(12, dtype="u2").reshape(3, 4)
    fits.PrimaryHDU(pixels).writeto(tmp_path / name)
    (frame,) = open_night(tmp_path).frames
    assert frame.name == name
    out = np.empty((3, 4), "u2")
    read_rows(frame.path, frame.images[0], 0, 3, out)
    np.testing.assert_array_equal(out, pixels)
