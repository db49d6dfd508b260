"""Workers that are threads of this process, where it cannot be forked: in a notebook, on macOS."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from daskred.engine.task import Task, compute


class ThreadPool:
    """Threads of this process."""

    dies_together = False

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self._pool = ThreadPoolExecutor(n_workers)

    def submit(self, task: Task, avoid: frozenset[str]) -> Future[Any]:
        """Hand out a task."""
        return self._pool.submit(compute, task.graph, task.key)

    def done_by(self, future: Future[Any]) -> str:
        """Return nobody: all are of this process."""
        return ""

    def give_up(self, future: Future[Any]) -> None:
        """Do nothing: a thread cannot be ended."""

    def tend(self) -> None:
        """Do nothing: a thread dies with its process only."""

    def renew(self) -> None:
        """Do nothing: a thread dies with its process only."""

    def close(self, at_once: bool) -> None:
        """Let the threads go; what has not begun is dropped."""
        self._pool.shutdown(cancel_futures=True)
