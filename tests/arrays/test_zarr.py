"""Calibrated frames as a zarr store: those of the FITS products, however often it was begun."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy import units
from astropy.io import fits

import daskred
from daskred import Options, RequestError, RunError

SCRIPT = """
import sys, daskred
from daskred.arrays import view
view.MAX_FRAMES_PER_BLOCK = 1  # many blocks, so that some are missing
night = daskred.open_night(sys.argv[1])
darks = {t: daskred.master_dark(night.select("dark", exptime_s=t)) for t in (3, 10)}
flat = daskred.master_flat(night.select("flat"), darks[3])
science = daskred.open_frames(night.select("science"))
daskred.write_zarr(daskred.calibrate(science, darks[10], flat), sys.argv[2])
"""


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "night"
    daskred.simulate(folder, shape=(40, 48), n_darks=3, n_flats=3, n_science=40)
    return folder


def calibrated(night: Path, **more: Any) -> Any:
    opened = daskred.open_night(night)
    darks = {t: daskred.master_dark(opened.select("dark", exptime_s=t)) for t in (3, 10)}
    flat = daskred.master_flat(opened.select("flat"), darks[3])
    science = daskred.open_frames(opened.select("science"))
    return daskred.calibrate(science, darks[10], flat, options=Options(**more))


def content(store: Path) -> dict[str, bytes]:
    paths = (path for path in store.rglob("*") if path.is_file())
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in sorted(paths)}


def test_a_store_has_the_pixels_coordinates_and_units_of_the_products(
    night: Path, tmp_path: Path
) -> None:
    store = daskred.write_zarr(calibrated(night, mask=True), tmp_path / "night.zarr")
    daskred.reduce_night(night, tmp_path / "out", Options(mask=True))
    with xr.open_zarr(store) as again:
        assert units.Unit(again.pixels.units) == units.adu
        assert again.pixels.dims == ("frame", "y", "x")
        assert again.sizes["frame"] == 40
        assert again.time.dtype.kind == "M"
        for number, path in enumerate(map(Path, again.file.values)):
            product = tmp_path / "out" / path.parent.name / f"{path.stem}c.fits"
            with fits.open(product) as hdus:
                np.testing.assert_array_equal(again.pixels[number].values, hdus[0].data)
                np.testing.assert_array_equal(again["mask"][number].values, hdus["MASK"].data)
                told = np.datetime64(hdus[0].header["DATE-OBS"])
                assert abs(again.time.values[number] - told) < np.timedelta64(1, "ms")


def test_a_store_that_was_killed_is_finished_the_same(night: Path, tmp_path: Path) -> None:
    def started(name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "error", "-c", SCRIPT, str(night), str(tmp_path / name)]
        return subprocess.Popen(command)

    whole = started("whole.zarr")
    began = time.monotonic()
    assert whole.wait(60) == 0
    seconds = time.monotonic() - began
    chance = random.Random(5)
    for _ in range(4):
        process = started("killed.zarr")
        time.sleep(seconds * chance.uniform(0.6, 1.0))
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert started("killed.zarr").wait(60) == 0
    assert content(tmp_path / "killed.zarr") == content(tmp_path / "whole.zarr")


def test_what_is_missing_alone_is_written(night: Path, tmp_path: Path) -> None:
    frames = calibrated(night)
    frames = frames.chunk(frame=8)
    store = daskred.write_zarr(frames, tmp_path / "a.zarr")
    whole = content(store)
    # As a crash leaves it: the second block is not there, and the last line is cut.
    (store / ".daskred-unfinished").write_text("0\n16\n24\n3")
    (store / "pixels/1.0.0").unlink()
    (store / "pixels/4.0.0").write_bytes(b"half")
    (store / "pixels/4.0.0.a1d287a8050e48aca991dc68c2c4c14b.partial").write_bytes(b"ha")
    there = (store / "pixels/2.0.0").stat().st_mtime_ns
    daskred.write_zarr(frames, store)
    assert content(store) == whole
    assert (store / "pixels/2.0.0").stat().st_mtime_ns == there


def test_blocks_of_any_size_are_written(night: Path, tmp_path: Path) -> None:
    opened = xr.open_dataset(night, engine="daskred", kind="science")
    frames = calibrated(night)
    for number, given in enumerate((opened, frames.chunk(frame=(1, 7, 12, 20)), frames.compute())):
        (tmp_path / f"{number}.zarr").mkdir()  # an empty folder will do
        store = daskred.write_zarr(given, tmp_path / f"{number}.zarr")
        with xr.open_zarr(store) as again:
            expected = given.pixels if isinstance(given, xr.Dataset) else given
            np.testing.assert_array_equal(again.pixels.values, expected.values)
    # What somebody who was killed has left.
    left = tmp_path / ".a.zarr.99999999.part"
    left.mkdir()
    daskred.write_zarr(frames, tmp_path / "a.zarr")
    assert not left.exists()


def test_stores_of_others_are_left_alone(night: Path, tmp_path: Path) -> None:
    frames = calibrated(night)
    store = daskred.write_zarr(frames.isel(frame=slice(3)), tmp_path / "a.zarr")
    before = content(store)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/mine.txt").touch()
    (tmp_path / "file").touch()
    for target in (store, tmp_path / "folder", tmp_path / "file"):
        with pytest.raises(RequestError, match="holds something else; name another store"):
            daskred.write_zarr(frames, target)
    # Of the same pixels, and with something else to tell.
    few = frames.isel(frame=slice(3))
    named = few.assign_coords(kind=("frame", ["a", "b", "c"]))
    for told in (
        few.assign_attrs(note="other"),
        named,
        few.to_dataset().assign_attrs(note="other"),
    ):
        with pytest.raises(RequestError, match="holds something else"):
            daskred.write_zarr(told, store)
    assert content(store) == before
    with pytest.raises(RequestError, match="is an address; name a folder"):
        daskred.write_zarr(frames, "s3://bucket/store")
    with pytest.raises(RequestError, match="only arrays"):
        daskred.write_zarr(frames[0], tmp_path / "b.zarr")


def test_a_store_that_cannot_be_written_is_named(night: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"file.*Not a directory.*the same call goes on"):
        daskred.write_zarr(calibrated(night), tmp_path / "file/a.zarr")
    shutil.rmtree(tmp_path / "missing", ignore_errors=True)
    assert daskred.write_zarr(calibrated(night), tmp_path / "missing/folder/a.zarr").is_dir()
