"""xarray opens a night by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr

import daskred
from daskred import RequestError
from tests.cluster import Cluster
from tests.conftest import NightMaker


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine") / "night"
    daskred.simulate(folder, shape=(24, 32), n_darks=5, n_flats=3, n_science=4)
    return folder


@pytest.fixture(params=["threads", "cluster"])
def scheduler(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    if request.param == "threads":
        yield
        return
    from distributed import Client

    cluster = Cluster(tmp_path)
    with cluster.stack:
        cluster.add_worker("--no-nanny")
        with Client(scheduler_file=str(cluster.file)) as client:
            client.wait_for_workers(1, timeout=30)
            yield


@pytest.mark.parametrize("tiled", [False, True])
def test_a_median_of_opened_frames_is_the_master_dark(
    night: Path, scheduler: None, tiled: bool
) -> None:
    opened = xr.open_dataset(night, engine="daskred", tiled=tiled)
    assert dask.is_dask_collection(opened.pixels.data)
    darks = opened.pixels[(opened.kind == "dark") & (opened.exptime_s == 10)]
    master = daskred.master_dark(daskred.open_night(night).select("dark", exptime_s=10))
    np.testing.assert_array_equal(darks.median("frame").values.astype("f4"), master.values)


def test_some_frames_are_opened_alone(night: Path) -> None:
    flats = xr.open_dataset(str(night), engine="daskred", kind="flat", filter="BG40")
    assert flats.sizes["frame"] == 3
    assert set(flats.kind.values) == {"flat"}
    bare = xr.open_dataset(night, engine="daskred", drop_variables="telescope")
    assert "telescope" not in bare.coords
    with pytest.raises(RequestError, match="has no such raw frames"):
        xr.open_dataset(night, engine="daskred", kind="bias")
    with pytest.raises(RequestError, match="the nearest is dark"):
        xr.open_dataset(night, engine="daskred", kind="drak")
    with pytest.raises(RequestError, match="no such file or folder"):
        xr.open_dataset(night / "nowhere", engine="daskred")


def test_a_tree_has_a_group_for_each_kind(night: Path) -> None:
    tree = xr.open_datatree(night, engine="daskred")
    assert {name: group.sizes["frame"] for name, group in tree.children.items()} == {
        "dark": 10,
        "flat": 3,
        "science": 4,
    }


def test_frames_of_unlike_shapes_are_opened_by_kind(make_night: NightMaker) -> None:
    make_night.standard()
    small = NightMaker(make_night.folder, (5, 7))
    small.add("small.fits", "light", 500, 10.0)
    with pytest.raises(RequestError, match="unlike shapes"):
        xr.open_dataset(make_night.folder, engine="daskred")
    assert xr.open_dataset(make_night.folder, engine="daskred", kind="dark").pixels.ndim == 3


def test_frames_that_cannot_be_used_are_told(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    broken = make_night.folder / "broken.fits"
    broken.write_bytes(b"SIMPLE  =                    T")
    with pytest.warns(UserWarning, match="1 frames cannot be used, as broken.fits"):
        xr.open_dataset(make_night.folder, engine="daskred", kind="dark")
    for path in make_night.folder.glob("*.fits"):
        if path != broken:
            path.unlink()
    told = pytest.warns(UserWarning, match="1 frames cannot be used")
    with told, pytest.raises(RequestError, match="has no raw frames"):
        xr.open_datatree(make_night.folder, engine="daskred")
