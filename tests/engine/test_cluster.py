"""A real dask cluster on localhost: the same bytes, workers that die, schedulers that go away.

There are many cases, each short, which makes the file longer than others.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daskred import FrameError, RequestError, RunError, open_night, reduce_night
from daskred.engine.cluster import ClusterPool
from daskred.engine.executor import Executor
from daskred.engine.task import Task
from daskred.products.log import read_log
from daskred.run.cluster import check_workers
from tests import processes
from tests.cluster import WORKER, Cluster, science
from tests.conftest import NightMaker, tree


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    own = Cluster(tmp_path)
    with own.stack:
        yield own


def disturbed(cluster: Cluster, night: Path, out: Path) -> subprocess.Popen[str]:
    """Start a run on the cluster, and wait until it is in the middle of the science frames."""
    process = processes.start("reduce", night, "-o", out, "--scheduler", cluster.file)
    assert processes.wait_for(lambda: len(science(out)) > 5, process)
    return process


def test_a_cluster_makes_the_same_bytes_also_when_a_worker_is_killed(
    cluster: Cluster, long_night: Path, tmp_path: Path, long_products: dict[str, bytes]
) -> None:
    cluster.add_worker("--no-nanny")
    cluster.add_worker("--no-nanny")
    out = tmp_path / "out"
    process = disturbed(cluster, long_night, out)
    cluster.workers[0].send_signal(signal.SIGKILL)
    status, told = processes.finish(process)
    assert status == 0, told
    assert "dashboard" in told
    assert tree(out) == long_products


def test_a_scheduler_that_goes_away_stops_the_run_which_goes_on_elsewhere(
    cluster: Cluster, long_night: Path, tmp_path: Path, long_products: dict[str, bytes]
) -> None:
    cluster.add_worker("--no-nanny")
    out = tmp_path / "out"
    process = disturbed(cluster, long_night, out)
    cluster.scheduler.send_signal(signal.SIGKILL)
    status, told = processes.finish(process)
    assert status == 3
    assert "scheduler" in told
    assert "gone" in told
    assert "Traceback" not in told
    assert processes.run("reduce", long_night, "-o", out)[0] == 0
    assert tree(out) == long_products


def test_a_client_that_is_killed_is_followed_by_another(
    cluster: Cluster, long_night: Path, tmp_path: Path, long_products: dict[str, bytes]
) -> None:
    cluster.add_worker("--no-nanny")
    out = tmp_path / "out"
    arguments = ("reduce", long_night, "-o", out, "--scheduler", cluster.file)
    process = disturbed(cluster, long_night, out)
    processes.kill_group(process)
    status, told = processes.run(*arguments)
    assert status == 0, told
    assert tree(out) == long_products


def test_ctrl_c_leaves_a_cluster_alone(
    cluster: Cluster, long_night: Path, tmp_path: Path, long_products: dict[str, bytes]
) -> None:
    cluster.add_worker("--no-nanny")
    out = tmp_path / "out"
    arguments = ("reduce", long_night, "-o", out, "--scheduler", cluster.file)
    process = disturbed(cluster, long_night, out)
    sent_at = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    status, told = processes.finish(process)
    assert status == 130
    assert time.monotonic() - sent_at < 15
    assert "stand in" in told
    assert processes.run(*arguments)[0] == 0
    assert tree(out) == long_products


def test_a_worker_that_does_not_see_the_products_is_named(
    cluster: Cluster, long_night: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    script = f"mount -t tmpfs none {out} && exec {sys.executable} -m dask " + " ".join(WORKER)
    options = f" --no-nanny --scheduler-file {cluster.file} --local-directory {tmp_path / 'w'}"
    command = ["unshare", "--mount", "sh", "-c", script + options]
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("no permission for a mount namespace")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        status, told = processes.run("reduce", long_night, "-o", out, "--scheduler", cluster.file)
        worker.kill()
    assert status == 2
    assert re.search(r"worker tcp://\S+ does not see \S+out", told)
    assert [path.name for path in out.iterdir()] == []


WAITING = """
import time
from pathlib import Path
import daskred.arrays.written

if not hasattr(daskred.arrays.written, "sound"):  # a preload may be loaded twice
    daskred.arrays.written.sound = daskred.arrays.written._begun

def waiting(*arguments):
    while not Path("READY").exists():
        time.sleep(0.05)
    return daskred.arrays.written.sound(*arguments)

