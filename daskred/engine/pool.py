"""Who carries out tasks, wherever that is: what every engine must do."""

from __future__ import annotations

import contextlib
from concurrent.futures import BrokenExecutor, Future, InvalidStateError
from typing import Any, Protocol

from daskred.engine.task import Task


class WorkerDiedError(BrokenExecutor):
    """What a task has for an exception whose worker died.

    Parameters
    ----------
    n_deaths
        How many workers it has ended by now, as far as the pool counts them.
    worker
        Whom to avoid from now on; empty for nobody.
    certain
        Whether it was this task that ended them, and not one that was beside it on the worker.
    """

    def __init__(self, n_deaths: int, worker: str = "", certain: bool = True) -> None:
        super().__init__(n_deaths, worker, certain)
        self.n_deaths = n_deaths
        self.worker = worker
        self.certain = certain


class UnfitWorkerError(Exception):
    """What a task has for an exception whose worker cannot do the work, as one that came late.

    Parameters
    ----------
    worker
        Its address.
    lack
        What it lacks.
    """

    def __init__(self, worker: str, lack: str) -> None:
        super().__init__(worker, lack)
        self.worker = worker
        self.lack = lack


class Pool(Protocol):
    """Who carries out tasks, wherever that is.

    A task whose worker died has the exception `concurrent.futures.BrokenExecutor`; one whose worker
    cannot do the work, `UnfitWorkerError`, and no other task is given to that worker.
    """

    @property
    def n_workers(self) -> int:
        """How many tasks run at once."""

    @property
    def dies_together(self) -> bool:
        """Whether the death of one worker ends all, so that nobody knows whose fault it was."""

    def submit(self, task: Task, avoid: frozenset[str]) -> Future[Any]:
        """Hand out a task, not to workers that are to be avoided where there are others."""

    def done_by(self, future: Future[Any]) -> str:
        """Return the worker that has done a task, where another may see what it does not.

        Empty where there is no other, or all are of one machine.
        """

    def give_up(self, future: Future[Any]) -> None:
        """End a task that hangs, and its worker, whose death is seen like any other."""

    def tend(self) -> None:
        """See, now and then, that no dead worker is waited for."""

    def renew(self) -> None:
        """Make workers anew where a death has ended all of them."""

    def close(self, at_once: bool) -> None:
        """Let the workers go, when they have done what they are at, or at once."""


def settle(future: Future[Any], outcome: Any) -> None:
    """Give a future its result or exception, unless it was settled, or cancelled, before."""
    with contextlib.suppress(InvalidStateError):
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
