"""Workers that are processes of this machine.

Tasks of this package are many short calls into numpy, for each of which a thread has to win the
interpreter lock back; two threads are hardly faster than one, two processes nearly twice. So a run
forks itself, before it has threads of its own, which costs no start-up.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from typing import Any

from daskred.engine.forking import become_child, can_fork, frozen, held_back
from daskred.engine.task import Task, compute
from daskred.model.errors import RunError

_START_S = 30.0  # what takes longer has no thread, or no memory, to go on with


# That watch workers, and feed them.
_WATCHERS = 2


def _check_threads() -> None:
    """Raise RunError where no threads can be started that watch workers: nobody would tell."""
    over = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(_WATCHERS):
            thread = threading.Thread(target=over.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError as error:
        text = "is there memory left, or a limit of processes?"
        raise RunError(f"stopped: workers cannot be started: {error}; {text}") from error
    finally:
        over.set()
        for thread in started:
            thread.join()


class ProcessPool:
    """Worker processes: forked where that is safe, so that they need not import anything."""

    dies_together = True

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self._start()

    def _start(self) -> None:
        _check_threads()
        forking = can_fork()
        context = multiprocessing.get_context("fork" if forking else "spawn")
        self._pool = ProcessPoolExecutor(self.n_workers, context, become_child, (os.getpid(),))
        if not forking:
            return
        try:
            with held_back(), frozen():
                # Forks all of them now, before there are threads.
                self._pool.submit(os.getpid).result(_START_S)
        except BrokenExecutor as error:
            raise RunError("stopped: workers end as soon as they are started") from error
        except (OSError, RuntimeError) as error:
            self._kill()
            why = str(error) or "none answers; is there memory left?"
            text = "--workers asks for fewer"
            raise RunError(f"stopped: workers cannot be started: {why}; {text}") from error
        except BaseException:
            self.close(at_once=True)
            raise

    def submit(self, task: Task, avoid: frozenset[str]) -> Future[Any]:
        """Hand out a task."""
        try:
            return self._pool.submit(compute, task.graph, task.key)
        except BrokenExecutor:  # one has died while nobody waited for it
            self.renew()
            return self._pool.submit(compute, task.graph, task.key)

    def done_by(self, future: Future[Any]) -> str:
        """Return nobody: all are of this machine."""
        return ""

    def give_up(self, future: Future[Any]) -> None:
        """End all workers: nobody knows which of them has the task."""
        self._kill()

    def tend(self) -> None:
        """End all workers where one has died giving back a result, which the others wait for."""
        workers = list((self._pool._processes or {}).values())
        if any(process.exitcode is not None for process in workers):
            self._kill()

    def _kill(self) -> None:
        # Python 3.14 has kill_workers() for it.
        for process in list((self._pool._processes or {}).values()):
            with contextlib.suppress(OSError, ValueError):  # it has ended already
                process.kill()
        # Half a result may be in the pipe; who waits for the rest must see that nobody writes it.
        if results := getattr(self._pool, "_result_queue", None):
            results._writer.close()

    def renew(self) -> None:
        """Start anew after a death, which has ended all workers."""
        self._pool.shutdown()
        self._start()

    def close(self, at_once: bool) -> None:
        """Let the workers go; what has not begun is dropped."""
        if at_once:
            self._kill()
        self._pool.shutdown(cancel_futures=True)
