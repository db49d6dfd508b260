"""Where tasks run, and how their progress is told.

Without workers of its own a run takes whatever scheduler dask has been set up with, a
`dask.distributed` client included.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import dask.array as da

OnBlock = Callable[[Any], None]


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
    """Computes lazy arrays, block after block.

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

    def compute(self, array: da.Array, on_block: OnBlock | None = None) -> NDArray[Any]:
        """Compute an array.

        Parameters
        ----------
        array
            Any lazy array.
        on_block
            Called with each block when it is done, in this thread; with a scheduler of the
            user's, when all are done.

        Raises
        ------
        Exception
            What the first task that failed raised.
        """
        from dask.callbacks import Callback
        from dask.core import flatten

        keys = set(flatten(array.__dask_keys__()))
        seen: set[Any] = set()

        def after(key: Any, result: Any, *_: object) -> None:
            if key in keys and on_block:
                seen.add(key)
                on_block(result)

        with self._configured(), Callback(posttask=after):
            result = np.asarray(array.compute())
        if on_block and not seen:
            on_block(result)
        return result

    def close(self) -> None:
        """End the worker processes that were started."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
