"""Workers that are processes of this machine: they may end at any moment, and nobody waits."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from daskred.engine.executor import Executor
from daskred.engine.forked import ProcessPool
from daskred.engine.task import Task
from daskred.model.errors import RunError
from tests import processes
from tests.conftest import NightMaker

N_BYTES = 20 * 10**6  # it takes most of a task's time to give them back


def _large(number: int) -> bytes:
    return bytes([number]) * N_BYTES


def _tasks(count: int) -> list[Task]:
    return [Task(("large", n), {("large", n): (_large, n)}) for n in range(count)]


@pytest.mark.parametrize("seed", range(2))
def test_a_worker_that_is_killed_while_it_gives_back_a_result_is_replaced(seed: int) -> None:
    with Executor(ProcessPool(2)) as executor:
        results = executor.run(_tasks(12))
        numbers = [next(results)[1][0]]
        killed = threading.Timer(
            0.003 * seed, os.kill, (processes.children(os.getpid())[-1], signal.SIGKILL)
        )
        killed.start()
        numbers += [result[0] for _, result in results]
    assert sorted(numbers) == list(range(12))


@pytest.mark.parametrize("seed", range(2))
def test_workers_end_at_once_also_while_they_give_back_results(seed: int) -> None:
    executor = Executor(ProcessPool(2))
    results = executor.run(_tasks(12))
    next(results)
    time.sleep(0.003 * seed)
    before = time.monotonic()
    executor.close(at_once=True)
    assert time.monotonic() - before < 10


def test_workers_that_cannot_be_forked_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("daskred.engine.forked.can_fork", lambda: True)
    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(RunError, match=r"cannot be started: .*temporarily unavailable; --workers"):
        ProcessPool(2)


@pytest.mark.parametrize("megabytes", [40, 110])
def test_a_run_without_memory_ends_and_leaves_nothing_in_the_way(
    make_night: NightMaker, tmp_path: Path, megabytes: int
) -> None:
    make_night.standard()
    words = " ".join(map(str, processes.command("reduce", make_night.folder, "-o", tmp_path / "o")))
    ended = subprocess.run(
        ["sh", "-c", f"ulimit -v {megabytes * 1000} && exec {words}"],
        capture_output=True,
        text=True,
        timeout=processes.DEADLINE_S,
        check=False,
    )
    # Libraries, and Python itself, may abort where they find no memory.
    assert ended.returncode in (0, 1, 3, -signal.SIGABRT)
    assert ended.stderr.strip()
    assert processes.run("reduce", make_night.folder, "-o", tmp_path / "o")[0] == 0
