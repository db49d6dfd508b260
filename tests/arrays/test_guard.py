"""A notebook is kept from mixing what does not belong together, in the words of the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import daskred
from daskred import Options, RequestError
from tests.conftest import NightMaker


@pytest.fixture
def opened(make_night: NightMaker) -> daskred.Night:
    for n in range(3):
        for seconds in (3.0, 10.0):
            make_night.add(f"d{seconds:g}-{n}.fits", "Dark", 100, seconds, OFFSET=10)
        make_night.add(f"f{n}.fits", "Flat", 9000, 3.0, FILTER="V", OFFSET=10)
        make_night.add(f"s{n}.fits", "Light", 500, 10.0, FILTER="V", OFFSET=10)
        make_night.add(f"o{n}.fits", "Dark", 100, 10.0, OFFSET=50)
    for n in range(2):
        make_night.add(f"b{n}.fits", "Bias", 100, 0.0, OFFSET=10)
    make_night.add("r.fits", "Light", 500, 10.0, FILTER="R", OFFSET=10)
    return daskred.open_night(make_night.folder)


def darks(night: daskred.Night, seconds: float, offset: str = "10") -> list[daskred.Frame]:
    found = night.select("dark", exptime_s=seconds)
    return [frame for frame in found if frame.facts.value("offset") == offset]


def science(night: daskred.Night, name: str = "V") -> list[daskred.Frame]:
    return night.select("science", filter=name)


MISTAKES: list[tuple[str, Callable[[daskred.Night], Any], str]] = [
    (
        "darks of two times",
        lambda night: daskred.master_dark([*darks(night, 3), *darks(night, 10)]),
        "differ in exposure time 10 s, not 3 s; Options(allow=('exposure time',)) goes by it",
    ),
    (
        "darks of two offsets",
        lambda night: daskred.master_dark(night.select("dark", exptime_s=10)),
        "differ in offset 50, not 10; Options(allow=('offset',)) goes by it",
    ),
    (
        "flats for darks",
        lambda night: daskred.master_dark(night.select("flat")),
        "f0.fits is no dark frame, but flat",
    ),
    (
        "no dark",
        lambda night: daskred.master_flat(night.select("flat")),
        "no dark is subtracted; Options(missing_dark=True) goes without",
    ),
    (
        "a flat's dark of another time",
        lambda night: daskred.master_flat(
            night.select("flat"), daskred.master_dark(darks(night, 10))
        ),
        "the dark does not go with f0.fits: it has exposure time 10 s, not 3 s",
    ),
    (
        "a dark of another time",
        lambda night: daskred.calibrate(science(night), daskred.master_dark(darks(night, 3))),
        "exposure time 3 s, not 10 s",
    ),
    (
        "a dark of another offset",
        lambda night: daskred.calibrate(
            science(night), daskred.master_dark(darks(night, 10, "50"))
        ),
        "offset 50, not 10",
    ),
    (
        "a flat of another filter",
        lambda night: daskred.calibrate(
            science(night, "R"), daskred.master_dark(darks(night, 10)), flat_of(night)
        ),
        "filter V, not R",
    ),
    (
        "a bias for a dark",
        lambda night: daskred.calibrate(
            science(night), daskred.master_bias(biases(night)), flat_of(night)
        ),
        "the dark is a master bias; Options(missing_dark=True) subtracts it alone",
    ),
    (
        "a dark upside down",
        lambda night: daskred.calibrate(
            science(night), daskred.master_dark(darks(night, 10))[::-1], flat_of(night)
        ),
        "the dark and the frames do not lie on each other along y",
    ),
    (
        "twice",
        lambda night: twice(daskred.master_dark(darks(night, 10)), science(night)),
        "the frames are calibrated already: dark MasterDark_10s",
    ),
    (
        "a word that allows nothing",
        lambda night: daskred.master_dark(darks(night, 10), options=Options(allow=("ofset",))),
        "the nearest is offset",
    ),
    (
        "dark and flat exchanged",
        lambda night: daskred.calibrate(
            science(night), flat_of(night), daskred.master_dark(darks(night, 10))
        ),
        "the dark is a master flat",
    ),
]


def biases(night: daskred.Night) -> list[daskred.Frame]:
    return night.select("bias")


def twice(dark: Any, frames: list[daskred.Frame]) -> Any:
    return daskred.calibrate(daskred.calibrate(frames, dark), dark)


def flat_of(night: daskred.Night) -> Any:
    return daskred.master_flat(night.select("flat"), daskred.master_dark(darks(night, 3)))


@pytest.mark.parametrize(
    ("mistake", "said"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_mistakes_are_named(
    opened: daskred.Night, mistake: Callable[[daskred.Night], Any], said: str
) -> None:
    with pytest.raises(RequestError) as error:
        mistake(opened)
    assert said in str(error.value)


def test_opened_arrays_are_guarded_like_frames(opened: daskred.Night) -> None:
    stack = daskred.open_frames([*darks(opened, 3), *darks(opened, 10)])
    with pytest.raises(RequestError, match="exposure time 10 s, not 3 s"):
        daskred.master_dark(stack)
    with pytest.raises(RequestError, match="offset 50, not 10"):
        daskred.master_dark(daskred.open_frames(opened.select("dark", exptime_s=10)))
    frames = daskred.open_frames(science(opened))
    dark = daskred.master_dark(daskred.open_frames(darks(opened, 3)))
    with pytest.raises(RequestError, match="exposure time 3 s, not 10 s"):
        daskred.calibrate(frames, dark)
    with pytest.raises(RequestError, match="is a master flat"):
        daskred.calibrate(frames, flat_of(opened))


def test_what_is_allowed_is_done(opened: daskred.Night) -> None:
    options = Options(allow=("exposure time",))
    dark = daskred.master_dark([*darks(opened, 3), *darks(opened, 10)], options=options)
    assert dark.attrs["n_frames"] == 6
    calibrated = daskred.calibrate(
        science(opened), daskred.master_dark(darks(opened, 3)), options=options
    )
    assert calibrated.sizes["frame"] == 3
    flat = daskred.master_flat(opened.select("flat"), options=Options(missing_dark=True))
    assert float(flat.mean()) == pytest.approx(1, rel=0.01)


def test_masters_say_what_they_are(opened: daskred.Night, tmp_path: Path) -> None:
    dark = daskred.master_dark(darks(opened, 10))
    assert dark.attrs["kind"] == "dark"
    assert dark.attrs["exptime_s"] == 10.0
    assert dark.attrs["offset"] == "10"
    assert [Path(path).name for path in dark.attrs["inputs"].split("\n")] == [
        *("d10-0.fits", "d10-1.fits", "d10-2.fits")
    ]
    dark.to_netcdf(tmp_path / "dark.nc", engine="scipy")  # which takes plain values only
    with xr.open_dataarray(tmp_path / "dark.nc", engine="scipy") as again:
        assert again.attrs["kind"] == "dark"
    assert dark.attrs["date_beg"] < dark.attrs["date_end"]
    assert flat_of(opened).attrs["filter"] == "V"
    daskred.reduce_night(opened, tmp_path / "out", Options(masters_only=True))
    path = next((tmp_path / "out" / "masters").glob("MasterFlat*.fits"))
    flat = daskred.open_master(path)
    assert (flat.attrs["kind"], flat.attrs["filter"]) == ("flat", "V")
    with pytest.raises(RequestError, match="filter V, not R"):
        daskred.calibrate(science(opened, "R"), daskred.master_dark(darks(opened, 10)), flat)
    daskred.reduce_night(opened, tmp_path / "all")
    with pytest.raises(RequestError, match="is a calibrated frame, and no master"):
        daskred.open_master(tmp_path / "all" / "s0c.fits")


def test_what_nobody_knows_anything_of_is_taken_on_trust(opened: daskred.Night) -> None:
    stack = xr.DataArray(np.ones((3, 8, 12)), dims=("frame", "y", "x"))
    assert daskred.master_flat(stack).shape == (8, 12)
    bare = xr.DataArray(daskred.master_dark(darks(opened, 3)).values * 10 / 3, dims=("y", "x"))
    assert daskred.calibrate(science(opened), bare).sizes["frame"] == 3