daskred.arrays.written._begun = waiting
"""


def test_a_worker_that_comes_late_and_sees_no_products_gets_no_work(
    cluster: Cluster, long_night: Path, tmp_path: Path, long_products: dict[str, bytes]
) -> None:
    from distributed import Client

    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no permission for a mount namespace")
    out, ready, script = tmp_path / "out", tmp_path / "ready", tmp_path / "waiting.py"
    out.mkdir()
    script.write_text(WAITING.replace("READY", str(ready)))
    cluster.add_worker("--no-nanny", "--preload", str(script))
    process = processes.start("reduce", long_night, "-o", out, "--scheduler", cluster.file)
    assert processes.wait_for((out / "masters/MasterFlat_BG40.fits").exists, process)
    late = f"mount -t tmpfs none {out} && exec {sys.executable} -m dask " + " ".join(WORKER)
    late += f" --no-nanny --scheduler-file {cluster.file} --local-directory {tmp_path / 'w'}"
    command = ["unshare", "--mount", "sh", "-c", late]
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker,
        Client(scheduler_file=str(cluster.file)) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        time.sleep(3)  # until the run knows of it too, and gives it work
        ready.touch()
        status, told = processes.finish(process)
        worker.kill()
    assert status == 0, told
    assert re.search(r"worker tcp://\S+ gets no work: it does not see \S+out", told)
    assert "Traceback" not in told
    assert tree(out) == long_products


def _hidden_from(worker: str, path: str) -> list[str | FrameError]:
    from distributed import get_worker

    if get_worker().name == worker:
        return [FrameError(path, "cannot be read")]
    return [path]


def test_what_one_worker_cannot_read_is_tried_on_another() -> None:
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as local, Client(local) as client:
        blind = next(iter(client.scheduler_info()["workers"].values()))["name"]
        executor = Executor(ClusterPool(client, owned=False))
        tasks = [
            Task((f"read {n}",), {(f"read {n}",): (_hidden_from, blind, str(n))}, (n,), (str(n),))
            for n in range(12)
        ]
        try:
            found = [result for _, result in executor.run(tasks)]
        finally:
            executor.close()
    assert sorted(found) == sorted([str(n)] for n in range(12))


POISON = """
import os, signal, time
import daskred.arrays.written

if not hasattr(daskred.arrays.written, "sound"):  # a preload may be loaded twice
    daskred.arrays.written.sound = daskred.arrays.written._begun

def poisoned(job, *arguments):
    if job.frame.name == "s-2.fits":
        HOW
    return daskred.arrays.written.sound(job, *arguments)

daskred.arrays.written._begun = poisoned
"""


@pytest.mark.parametrize(
    ("how", "options", "fate"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", (), "ended every worker"),
        ("time.sleep(1000)", ("--time-limit", "1"), "took longer than 1 s"),
    ],
)
def test_a_frame_that_ends_or_holds_every_worker_is_given_up_by_name(
    cluster: Cluster,
    make_night: NightMaker,
    tmp_path: Path,
    how: str,
    options: tuple[str, ...],
    fate: str,
) -> None:
    make_night.standard(n_science=5)
    script = tmp_path / "poison.py"
    script.write_text(POISON.replace("HOW", how))
    for _ in range(2):
        cluster.add_worker("--preload", str(script))
    out = tmp_path / "out"
    arguments = ("reduce", make_night.folder, "-o", out, "--scheduler", cluster.file, *options)
    status, told = processes.run(*arguments)
    assert status == 1, told
    lost = [record for record in read_log(out) if record["event"] == "left out"]
    assert [record["name"] for record in lost] == ["s-2.fits"]
    assert fate in lost[0]["reason"]
    assert sorted(path.name for path in out.glob("s-*")) == [f"s-{n}c.fits" for n in (0, 1, 3, 4)]


def test_a_cluster_that_loses_every_worker_stops_the_run(
    cluster: Cluster, long_night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    from daskred.engine import cluster as cluster_module

    cluster.add_worker("--no-nanny")
    out = tmp_path / "out"
    monkeypatch.setattr(cluster_module, "PATIENCE_S", 2.0)

    def kill_in_the_middle() -> None:
        processes.wait_for(lambda: len(science(out)) > 5)
        cluster.workers[0].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_in_the_middle)
    with Client(scheduler_file=str(cluster.file)) as client:
        client.wait_for_workers(1, timeout=30)
        killer.start()
        with pytest.raises(RunError, match="every worker of the cluster is lost"):
            reduce_night(open_night(long_night), out)
        killer.join()
    assert not [path for path in out.rglob(".*") if path.is_file()]


@pytest.fixture
def second_host() -> Iterator[tuple[str, str]]:
    """Give the name of a network namespace, and this machine's address as it is seen there."""
    name, address = f"daskred-{os.getpid()}", "10.213.7"
    steps = [
        f"ip netns add {name}",
        f"ip link add veth-d0 type veth peer name veth-d1 netns {name}",
        f"ip addr add {address}.1/24 dev veth-d0",
        "ip link set veth-d0 up",
        f"ip -n {name} addr add {address}.2/24 dev veth-d1",
        f"ip -n {name} link set veth-d1 up",
        f"ip -n {name} link set lo up",
    ]
    try:
        for step in steps:
            made = shutil.which("ip") and subprocess.run(
                step.split(), capture_output=True, check=False
            )
            if not made or made.returncode:
                pytest.skip("no permission for a network namespace, or no ip command")
        yield name, f"{address}.1"
    finally:
        if shutil.which("ip"):
            for step in (f"ip netns del {name}", "ip link del veth-d0"):
                subprocess.run(step.split(), capture_output=True, check=False)


