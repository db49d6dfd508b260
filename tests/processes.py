"""Real daskred processes, to be killed, stopped and watched."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

DEADLINE_S = 60.0


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "daskred.cli", *map(str, arguments)]


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a command as the leader of a process group of its own."""
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], deadline_s: float = DEADLINE_S) -> tuple[int, str]:
    """Wait for a process; return its status, and what it printed on stderr."""
    _, told = process.communicate(timeout=deadline_s)
    return process.returncode, told


def run(*arguments: object) -> tuple[int, str]:
    return finish(start(*arguments))


def kill_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_for(
    condition: Callable[[], object],
    process: subprocess.Popen[str] | None = None,
    deadline_s: float = DEADLINE_S,
) -> bool:
    """Wait until something is true; False where a process ended before."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if condition():
            return True
        if process and process.poll() is not None:
            return False
        time.sleep(0.002)
    raise TimeoutError("what was waited for did not happen")


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, from whichever of its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    return found


@contextlib.contextmanager
def dask_process(
    *arguments: object, namespace: str | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run dask's own command line, as ``dask scheduler``, and end it afterwards.

    A network namespace is another host on the same machine.
    """
    there = ["ip", "netns", "exec", namespace] if namespace else []
    process = subprocess.Popen(
        [*there, sys.executable, "-m", "dask", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
