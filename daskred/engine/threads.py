"""Workers that are threads of this process, where it cannot be forked: in a notebook, on macOS."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from daskred.engine.pool import WorkerDiedError, settle
from daskred.engine.task import Task, compute
from daskred.model.errors import RunError

_AT_ONCE_S = 3.0  # how long a run that is stopped waits for tasks that are under way


class ThreadPool:
    """Threads of this process. One that hangs is left alone, and another takes its place."""

    dies_together = False

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self._waiting: SimpleQueue[tuple[Future[Any], Task] | None] = SimpleQueue()
        self._threads: set[threading.Thread] = set()
        self._busy: dict[Future[Any], threading.Thread] = {}
        self._lock = threading.Lock()  # of the two above
        try:
            for _ in range(n_workers):
                self._start()
        except BaseException:
            self.close(at_once=True)
            raise

    def _start(self) -> None:
        # One that hangs must not hold up the end of the program.
        thread = threading.Thread(target=self._work, daemon=True)
        with self._lock:
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:
            with self._lock:
                self._threads.discard(thread)
            text = "is there memory left? --workers asks for fewer"
            raise RunError(f"stopped: no thread can be started: {error}; {text}") from error

    def _work(self) -> None:
        thread = threading.current_thread()
        is_wanted = True
        while is_wanted and (given := self._waiting.get()):
            future, task = given
            with self._lock:
                self._busy[future] = thread
            try:
                settle(future, compute(task.graph, task.key))
            except BaseException as error:
                settle(future, error)
            with self._lock:
                self._busy.pop(future, None)
                is_wanted = thread in self._threads
            del given, future, task  # what they hold is not kept until the next one comes

    def submit(self, task: Task, avoid: frozenset[str]) -> Future[Any]:
        """Hand out a task."""
        future: Future[Any] = Future()
        self._waiting.put((future, task))
        return future

    def done_by(self, future: Future[Any]) -> str:
        """Return nobody: all are of this process."""
        return ""

    def give_up(self, future: Future[Any]) -> None:
        """Leave a thread alone that hangs, since it cannot be ended, and start another.

        What it does when it goes on is of no use to anybody, and does no harm: files get their
        names from whoever waits for them.
        """
        with self._lock:
            thread = self._busy.pop(future, None)
            if thread is None:
                return  # the task waits for a thread, or has just been done
            self._threads.discard(thread)
        self._start()
        settle(future, WorkerDiedError(1))

    def tend(self) -> None:
        """Do nothing: a thread dies with its process only."""

    def renew(self) -> None:
        """Do nothing: a thread that hangs has been replaced already."""

    def close(self, at_once: bool) -> None:
        """Let the threads go; what has not begun is dropped."""
        with contextlib.suppress(Empty):
            while True:
                self._waiting.get_nowait()
        with self._lock:
            threads, self._threads = self._threads, set()
        for _ in threads:
            self._waiting.put(None)
        end = time.monotonic() + _AT_ONCE_S
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0.0) if at_once else None)
