"""Products at an address: a real S3 server on localhost, and a run that goes on there."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import daskred
from daskred import Options, RequestError, RunError, reduce_night, verify, write_report
from daskred.cli import main
from daskred.fits.remote import put_file
from daskred.products.places import copy_of
from tests.conftest import tree

OUT = "s3://archive/out"


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("places") / "night"
    daskred.simulate(folder, shape=(32, 40), n_darks=3, n_flats=3, n_science=5)
    return folder


@pytest.fixture(autouse=True)
def _copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def objects(bucket: Any) -> dict[str, bytes]:
    """Return the FITS files at the address."""
    bucket.invalidate_cache()
    root = OUT.removeprefix("s3://")
    paths = [path for path in bucket.find(root) if path.endswith(".fits")]
    return {path.removeprefix(f"{root}/"): bucket.cat_file(path) for path in paths}


def test_products_at_an_address_are_those_of_a_folder(
    night: Path, bucket: Any, tmp_path: Path
) -> None:
    reduce_night(night, tmp_path / "here")
    summary = reduce_night(night, OUT)
    assert len(summary.science) == 5
    assert OUT in repr(summary)
    assert objects(bucket) == tree(tmp_path / "here")
    assert bucket.exists("archive/out/daskred-log.jsonl")
    assert verify(OUT).findings == ()
    page = write_report(OUT).page
    assert bucket.cat_file("archive/out/report.html") == page.read_bytes()
    # Nothing is made, or put there, again.
    paths = bucket.find("archive/out/masters")
    # Each is asked for by itself, both times: a listing may round the second otherwise.
    bucket.invalidate_cache()
    before = {path: bucket.info(path)["LastModified"] for path in paths}
    again = reduce_night(night, OUT)
    assert not any(receipt.made for receipt in (*again.masters, *again.science))
    bucket.invalidate_cache()
    assert before == {path: bucket.info(path)["LastModified"] for path in before}


def test_another_machine_goes_on_with_what_stands_there(
    night: Path, bucket: Any, tmp_path: Path
) -> None:
    reduce_night(night, OUT, Options(masters_only=True))
    shutil.rmtree(copy_of(OUT))  # as another machine, which has no copy
    summary = reduce_night(night, OUT)
    assert not any(receipt.made for receipt in summary.masters)
    assert all(receipt.made for receipt in summary.science)
    # What was lost, or changed, there is put there again.
    bucket.rm("archive/out/masters/MasterDark_3s.fits")
    bucket.pipe_file("archive/out/masters/MasterDark_10s.fits", b"broken")
    found = {finding.product for finding in verify(OUT).findings}
    assert found >= {"masters/MasterDark_3s.fits", "masters/MasterDark_10s.fits"}
    shutil.rmtree(copy_of(OUT))
    reduce_night(night, tmp_path / "here")
    bucket.rm("archive/out/masters/MasterDark_10s.fits")  # it is nobody's, and never replaced
    reduce_night(night, OUT)
    assert objects(bucket) == tree(tmp_path / "here")
    assert verify(OUT).findings == ()


def test_a_run_that_is_killed_goes_on_at_the_address(
    night: Path, bucket: Any, tmp_path: Path
) -> None:
    reduce_night(night, tmp_path / "here")
    command = [sys.executable, "-W", "error", "-m", "daskred.cli", "reduce", str(night), "-o", OUT]
    for wait_s in (1.5, 2.0, 2.5):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(wait_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert objects(bucket) == tree(tmp_path / "here")


def test_an_address_that_refuses_is_named(
    night: Path, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RequestError, match=r"-o s3://nobody/out: nothing can be put there"):
        reduce_night(night, "s3://nobody/out")
    assert main(["watch", str(night), "-o", OUT, "--end-after", "0"]) == 2
    assert main(["characterize", str(night), "-o", OUT]) == 2
    with pytest.raises(RequestError, match="no run of daskred has written there"):
        verify(OUT)

    # Of what is made but cannot be put there, nothing is lost.
    def refused(path: Path, address: str) -> None:
        if address.endswith("c.fits"):
            raise OSError(13, "Permission denied", address)
        put_file(path, address)

    monkeypatch.setattr("daskred.products.places.put_file", refused)
    with pytest.raises(RunError, match=r"5 files could not be put to s3://archive/out"):
        reduce_night(night, OUT)
    monkeypatch.undo()
