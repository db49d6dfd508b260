"""Where tasks run, and how their progress is told.

Without workers of its own a run takes whatever scheduler dask has been set up with, a
`dask.distributed` client included.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from daskred.stack import Task

OnResult = Callable[[Any], None]


@dataclass(frozen=True)
class Workers:
    """Where tasks run.

    Parameters
    ----------
    count
        How many at once; None for one for each processor.
    processes
        Whether they are processes; threads otherwise.
    """

    count: int | None = None
    processes: bool = False

    @property
    def number(self) -> int:
        """How many at once."""
        return self.count or len(os.sched_getaffinity(0))


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


class Executor:
    """Carries out tasks.

    Parameters
    ----------
    workers
        Where tasks run; None for the scheduler that the user has set up, or else threads.
    """

    def __init__(self, workers: Workers | None = None) -> None:
        self.workers = workers or Workers()
        self._pool: Any = None
        self._owns = workers is not None or not user_scheduler()

    @property
    def n_parts(self) -> int:
        """Into how many tasks work is cut at least, so that all workers have some until the end."""
        return 4 * self.workers.number

    @contextlib.contextmanager
    def _configured(self) -> Iterator[None]:
        import dask

        if not self._owns:
            yield
            return
        if self.workers.processes:
            if self._pool is None:
                import multiprocessing
                from concurrent.futures import ProcessPoolExecutor

                # Children of a process with threads must not be forks of it.
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(self.workers.number, context)
            settings = {"scheduler": "processes", "pool": self._pool}
        else:
            settings = {"scheduler": "threads", "num_workers": self.workers.number}
        with dask.config.set(settings):
            yield

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
        import dask.threaded
        from dask.base import get_scheduler
        from dask.callbacks import Callback

        # Names of tasks never repeat: a cluster would take a result that it has for the answer.
        name = secrets.token_hex(8)
        graph = {f"{name}-{number}": task for number, task in enumerate(tasks)}
        seen: set[str] = set()

        def after(key: str, result: Any, *_: object) -> None:
            if key in graph and on_result:
                seen.add(key)
                on_result(result)

        with self._configured(), Callback(posttask=after):
            results = list((get_scheduler() or dask.threaded.get)(graph, list(graph)))
        if on_result and not seen:
            for result in results:
                on_result(result)
        return results

    def close(self) -> None:
        """End the worker processes that were started."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
