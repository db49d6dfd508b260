"""Where tasks run, and how their progress is told.

Tasks of this package are many short calls into numpy, for each of which a thread has to win the
interpreter lock back; two threads are hardly faster than one, two processes nearly twice. So a run
forks itself, before it has threads of its own, which costs no start-up. Where it cannot, or the
user has set up a scheduler for dask, a `dask.distributed` client included, it takes what there is.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from daskred.blocks import Task

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

OnResult = Callable[[Any], None]
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Workers:
    """Where tasks run.

    Parameters
    ----------
    count
        How many at once; None for one for each processor.
    kind
        ``processes``, ``threads``, or ``auto``: processes where they can be forked.
    """

    count: int | None = None
    kind: Literal["auto", "processes", "threads"] = "auto"

    @property
    def number(self) -> int:
        """How many at once."""
        if self.count:
            return self.count
        if hasattr(os, "sched_getaffinity"):  # Linux tells which processors this process may use
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1


def user_scheduler() -> bool:
    """Whether the user has set up a scheduler, or a distributed client."""
    import dask

    if dask.config.get("scheduler", None) is not None:
        return True
    # A client exists only where distributed was imported; importing it to ask costs 0.3 s.
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return False
    try:
        distributed.get_client()
    except ValueError:
        return False
    return True


def _can_fork() -> bool:
    """Whether this process may be forked: on Linux, as long as it has one thread."""
    if sys.platform != "linux" or threading.active_count() > 1:
        return False
    # Threads of libraries, as those of BLAS, are known to the system only.
    return len(list(Path("/proc/self/task").iterdir())) == 1


def _become_worker(parent: int) -> None:
    """Leave signals of the terminal to the parent, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _process_pool(workers: Workers) -> ProcessPoolExecutor | None:
    """Start worker processes; None where threads are to do the work."""
    forking = _can_fork()
    if workers.kind == "threads" or (
        workers.kind == "auto" and (workers.number == 1 or not forking)
    ):
        return None
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    import dask.multiprocessing  # noqa: F401 - what is imported before the fork, nobody imports again

    context = multiprocessing.get_context("fork" if forking else "spawn")
    pool = ProcessPoolExecutor(workers.number, context, _become_worker, (os.getpid(),))
    if forking:
        pool.submit(os.getpid).result()  # forks all of them now, before there are threads
    return pool


class Executor:
    """Carries out tasks.

    Parameters
    ----------
    workers
        Where tasks run; None for the scheduler that the user has set up, or else as it seems best.
    most
        No more than so many workers, whatever was asked for.
    """

    def __init__(self, workers: Workers | None = None, most: int | None = None) -> None:
        self.workers = workers or Workers()
        if most is not None and most < self.workers.number:
            self.workers = replace(self.workers, count=most)
        self._owns = workers is not None or not user_scheduler()
        self._pool = _process_pool(self.workers) if self._owns else None

    @contextlib.contextmanager
    def _getter(self) -> Iterator[Callable[..., Any]]:
        """Give the function of dask that carries out graphs, set up for this run.

        Asking dask for the scheduler imports `distributed`, which costs 0.3 s; so only the user's
        is asked for.
        """
        import dask

        if not self._owns:
            from dask.base import get_scheduler

            yield get_scheduler() or importlib.import_module("dask.threaded").get
        elif self._pool:
            # One task at a time: in batches, as dask sends them, one worker waits for the other.
            with dask.config.set(pool=self._pool, chunksize=1):
                yield importlib.import_module("dask.multiprocessing").get
        else:
            with dask.config.set(num_workers=self.workers.number):
                yield importlib.import_module("dask.threaded").get

    @property
    def n_parts(self) -> int:
        """Into how many tasks work is cut at least, so that all workers have some until the end."""
        return 4 * self.workers.number

    def run(self, tasks: Sequence[Task], on_result: OnResult | None = None) -> list[Any]:
        """Carry out independent tasks, and return their results in order.

        Parameters
        ----------
        tasks
            As `daskred.stack` makes them.
        on_result
            Called with each result when it is there, in this thread; with a scheduler of the
            user's, when all are there.

        Raises
        ------
        Exception
            What the first task that failed raised.
        """
        from dask.callbacks import Callback

        # Names of tasks never repeat: a cluster would take a result that it has for the answer.
        name = secrets.token_hex(8)
        graph = {f"{name}-{number}": task for number, task in enumerate(tasks)}
        seen: set[str] = set()

        def after(key: str, result: Any, *_: object) -> None:
            if key in graph and on_result:
                seen.add(key)
                on_result(result)

        with self._getter() as get, Callback(posttask=after):
            results = list(get(graph, list(graph)))
        if on_result and not seen:
            for result in results:
                on_result(result)
        return results

    def close(self) -> None:
        """End the worker processes that were started; what has not begun is dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
