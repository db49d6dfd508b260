"""Carry out tasks: so many at once as there are workers, and again where a worker failed.

Tasks are handed out as workers get free, never more than they can hold, so that their number
matters to nobody's memory. Results come back one by one. What one worker of a cluster cannot read
is tried on another. A task whose worker died runs again, alone so that it is clear whose fault a
further death is; a block of frames is then taken apart; and what has ended three workers is given
up by name.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, replace
from typing import Any, Literal

from daskred.engine.forked import ProcessPool
from daskred.engine.forking import can_fork, n_processors
from daskred.engine.pool import Pool, UnfitWorkerError
from daskred.engine.task import Task
from daskred.engine.threads import ThreadPool
from daskred.model.errors import FrameError, FramesError, RunError

# So many workers may die of one task.
MOST_DEATHS = 3
# Of each worker: one that it works on, and one that waits for it.
_IN_FLIGHT = 2
_TENDED_S = 1.0  # workers, where none has done anything for so long


@dataclass(frozen=True)
class Workers:
    """Where tasks run.

    Parameters
    ----------
    count
        How many at once; None for one for each processor.
    kind
        ``processes``, ``threads``, or ``auto``: processes where they can be forked.
    scheduler
        The address of a running dask cluster's scheduler, or its scheduler file; its workers are
        taken then, all of them.
    time_limit_s
        A task that takes longer is given to another worker, seconds.
    """

    count: int | None = None
    kind: Literal["auto", "processes", "threads"] = "auto"
    scheduler: str | None = None
    time_limit_s: float = 600.0

    @property
    def number(self) -> int:
        """How many at once, on this machine."""
        return self.count or n_processors()


def open_pool(workers: Workers) -> Pool:
    """Start workers on this machine."""
    if workers.kind == "processes" or (workers.kind == "auto" and can_fork()):
        return ProcessPool(workers.number)
    return ThreadPool(workers.number)


@dataclass(frozen=True)
class _Attempt:
    """A task that is under way, or is to be tried again; a suspect alone, so that it is certain."""

    task: Task
    n_deaths: int = 0
    n_late: int = 0  # how often it took too long, and its worker was ended for it
    suspect: bool = False
    elsewhere: bool = False  # whether another worker could not read what it reads
    avoid: frozenset[str] = frozenset()
    deadline: float = 0.0


class Executor:
    """Carries out tasks in a pool.

    Parameters
    ----------
    pool
        Who works.
    time_limit_s
        How long a task may take, seconds.
    """

    def __init__(self, pool: Pool, time_limit_s: float = 600.0) -> None:
        self._pool = pool
        self._time_limit_s = time_limit_s

    @property
    def n_workers(self) -> int:
        """How many tasks are worked on at once."""
        return self._pool.n_workers

    @property
    def n_parts(self) -> int:
        """Into how many tasks work is cut at least, so that all workers have some until the end."""
        return 4 * self.n_workers

    def run(
        self, tasks: Iterable[Task], meanwhile: Callable[[], object] | None = None
    ) -> Iterator[tuple[Task, Any]]:
        """Yield each task with its result, as they are done.

        Of a block that had to be taken apart, the parts come one by one; an item that was given up
        has a `FrameError` for its result. Something may be done once, here, while the first tasks
        are under way.

        Raises
        ------
        FramesError
            Naming the frames that tasks could not read, when all that was under way has ended.
        RunError
            When a task that cannot be taken apart ends every worker.
        Exception
            What else a task raised; whoever closes the pool drops what has not begun then.
        """
        fresh = iter(tasks)
        flying: dict[Future[Any], _Attempt] = {}
        suspects: deque[_Attempt] = deque()
        broken: dict[str, FrameError] = {}
        while True:
            self._hand_out(fresh if not broken else iter(()), suspects, flying)
            if meanwhile:
                meanwhile()
                meanwhile = None
            if not flying:
                break
            dead = []
            for future in self._landed(flying):
                attempt = flying.pop(future)
                again = self._elsewhere(attempt, self._pool.done_by(future))
                try:
                    result = future.result()
                except BrokenExecutor as error:
                    dead.append((attempt, error))
                except UnfitWorkerError:
                    suspects.append(attempt)
                except FramesError as error:
                    if again:
                        suspects.append(again)
                    else:
                        broken |= {broken_file.path: broken_file for broken_file in error.errors}
                else:
                    yield from _read(attempt.task, result, again, suspects)
            if dead:
                yield from self._after_deaths(dead, suspects)
        if broken:
            raise FramesError(tuple(broken.values()))

    def _hand_out(
        self,
        fresh: Iterator[Task],
        suspects: deque[_Attempt],
        flying: dict[Future[Any], _Attempt],
    ) -> None:
        """Keep workers busy; a suspect flies alone."""
        while len(flying) < _IN_FLIGHT * self._pool.n_workers:
            waiting = bool(suspects) and suspects[0].suspect
            if flying and (waiting or any(attempt.suspect for attempt in flying.values())):
                return
            if suspects:
                attempt = suspects.popleft()
            elif (task := next(fresh, None)) is not None:
                attempt = _Attempt(task)
            else:
                return
            # It may have to wait for its turn, which is counted with it.
            limit_s = self._time_limit_s * _IN_FLIGHT
            attempt = replace(attempt, deadline=time.monotonic() + limit_s)
            flying[self._pool.submit(attempt.task, attempt.avoid)] = attempt

    def _landed(self, flying: dict[Future[Any], _Attempt]) -> set[Future[Any]]:
        """Wait for tasks that are done, and end those that take too long."""
        while True:
            first = min(attempt.deadline for attempt in flying.values())
            limit_s = min(max(first - time.monotonic(), 0), _TENDED_S)
            done, _ = wait(flying, limit_s, FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenExecutor) for future in done):
                # What was under way beside it ends now too.
                return wait(flying).done if self._pool.dies_together else done
            if done:
                return done
            self._pool.tend()
            now = time.monotonic()
            for future, attempt in list(flying.items()):
                if attempt.deadline <= now:
                    self._pool.give_up(future)
                    flying[future] = replace(
                        attempt,
                        n_late=attempt.n_late + 1,
                        deadline=now + self._time_limit_s,
                    )

    def _elsewhere(self, attempt: _Attempt, worker: str) -> _Attempt | None:
        """Return an attempt by another worker than one; None where there is none, or was one."""
        if not worker or attempt.elsewhere:
            return None
        return replace(attempt, elsewhere=True, avoid=attempt.avoid | {worker})

    def _after_deaths(
        self, dead: Sequence[tuple[_Attempt, BrokenExecutor]], suspects: deque[_Attempt]
    ) -> Iterator[tuple[Task, Any]]:
        """Try again, and give up what has ended too many workers."""
        self._pool.renew()
        together = self._pool.dies_together
        for attempt, error in dead:
            # Of several that were under way, nobody knows which one it was, unless the pool does.
            certain = len(dead) == 1 if together else getattr(error, "certain", True)
            certain = certain or attempt.suspect
            n_deaths = attempt.n_deaths + (getattr(error, "n_deaths", 1) if certain else 0)
            worker = getattr(error, "worker", "")
            again = replace(
                attempt,
                suspect=together or not certain or attempt.suspect,
                n_deaths=n_deaths,
                avoid=attempt.avoid | {worker} if worker else attempt.avoid,
            )
            parts = attempt.task.parts() if n_deaths or not together else []
            if parts:
                suspects.extend(replace(again, task=part, n_deaths=0, n_late=0) for part in parts)
            elif n_deaths < MOST_DEATHS:
                suspects.append(again)
            elif attempt.task.items:
                yield attempt.task, [FrameError(attempt.task.paths[0], self._fate(attempt))]
            else:
                raise RunError(
                    f"stopped: a task {self._fate(attempt)}, perhaps for want of memory; what is"
                    " done stays, the same command goes on from there; --memory and --workers ask"
                    " for less"
                )

    def _fate(self, attempt: _Attempt) -> str:
        """Return what became of a task that is given up."""
        if attempt.n_late >= MOST_DEATHS:
            limit = f"{self._time_limit_s:g} s, the time limit of a task"
            return f"took longer than {limit}, {MOST_DEATHS} times; --time-limit allows more"
        return f"ended every worker that took it, {MOST_DEATHS} times"

    def close(self, at_once: bool = False) -> None:
        """Let the workers go."""
        self._pool.close(at_once)

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Nobody waits for work that nobody wants any more.
        self.close(at_once=kind is not None)


def _has_errors(task: Task, result: Any) -> bool:
    return bool(task.items) and any(isinstance(found, FrameError) for found in result)


def _read(
    task: Task, result: Any, again: _Attempt | None, suspects: deque[_Attempt]
) -> Iterator[tuple[Task, Any]]:
    """Yield a result, but for items that could not be read, where that is to be tried again."""
    if not again or not _has_errors(task, result):
        yield task, result
        return
    for part, found in zip(task.parts() or [task], result, strict=True):
        if isinstance(found, FrameError):
            suspects.append(replace(again, task=part))
        else:
            yield part, [found]


def active_client() -> Any:
    """Return the `dask.distributed` client that a notebook has, or None."""
    # A client exists only where distributed was imported; importing it to ask costs 0.3 s.
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.get_client()
    except ValueError:
        return None
