"""Faults that a night can meet, made for real: kills, signals, full disks, frames that change.

There are many cases, each short, which makes the file longer than others.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import daskred.arrays.written
from daskred import Options, RunError, open_night, reduce_night, simulate
from daskred.products.log import LOG_NAME, read_log
from tests import processes
from tests.cluster import Cluster
from tests.conftest import NightMaker, tree
from tests.faults.sweep import zipped

# `DASKRED_KILLS=400 pytest tests/faults/test_kills.py` kills more often.
N_KILLS = int(os.environ.get("DASKRED_KILLS", "12"))


def product_paths(out: Path) -> list[Path]:
    """Return what bears a product's name; other names may vanish at any moment."""
    return [path for path in out.rglob("*.fits*") if not path.name.startswith(".")]


def has_products(out: Path, number: float) -> bool:
    return len(product_paths(out)) >= number


def products(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in product_paths(out)}


def test_a_kill_at_any_moment_costs_nothing_but_time(
    long_night: Path, tmp_path: Path, long_products: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    found = killed_often(long_night, out, (), N_KILLS, long_products)
    assert len(found) > 3  # the kills came at different stages


def killed_often(
    night: Path, out: Path, options: tuple[str, ...], n_kills: int, expected: dict[str, bytes]
) -> set[int]:
    """Kill runs at random moments, half of them told by products; return after how many of these.

    How long a run takes is no measure of moments alone where others work beside it.
    """
    start = time.monotonic()
    assert processes.run("reduce", night, "-o", out, *options)[0] == 0
    whole = time.monotonic() - start
    rng = random.Random(1)
    n_products: set[int] = set()
    for number in range(n_kills):
        if number % 3 == 0:
            shutil.rmtree(out, ignore_errors=True)
        process = processes.start("reduce", night, "-o", out, *options)
        moment = rng.uniform(0.1, 1.1)
        if number % 2:
            time.sleep(moment * whole)
        else:
            wanted = moment * len(expected)
            processes.wait_for(partial(has_products, out, wanted), process)
        processes.kill_group(process)
        found = products(out)
        n_products.add(len(found))
        assert found.items() <= expected.items()  # none is torn
    status, told = processes.run("reduce", night, "-o", out, *options)
    assert status == 0, told
    assert tree(out) == expected
    return n_products


CONFIGURATIONS: dict[str, tuple[str, ...]] = {
    "threads": ("--threads",),
    "one worker": ("--workers", "1", "--no-sync"),
    "planes": ("--mask", "--uncertainty"),
    "double precision": ("--dtype", "float64", "--normalize", "exact-mode"),
    "clipped": ("--combine", "clipped-mean", "--counts"),
    "low tiles": ("--tile-rows", "7"),
    "interpolated": ("--interpolate", "--mask"),
    "gzip": ("--compress", "gzip"),
    "lossless": ("--compress", "lossless"),
    "zipped": ("--threads", "--workers", "2"),
    "cluster": (),
}


@pytest.fixture(scope="module")
def brief_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nights") / "brief"
    simulate(folder, shape=(96, 120), n_darks=5, n_flats=5, n_science=80, seed=6)
    return folder


@pytest.mark.parametrize("name", list(CONFIGURATIONS))
def test_a_kill_costs_nothing_in_any_configuration(
    brief_night: Path, tmp_path: Path, name: str
) -> None:
    night, quiet, out = tmp_path / "night", tmp_path / "quiet", tmp_path / "out"
    shutil.copytree(brief_night, night)
    if name == "zipped":
        for path in sorted(night.rglob("*.fits"))[::3]:
            zipped(path)
    with ExitStack() as stack:
        options = CONFIGURATIONS[name]
        if name == "cluster":
            cluster = Cluster(tmp_path)
            stack.enter_context(cluster.stack)
            cluster.add_worker()
            options = ("--scheduler", str(cluster.file))
        assert processes.run("reduce", night, "-o", quiet, *options)[0] == 0
        n_kills = max(N_KILLS // len(CONFIGURATIONS) // 2, 1)
        killed_often(night, out, options, n_kills, tree(quiet))


@pytest.mark.parametrize(
    ("sent", "status", "kind", "times"),
    [
        (signal.SIGINT, 130, "--processes", 1),
        (signal.SIGINT, 130, "--processes", 2),
        (signal.SIGINT, 130, "--threads", 1),
        (signal.SIGTERM, 143, "--processes", 1),
        (signal.SIGTERM, 143, "--threads", 1),
    ],
)
def test_a_signal_stops_a_run_within_seconds(
    long_night: Path,
    tmp_path: Path,
    long_products: dict[str, bytes],
    sent: int,
    status: int,
    kind: str,
    times: int,
) -> None:
    out = tmp_path / "out"
    process = processes.start("reduce", long_night, "-o", out, kind)
    assert processes.wait_for(lambda: len(product_paths(out)) > 5, process)
    sent_at = time.monotonic()
    for _ in range(times):
        os.killpg(process.pid, sent)  # as a terminal or a batch system does it
        time.sleep(0.02)
    found, told = processes.finish(process)
    assert found == status
    assert time.monotonic() - sent_at < 10
    assert "stand in" in told
    assert "Traceback" not in told
    left = tree(out)
    assert left.items() <= long_products.items()  # no litter either
    assert len(left) < len(long_products)
    assert [record["outcome"] for record in read_log(out) if record["event"] == "end"] == [
        "interrupted"
    ]
    assert processes.run("reduce", long_night, "-o", out)[0] == 0
    assert tree(out) == long_products


INTERRUPTED_AT = """
import importlib.abc, os, signal, sys

class Interrupted(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupted())
from daskred.cli import main

sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("module", "status"), [("argparse", -signal.SIGINT), ("daskred.run.reduce", 130)]
)
def test_ctrl_c_while_the_program_starts_is_no_traceback(
    long_night: Path, tmp_path: Path, module: str, status: int
) -> None:
    words = [module, "reduce", str(long_night), "-o", str(tmp_path / "out")]
    command = [sys.executable, "-c", INTERRUPTED_AT, *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == status
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_worker_that_is_killed_costs_nothing(
    long_night: Path, tmp_path: Path, long_products: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    process = processes.start("reduce", long_night, "-o", out, "--processes", "--workers", "2")
    assert processes.wait_for(lambda: len(product_paths(out)) > 5, process)
    os.kill(processes.children(process.pid)[0], signal.SIGKILL)
    status, told = processes.finish(process)
    assert status == 0, told
    assert tree(out) == long_products


def ending(name: str, how: Any) -> Any:
    """Return what calibrates a frame, and does something else to one of them."""
    calibrate = daskred.arrays.written._begun

    def poisoned(job: Any, *arguments: Any) -> Any:
        if job.frame.name == name:
            how()
        return calibrate(job, *arguments)

    return poisoned


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_frame_that_ends_every_worker_is_given_up_by_name(
    make_night: NightMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_night.standard(n_science=9)
    # No file is known that crashes a decompressor here, so the worker ends itself, for real.
    monkeypatch.setattr("daskred.arrays.written._begun", ending("s-4.fits", kill_myself))
    options = Options(workers=2, processes=True)
    night = open_night(make_night.folder)
    summary = run_forked(night, tmp_path / "out", options)
    assert [(entry.name, entry.reason) for entry in summary.failed] == [
        ("s-4.fits", "ended every worker that took it, 3 times")
    ]
    assert len(summary.science) == 8


def run_forked(night: Any, out: Path, options: Options) -> Any:
    """Reduce in forked processes, which inherit what was changed here."""
    from daskred.engine import forked as pools

    with pytest.MonkeyPatch.context() as patch:
        # Other tests leave threads behind; these forks call nothing that those may hold.
        patch.setattr(pools, "can_fork", lambda: True)
        return reduce_night(night, out, options)


@pytest.mark.parametrize("workers", [{"processes": True}, {"threads": True}])
def test_a_frame_that_hangs_is_tried_again_and_given_up_by_name(
    make_night: NightMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: dict[str, Any],
) -> None:
    make_night.standard(n_science=5)
    night = open_night(make_night.folder)
    once = tmp_path / "hung once"

    def hang_once() -> None:
        if not once.exists():
            once.touch()
            time.sleep(1000)

    options = Options(workers=2, time_limit=0.6, **workers)
    with monkeypatch.context() as patch:
        patch.setattr("daskred.arrays.written._begun", ending("s-2.fits", hang_once))
        summary = run_forked(night, tmp_path / "once", options)
    assert once.exists()
    assert not summary.failed
    assert len(summary.science) == 5
    monkeypatch.setattr(
        "daskred.arrays.written._begun", ending("s-2.fits", lambda: time.sleep(1000))
    )
    summary = run_forked(night, tmp_path / "always", options)
    assert [entry.name for entry in summary.failed] == ["s-2.fits"]
    assert "took longer than 0.6 s" in summary.failed[0].reason
    assert len(summary.science) == 4


def test_what_a_thread_does_too_late_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack: Any = import_module("daskred.run.unpack")
    simulate(tmp_path / "night", shape=(16, 16), n_darks=3, n_flats=3, n_science=1)
    for path in list((tmp_path / "night/dark").iterdir()):
        zipped(path)
    over, late, unpacked = threading.Event(), threading.Event(), unpack.unpack
    turns = iter(range(1000))

    def hanging_once(*arguments: Any) -> Any:
        is_first = next(turns) == 0
        if is_first:
            over.wait()
        try:
            return unpacked(*arguments)
        finally:
            if is_first:
                late.set()

    monkeypatch.setattr(unpack, "unpack", hanging_once)
    options = Options(workers=2, threads=True, time_limit=0.5)
    summary = reduce_night(open_night(tmp_path / "night"), tmp_path / "out", options)
    over.set()
    assert late.wait(30)
    assert not summary.failed
    assert processes.wait_for(lambda: len(list(tmp_path.rglob("out/**/.*"))) == 0)


@pytest.mark.parametrize("name", ["s-1.fits", "d10-1.fits", "f-1.fits"])
def test_a_frame_that_changes_while_the_run_goes_on_is_left_out(
    make_night: NightMaker, tmp_path: Path, name: str
) -> None:
    make_night.standard(n_science=3)
    night = open_night(make_night.folder)
    path = make_night.folder / name
    data = bytearray(path.read_bytes())
    data[2880 + 100] ^= 1
    path.write_bytes(data)
    summary = reduce_night(night, tmp_path / "out")
    assert [(entry.name, entry.reason) for entry in summary.failed] == [
        (name, "has changed while it was used; run again")
    ]
    again = reduce_night(open_night(make_night.folder), tmp_path / "out")
    reduce_night(open_night(make_night.folder), tmp_path / "fresh")
    assert not again.failed
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_a_second_run_into_the_same_folder_is_refused(long_night: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = processes.start("reduce", long_night, "-o", out)
    assert processes.wait_for(lambda: product_paths(out), first)
    os.killpg(first.pid, signal.SIGSTOP)  # holds its breath, and the folder
    status, told = processes.run("reduce", long_night, "-o", out)
    assert status == 2
    assert "another run" in told
    status, told = processes.run("verify", out)
    assert status == 2
    assert "is at work there" in told
    os.killpg(first.pid, signal.SIGCONT)
    assert processes.finish(first)[0] == 0
    assert processes.run("verify", out)[0] == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("no permission to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=False, capture_output=True)


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    long_night: Path, small_disk: Path
) -> None:
    status, told = processes.run("reduce", long_night, "-o", small_disk / "out")
    assert status == 2
    assert "MB free" in told
    assert list(small_disk.iterdir()) == []


def test_what_lies_on_the_disk_for_a_while_counts_too(tmp_path: Path, small_disk: Path) -> None:
    night = tmp_path / "night"
    simulate(night, shape=(160, 200), n_darks=40, n_flats=1, n_science=1)
    for path in list((night / "dark").iterdir()):
        zipped(path)
    status, told = processes.run("reduce", night, "-o", small_disk / "out")
    assert status == 2
    assert "for a while" in told
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_gets_full_stops_the_run_which_then_goes_on(
    long_night: Path, small_disk: Path, tmp_path: Path, long_products: dict[str, bytes]
) -> None:
    night = tmp_path / "night"
    shutil.copytree(long_night, night)
    for path in sorted((night / "ktwo220274129").iterdir())[10:]:
        path.unlink()
    out = small_disk / "out"
    # The products' pixels would fit, but not their headers too.
    n_pixels = (10 + 3) * 160 * 200 * 4
    (small_disk / "filler").write_bytes(bytes(2 * 2**20 - n_pixels - 40_000))
    status, told = processes.run("reduce", night, "-o", out)
    assert status == 3
    assert "No space left" in told
    assert "goes on from there" in told
    found = tree(out)
    assert found
    assert found.items() <= long_products.items()
    (small_disk / "filler").unlink()
    assert processes.run("reduce", night, "-o", out)[0] == 0
    assert tree(out).items() <= long_products.items()
    assert len(tree(out)) == 13


def test_a_disk_that_goes_away_stops_the_run_and_nothing_is_written_elsewhere(
    long_night: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "none", folder], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("no permission to mount a file system")
    process = processes.start("reduce", long_night, "-o", folder)
    seen = processes.wait_for(lambda: len(product_paths(folder)) > 5, process)
    subprocess.run(["umount", "-l", folder], check=True)
    assert seen
    status, told = processes.finish(process)
    assert status == 3
    assert "gone" in told or "No such file" in told
    assert list(folder.iterdir()) == []


def test_the_log_tells_what_happened_to_each_frame(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    (make_night.folder / "s-1.fits").write_bytes(b"no frame")
    out = tmp_path / "out"
    assert processes.run("reduce", make_night.folder, "-o", out, "--log-level", "debug")[0] == 1
    records = list(read_log(out))
    assert {record["event"] for record in records} == {
        "run",
        "phase",
        "product",
        "left out",
        "end",
    }
    by_source = {r["source"]: r for r in records if r["event"] == "product"}
    assert set(by_source) == {"MasterDark_10s", "MasterDark_2s", "MasterFlat_V", "s-0.fits"}
    one = by_source["s-0.fits"]
    assert one["outcome"] == "made"
    assert one["n_bytes"] == (out / "s-0c.fits").stat().st_size
    assert one["seconds"] > 0
    assert os.uname().nodename in one["worker"]
    (lost,) = (record for record in records if record["event"] == "left out")
    assert lost["name"] == "s-1.fits"
    assert "SIMPLE" in lost["reason"]
    end = records[-1]
    assert (end["event"], end["outcome"], end["n_made"]) == ("end", "some frames failed", 4)
    assert processes.run("reduce", make_night.folder, "-o", out, "--quiet")[0] == 1
    later = list(read_log(out))[len(records) :]
    assert {r["outcome"] for r in later if r["event"] == "product"} == {"was there"}


def test_a_log_that_a_crash_has_cut_is_read_and_continued(
    make_night: NightMaker, tmp_path: Path
) -> None:
    make_night.standard()
    out = tmp_path / "out"
    reduce_night(open_night(make_night.folder), out)
    log = out / LOG_NAME
    log.write_bytes(log.read_bytes() + b'{"event": "prod')
    reduce_night(open_night(make_night.folder), out)
    events = [record["event"] for record in read_log(out)]
    assert [events.count(name) for name in ("run", "end", "again")] == [1, 1, 1]


def test_quiet_prints_nothing_but_what_went_wrong(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    command = processes.command("reduce", make_night.folder, "-o", tmp_path / "out", "--quiet")
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("", "")
    (make_night.folder / "s-1.fits").write_bytes(b"no frame")
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.startswith("s-1.fits: is not a FITS file")


def test_every_worker_lost_stops_the_run(
    make_night: NightMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_night.standard()
    night = open_night(make_night.folder)
    monkeypatch.setattr("daskred.arrays.masters.median_tile", _kill_worker)
    with pytest.raises(RunError, match="ended every worker"):
        run_forked(night, tmp_path / "out", Options(workers=2, processes=True))
    assert tree(tmp_path / "out") == {}


def _kill_worker(*_: Any) -> Any:
    kill_myself()
