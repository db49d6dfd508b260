"""Workers on this machine: processes, or threads.

Tasks of this package are many short calls into numpy, for each of which a thread has to win the
interpreter lock back; two threads are hardly faster than one, two processes nearly twice. So a run
forks itself, before it has threads of its own, which costs no start-up. Where it cannot, as in a
notebook, threads do the work.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, Protocol

from daskred.blocks import Task
from daskred.errors import RunError
from daskred.isolation import can_fork, end_with


class WorkerDiedError(BrokenExecutor):
    """What a task has for an exception whose worker died.

    Parameters
    ----------
    n_deaths
        How many workers it has ended by now, as far as the pool counts them.
    worker
        Whom to avoid from now on; empty for nobody.
    """

    def __init__(self, n_deaths: int, worker: str = "") -> None:
        super().__init__(n_deaths, worker)
        self.n_deaths = n_deaths
        self.worker = worker


class Pool(Protocol):
    """Who carries out tasks, wherever that is.

    A task whose worker died has the exception `concurrent.futures.BrokenExecutor`.
    """

    @property
    def n_workers(self) -> int:
        """How many tasks run at once."""

    @property
    def dies_together(self) -> bool:
        """Whether the death of one worker ends all, so that nobody knows whose fault it was."""

    def submit(self, task: Task, avoid: frozenset[str]) -> Future[Any]:
        """Hand out a task, not to workers that are to be avoided where there are others."""

    def give_up(self, future: Future[Any]) -> None:
        """End a task that hangs, and its worker, whose death is seen like any other."""

    def renew(self) -> None:
        """Make workers anew where a death has ended all of them."""

    def close(self, at_once: bool) -> None:
        """Let the workers go, when they have done what they are at, or at once."""


def _become_worker(parent: int) -> None:
    """Leave signals of the terminal to the parent, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with(parent)


def _carry_out(task: Task) -> Any:
    return task()


class ProcessPool:
    """Worker processes: forked where that is safe, so that they need not import anything."""

    dies_together = True

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self._pool = self._started()

    def _started(self) -> ProcessPoolExecutor:
        forking = can_fork()
        context = multiprocessing.get_context("fork" if forking else "spawn")
        pool = ProcessPoolExecutor(self.n_workers, context, _become_worker, (os.getpid(),))
        if forking:
            try:
                pool.submit(os.getpid).result()  # forks all of them now, before there are threads
            except BrokenExecutor as error:
                raise RunError("stopped: workers end as soon as they are started") from error
        return pool

    def submit(self, task: Task, avoid: frozenset[str]) -> Future[Any]:
        """Hand out a task."""
        try:
            return self._pool.submit(_carry_out, task)
        except BrokenExecutor:  # one has died while nobody waited for it
            self.renew()
            return self._pool.submit(_carry_out, task)

    def give_up(self, future: Future[Any]) -> None:
        """End all workers: nobody knows which of them has the task."""
        self._kill()

    def _kill(self) -> None:
        # Python 3.14 has kill_workers() for it.
        for process in list((self._pool._processes or {}).values()):
            with contextlib.suppress(OSError, ValueError):  # it has ended already
                process.kill()

    def renew(self) -> None:
        """Start anew after a death, which has ended all workers."""
        self._pool.shutdown()
        self._pool = self._started()

    def close(self, at_once: bool) -> None:
        """Let the workers go; what has not begun is dropped."""
        if at_once:
            self._kill()
        self._pool.shutdown(cancel_futures=True)


class ThreadPool:
    """Threads of this process."""

    dies_together = False

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self._pool = ThreadPoolExecutor(n_workers)

    def submit(self, task: Task, avoid: frozenset[str]) -> Future[Any]:
        """Hand out a task."""
        return self._pool.submit(_carry_out, task)

    def give_up(self, future: Future[Any]) -> None:
        """Do nothing: a thread cannot be ended."""

    def renew(self) -> None:
        """Do nothing: a thread dies with its process only."""

    def close(self, at_once: bool) -> None:
        """Let the threads go; what has not begun is dropped."""
        self._pool.shutdown(cancel_futures=True)
