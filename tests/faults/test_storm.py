"""A cluster in a storm: whatever can happen to it happens during one night, again and again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from daskred import open_night, reduce_night, simulate
from daskred.products.log import read_log
from tests import processes
from tests.cluster import Cluster, science
from tests.conftest import tree

# `DASKRED_STORM=20000 pytest tests/faults/test_storm.py` reduces more frames.
N_SCIENCE = int(os.environ.get("DASKRED_STORM", "600"))
N_WORKERS = 3
LULL_S = (0.05, 0.5)
PAUSE_S = 1.0
EVENTS = ("kill", "kill", "pause", "second run", "kill")
# So many of them in each run; then the scheduler goes, and takes the run with it.
EVENTS_PER_RUN = (1, 3, 6)
DEADLINE_S = 60 + N_SCIENCE / 50
MOST_RUNS = 3 + N_SCIENCE // 200
RNG = random.Random(7)


def worker_pids(cluster: Cluster) -> list[int]:
    """Return the workers; each has a nanny, which starts it anew."""
    children = [pid for nanny in cluster.workers for pid in processes.children(nanny.pid)]
    return [pid for pid in children if "spawn_main" in command_of(pid)]


def command_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def disturb(
    event: str, cluster: Cluster, run: subprocess.Popen[str], arguments: tuple[object, ...]
) -> None:
    """Kill a worker, hold one for a while, or start a second run into the same folder."""
    if event == "second run":
        status, told = processes.finish(processes.start(*arguments), DEADLINE_S)
        assert run.poll() is not None or (status == 2 and "another run" in told), told
    elif pids := worker_pids(cluster):
        pid = RNG.choice(pids)
        with contextlib.suppress(ProcessLookupError):  # it may just have ended
            if event == "kill":
                os.kill(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGSTOP)
                time.sleep(PAUSE_S)
                os.kill(pid, signal.SIGCONT)


def more_products(out: Path, n_before: int) -> bool:
    return len(science(out)) > n_before


def test_a_storm_costs_nothing_but_time(tmp_path: Path) -> None:
    night, quiet, out = tmp_path / "night", tmp_path / "quiet", tmp_path / "out"
    simulate(night, shape=(96, 128), n_darks=5, n_flats=5, n_science=N_SCIENCE, seed=5)
    reduce_night(open_night(night), quiet)
    cluster = Cluster(tmp_path)
    happened: list[str] = []
    statuses: list[int] = []
    with cluster.stack:
        for _ in range(N_WORKERS):
            cluster.add_worker()
        arguments = ("reduce", night, "-o", out, "--scheduler", cluster.file)
        for n_events in islice(cycle(EVENTS_PER_RUN), MOST_RUNS):
            has_begun = partial(more_products, out, len(science(out)))
            run = processes.start(*arguments)
            processes.wait_for(has_begun, run, DEADLINE_S)
            for event in islice(cycle(EVENTS), n_events):
                time.sleep(RNG.uniform(*LULL_S))
                if run.poll() is None:
                    disturb(event, cluster, run, arguments)
                    happened.append(event)
            if run.poll() is None:
                cluster.restart()
                happened.append("scheduler")
            status, told = processes.finish(run, DEADLINE_S)
            assert status in (0, 1, 3), told
            assert "Traceback" not in told
            statuses.append(status)
            if status == 0:
                break
    assert statuses[-1] == 0
    assert {"kill", "scheduler"} <= set(happened)
    assert tree(out) == tree(quiet)
    assert not [record for record in read_log(out) if record["event"] == "left out"]
