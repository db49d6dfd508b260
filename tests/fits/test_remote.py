"""Nights at addresses: read by ranges from a real S3 server and a real web server on localhost."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import daskred
from daskred import Options, RequestError, open_night, reduce_night
from daskred.cli import main
from daskred.fits.copies import copy_of, keeping_copies
from daskred.fits.parts import TEMPORARY_MARK
from daskred.fits.storage import read_range
from daskred.night.files import find_files
from daskred.products.write import shared_headers
from tests.conftest import NightMaker
from tests.web import PlainHandler, RangeHandler, SlowHandler, serving


@pytest.fixture
def served() -> list[int]:
    return []


@pytest.fixture
def web(tmp_path: Path, served: list[int]) -> Iterator[str]:
    yield from serving(partial(RangeHandler, directory=str(tmp_path), served=served))


@pytest.fixture
def web_without_ranges(tmp_path: Path) -> Iterator[str]:
    yield from serving(partial(PlainHandler, directory=str(tmp_path)))


def assert_same_products(mine: Path, other: Path) -> None:
    """Compare all pixels and cards, apart from what tells the state of the inputs."""
    names = sorted(path.relative_to(other) for path in other.rglob("*.fits"))
    assert names
    assert sorted(path.relative_to(mine) for path in mine.rglob("*.fits")) == names
    for name in names:
        with fits.open(mine / name) as first, fits.open(other / name) as second:
            np.testing.assert_array_equal(first[0].data, second[0].data)
            for card in ("DASKRED", "CHECKSUM"):
                del first[0].header[card], second[0].header[card]
            assert repr(first[0].header) == repr(second[0].header)


def test_a_night_in_a_bucket_becomes_what_it_becomes_here(
    make_night: NightMaker, tmp_path: Path, bucket: Any
) -> None:
    make_night.standard()
    bucket.put(str(make_night.folder), "archive/night", recursive=True)
    here = reduce_night(open_night(make_night.folder), tmp_path / "here")
    there = reduce_night(open_night("s3://archive/night"), tmp_path / "there")
    assert not here.failed
    assert not there.failed
    assert_same_products(tmp_path / "there", tmp_path / "here")
    again = reduce_night(open_night("s3://archive/night/"), tmp_path / "there")
    assert not any(receipt.made for receipt in (*again.masters, *again.science))


def test_a_changed_object_makes_anew_what_depends_on_it(
    make_night: NightMaker, tmp_path: Path, bucket: Any
) -> None:
    make_night.shape = (40, 40)  # the changed pixel is none of those that are read with the header
    make_night.standard()
    bucket.put(str(make_night.folder), "archive/night", recursive=True)
    out = tmp_path / "out"
    reduce_night(open_night("s3://archive/night"), out)
    data = bytearray((make_night.folder / "d10-0.fits").read_bytes())
    data[2880 + 2 * 40 * 40 - 1] ^= 1
    bucket.pipe_file("archive/night/d10-0.fits", bytes(data))
    again = reduce_night(open_night("s3://archive/night"), out)
    made = {receipt.source: receipt.made for receipt in again.masters}
    assert made == {"MasterDark_10s": True, "MasterDark_2s": False, "MasterFlat_V": False}
    assert all(receipt.made for receipt in again.science)


def test_packed_frames_in_a_bucket(make_night: NightMaker, tmp_path: Path, bucket: Any) -> None:
    make_night.standard()
    here = reduce_night(open_night(make_night.folder), tmp_path / "here")
    for path in list(make_night.folder.glob("*-0.fits")):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    for path in list(make_night.folder.glob("*-1.fits")):
        with fits.open(path) as hdus:
            packed = fits.CompImageHDU(hdus[0].data, hdus[0].header)
            packed.writeto(path.with_name(f"{path.name}.fz"))
        path.unlink()
    bucket.put(str(make_night.folder), "archive/night", recursive=True)
    there = reduce_night(open_night("s3://archive/night"), tmp_path / "there")
    assert not there.failed
    for receipt in here.masters:
        mine = fits.getdata(tmp_path / "there" / receipt.product)
        np.testing.assert_array_equal(mine, fits.getdata(tmp_path / "here" / receipt.product))
    assert len(there.science) == len(here.science)


def test_a_night_on_a_web_server_is_read_by_ranges(
    make_night: NightMaker, tmp_path: Path, web: str, served: list[int]
) -> None:
    make_night.shape = (300, 400)
    make_night.standard()
    reduce_night(open_night(make_night.folder), tmp_path / "here")
    night = open_night(f"{web}/night/")
    n_files = len(list(make_night.folder.iterdir()))
    n_header = sum(served)
    assert len(night.raw) == n_files
    # Of 240 kB a frame, listing reads some 64 kB and the first pixels.
    assert n_header < 80_000 * n_files
    reduce_night(night, tmp_path / "there", Options(tile_rows=100, workers=3))
    assert_same_products(tmp_path / "there", tmp_path / "here")
    # Each file once, though flats are read twice, and headers once more; no copy is left.
    assert sum(served) - n_header == sum(p.stat().st_size for p in make_night.folder.iterdir())
    assert not list((tmp_path / "there").glob(f"{TEMPORARY_MARK}*"))


def test_copies_leave_the_room_that_products_need(
    make_night: NightMaker, tmp_path: Path, web: str, served: list[int]
) -> None:
    path = make_night.add("a.fits", "Dark Frame", 100)
    address = f"{web}/night/a.fits"
    room, buffer = tmp_path / "room", bytearray(100)
    room.mkdir()
    for least_free, n_copies in ((10**18, 0), (0, 1)):
        with keeping_copies(room, least_free):
            for place in (0, 2880, 3000):
                assert read_range(address, place, memoryview(buffer)) == 100
                assert bytes(buffer) == path.read_bytes()[place : place + 100]
            copies = [p for p in room.iterdir() if p.stat().st_size]
            assert len(copies) == n_copies
            assert all(p.name.startswith(TEMPORARY_MARK) for p in room.iterdir())
    assert served == [100, 100, 100, path.stat().st_size]
    for copy in room.iterdir():  # what becomes of a copy while it is read does no harm
        copy.unlink()
    with keeping_copies(tmp_path / "none", 0):
        assert read_range(address, 0, memoryview(buffer)) == 100
    assert copy_of(address) is None


def test_names_at_addresses_are_those_below_what_they_share(
    make_night: NightMaker, bucket: Any
) -> None:
    make_night.add("dark/a 1.fits", "Dark Frame", 100)
    make_night.add("dark/.hidden/b.fits", "Dark Frame", 100)
    make_night.add("flat/c.fits", "Flat Field", 100)
    bucket.put(str(make_night.folder), "archive/night", recursive=True)
    bucket.pipe_file("archive/night/notes.txt", b"no frame")

    def names(*sources: str) -> list[str]:
        return [name for _, name in find_files(sources)]

    assert names("s3://archive/night") == ["dark/a 1.fits", "flat/c.fits"]
    assert names("s3://archive/night/dark", "s3://archive/night/flat") == [
        "dark/a 1.fits",
        "flat/c.fits",
    ]
    assert names("s3://archive/night/*/c.*") == ["c.fits"]
    assert names("s3://archive/night/dark/a 1.fits") == ["a 1.fits"]


def test_what_cannot_be_reached_is_named(
    tmp_path: Path, bucket: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RequestError, match=r"s3://archive/none: no such file"):
        open_night("s3://archive/none")
    with pytest.raises(RequestError, match=r"127\.0\.0\.1:9/.*"):
        open_night("http://127.0.0.1:9/night/")
    with pytest.raises(RequestError, match="no kind of address"):
        open_night("nonsense://archive/night")
    with pytest.raises(RequestError, match="not at both"):
        open_night("s3://archive/night", tmp_path)
    bucket.pipe_file("archive/night/a.fits", b"no FITS")
    assert main(["reduce", "s3://archive/night", "-o", "s3://archive/out"]) == 2
    assert "a.fits" in capsys.readouterr().err
    (entry,) = open_night("s3://archive/night").left_out
    assert "SIMPLE" in entry.reason


def test_an_object_that_vanishes_is_left_out(
    make_night: NightMaker, tmp_path: Path, bucket: Any
) -> None:
    make_night.standard()
    bucket.put(str(make_night.folder), "archive/night", recursive=True)
    night = open_night("s3://archive/night")
    bucket.rm("archive/night/s-1.fits")
    summary = reduce_night(night, tmp_path / "out")
    assert [entry.name for entry in summary.failed] == ["s-1.fits"]
    assert "No such file" in summary.failed[0].reason
    assert len(summary.science) == 1


def test_a_server_without_ranges_is_refused(
    make_night: NightMaker, web_without_ranges: str
) -> None:
    make_night.shape = (300, 400)
    make_night.add("a.fits", "Dark Frame", 100)
    address = f"{web_without_ranges}/night/a.fits"
    with pytest.raises(OSError, match="does not serve ranges"):
        read_range(address, 2880, memoryview(bytearray(100)))
    night = open_night(address)
    assert not night.frames
    assert "range" in night.left_out[0].reason


def test_answers_from_afar_are_waited_for_many_at_once(tmp_path: Path, long_night: Path) -> None:
    paths = sorted(path for path in long_night.rglob("*.fits") if "ktwo" in path.name)[:24]
    far = serving(partial(SlowHandler, directory=str(long_night), served=[]))
    address = next(far)
    frames = [
        replace(frame, path=f"{address}/{Path(frame.path).relative_to(long_night)}", state="")
        for frame in open_night(*paths).frames
    ]
    for work in (
        lambda: shared_headers(frames),
        lambda: daskred.write_frames(
            daskred.calibrate(daskred.open_frames(frames)), tmp_path / "out"
        ),
    ):
        SlowHandler.most = 0
        work()
        assert SlowHandler.most >= 6
    with contextlib.suppress(StopIteration):
        next(far)
