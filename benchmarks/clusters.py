"""A dask cluster as its users start one: a scheduler and workers, each a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_PATIENCE_S = 60.0


@contextmanager
def _dask(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run dask's own command line, and end it afterwards."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def cluster(n_workers: int) -> Iterator[str]:
    """Start a cluster on this machine; give the name of its scheduler file."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp())
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        file = folder / "scheduler.json"
        common = ("--scheduler-file", file, "--no-dashboard")
        scheduler = stack.enter_context(_dask("scheduler", "--port", 0, *common))
        deadline = time.monotonic() + _PATIENCE_S
        while not file.exists():
            if scheduler.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("no dask scheduler could be started")
            time.sleep(0.1)
        for number in range(n_workers):
            own = ("--nthreads", 1, "--local-directory", folder / str(number))
            stack.enter_context(_dask("worker", *common, *own))
        from distributed import Client

        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(n_workers, timeout=_PATIENCE_S)
        yield str(file)