def test_workers_on_another_host_make_the_same_bytes(
    second_host: tuple[str, str], long_night: Path, tmp_path: Path, long_products: dict[str, bytes]
) -> None:
    name, address = second_host
    file = tmp_path / "scheduler.json"
    options = ("--scheduler-file", file)
    with (
        processes.dask_process("scheduler", "--host", address, "--port", 0, *options) as scheduler,
        processes.dask_process(
            *WORKER, "--no-nanny", *options, "--local-directory", tmp_path, namespace=name
        ),
    ):
        assert processes.wait_for(file.exists, scheduler)
        out = tmp_path / "out"
        status, told = processes.run("reduce", long_night, "-o", out, "--scheduler", file)
    assert status == 0, told
    assert tree(out) == long_products


def test_workers_are_looked_at_before_any_work(long_night: Path, tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    frames = [frame.path for frame in open_night(long_night / "dark").frames]
    options = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": ":0"}
    with LocalCluster(memory_limit="1GB", **options) as local, Client(local) as client:
        check_workers(client, tmp_path, frames, 400 * 10**6, print)
        with pytest.raises(RequestError, match=r"worker tcp://\S+ has 1000 MB.* 1600 MB would do"):
            check_workers(client, tmp_path, frames, 800 * 10**6, print)
        with pytest.raises(RequestError, match=r"worker tcp://\S+ cannot read the night: /nowhere"):
            check_workers(client, tmp_path, ["/nowhere/a.fits"], 1, print)

        def pretend() -> None:
            import daskred.run.cluster

            setattr(daskred.run.cluster, "__version__", "0.0.1")  # noqa: B010

        client.run(pretend)
        with pytest.raises(RequestError, match=r"worker tcp://\S+ has daskred 0\.0\.1, and this"):
            check_workers(client, tmp_path, frames, 1, print)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "no-such-folder/file.json"])
def test_a_scheduler_that_is_not_there_is_told(
    long_night: Path, tmp_path: Path, address: str
) -> None:
    out = tmp_path / "out"
    status, told = processes.run("reduce", long_night, "-o", out, "--scheduler", address)
    assert status == 2
    assert f"--scheduler {address}" in told
    assert not out.exists()


def test_a_scheduler_that_starts_at_the_same_time_is_waited_for(
    cluster: Cluster, night: Path, tmp_path: Path
) -> None:
    """Its file comes a little later, and at first it holds half of what it will."""
    file, out = tmp_path / "late.json", tmp_path / "out"
    cluster.add_worker()
    process = processes.start("reduce", night, "-o", out, "--scheduler", file)
    time.sleep(1.5)
    text = cluster.file.read_text()
    file.write_text(text[: len(text) // 2])
    time.sleep(0.5)
    file.write_text(text)
    status, told = processes.finish(process)
    assert status == 0, told
    assert len(science(out)) == 7


class OfThisTaskAloneError(Exception):
    """An error that cannot be sent: it is made from two values, and pickled with one."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def _fail() -> None:
    raise OfThisTaskAloneError("no", "luck")


def test_an_error_that_cannot_be_sent_is_told_all_the_same() -> None:
    from distributed import Client, LocalCluster

    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as local, Client(local) as client:
        pool = ClusterPool(client, owned=False)
        executor = Executor(pool)
        try:
            with pytest.raises(RunError, match="OfThisTaskAloneError: no luck"):
                list(executor.run([Task(("fail",), {("fail",): (_fail,)})]))
        finally:
            executor.close()


def test_a_client_that_a_notebook_has_is_used(
    long_night: Path, tmp_path: Path, long_products: dict[str, bytes]
) -> None:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local,
        Client(local) as client,
    ):
        reduce_night(open_night(long_night), tmp_path / "out")
        assert client.status == "running"
        (log,) = (tmp_path / "out").glob("*.jsonl")
        nannies = client.run(os.getpid)
        assert any(f":{pid}" in log.read_text() for pid in nannies.values())
    assert tree(tmp_path / "out") == long_products
