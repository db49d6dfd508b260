"""A real dask cluster on this machine, each part of it a process."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests import processes

WORKER = ("worker", "--nthreads", "1", "--no-dashboard", "--death-timeout", "60")


def science(out: Path) -> list[Path]:
    """Return the science frames that are calibrated."""
    return list(out.glob("ktwo*/ktwo*c.fits"))


class Cluster:
    """A scheduler and workers, each a process of dask's own command line."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self.folder = folder
        self.stack = ExitStack()
        self.workers: list[subprocess.Popen[str]] = []
        self.start_scheduler()

    def start_scheduler(self) -> None:
        self.file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1"
        )
        assert processes.wait_for(self.file.exists, self.scheduler)

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        options = ("--scheduler-file", str(self.file))
        return self.stack.enter_context(processes.dask_process(*arguments, *options))

    def add_worker(self, *options: str) -> subprocess.Popen[str]:
        own = ("--local-directory", str(self.folder / f"worker-{len(self.workers)}"))
        self.workers.append(self._start(*WORKER, *own, *options))
        return self.workers[-1]

    def restart(self) -> None:
        """End the scheduler, and then all its workers, and start as many anew."""
        processes.kill_group(self.scheduler)
        n_workers = len(self.workers)
        for worker in self.workers:
            processes.kill_group(worker)
        self.workers.clear()
        self.start_scheduler()
        for _ in range(n_workers):
            self.add_worker()
