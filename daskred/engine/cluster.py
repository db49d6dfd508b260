"""Workers of a dask cluster: tasks are handed to them one by one.

Whatever starts the cluster gives an address: dask's own command line, dask-jobqueue on a batch
system, Kubernetes, Coiled. Frames and products lie in folders that all its machines share. Pixels
never travel: tasks read files, and give back receipts.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import threading
from concurrent.futures import CancelledError, Future, InvalidStateError
from functools import partial
from pathlib import Path
from typing import Any

from daskred import __version__
from daskred.engine.executor import MOST_DEATHS
from daskred.engine.pool import WorkerDiedError
from daskred.engine.task import Graph, Key, Task, compute
from daskred.model.errors import RequestError, RunError

# How long a cluster may be without any worker, seconds: one that grows with its work starts so.
PATIENCE_S = 120.0
_ASIDE_S = 1.0


def connect(address: str) -> Any:
    """Join a running cluster by its scheduler's address or scheduler file.

    Raises
    ------
    RequestError
        When there is none, or it does not answer.
    """
    import distributed

    where = {"address": address} if "://" in address else {"scheduler_file": address}
    if "scheduler_file" in where and not Path(address).is_file():
        raise RequestError(f"--scheduler {address}: no such file, and no address like tcp://...")
    try:
        client = distributed.Client(**where, set_as_default=False, timeout="10s")
    except (OSError, TimeoutError, ValueError) as error:
        raise RequestError(
            f"--scheduler {address}: no dask scheduler answers there: {error}"
        ) from error
    # What it would say of a lost scheduler is said once, in plain words, by the pool.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    return client


def _carry_out(graph: Graph, key: Key, version: str) -> Any:
    """Run on a worker, which may have come after the others were looked at."""
    if version != __version__:
        raise RunError(f"a worker has daskred {__version__}, and this program {version}")
    try:
        return compute(graph, key)
    except Exception as error:
        if _travels(error):
            raise
        # What cannot be sent back would be waited for until the time limit.
        raise RunError(f"stopped: a task failed: {type(error).__name__}: {error}") from None


def _travels(error: Exception) -> bool:
    """Whether an error can be sent from one process to another."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True


class ClusterPool:
    """The workers of a dask cluster.

    Parameters
    ----------
    client
        A `distributed.Client`.
    owned
        Whether it is closed with the pool.
    """

    dies_together = False

    def __init__(self, client: Any, owned: bool) -> None:
        self._client, self._owned = client, owned
        self._remote: dict[Future[Any], Any] = {}
        self._workers: dict[str, Any] = dict(client.scheduler_info(n_workers=-1)["workers"])
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._watch_cluster, daemon=True)
        self._watch.start()

    @property
    def n_workers(self) -> int:
        """Threads of all workers; they may come and go."""
        return max(1, sum(int(worker["nthreads"]) for worker in self._workers.values()))

    def submit(self, task: Task, avoid: frozenset[str]) -> Future[Any]:
        """Hand out a task."""
        others = [worker for worker in self._workers if worker not in avoid] if avoid else []
        local: Future[Any] = Future()
        remote = self._client.submit(
            _carry_out, task.graph, task.key, __version__, pure=False, workers=others or None
        )
        self._remote[local] = remote
        remote.add_done_callback(partial(self._pass_on, local))
        return local

    def _pass_on(self, local: Future[Any], remote: Any) -> None:
        """Give a task's outcome to whoever waits for it."""
        import distributed

        if self._remote.pop(local, None) is None:
            return  # it was given up
        try:
            result = remote.result()
        except distributed.KilledWorker:
            # Also what has only waited on these workers is counted there.
            _settle(local, WorkerDiedError(MOST_DEATHS, certain=False))
        except CancelledError:  # nobody cancels what somebody waits for, unless all is lost
            _settle(local, RunError(self._lost()))
        except Exception as error:
            _settle(local, error)
        else:
            _settle(local, result)

    def _lost(self) -> str:
        return (
            f"stopped: the scheduler at {self._client.scheduler.address} is gone; what is done"
            " stays, and the same command on a new cluster goes on from there"
        )

    def _watch_cluster(self) -> None:
        """Fail what is under way where nobody is left to do it."""
        deserted = 0.0
        while not self._closed.wait(_ASIDE_S):
            if self._client.status in ("closed", "closing"):
                self._fail(RunError(self._lost()))
                return
            with contextlib.suppress(Exception):  # the client itself notices a lost scheduler
                self._workers = dict(self._client.scheduler_info(n_workers=-1)["workers"])
            deserted = 0.0 if self._workers else deserted + _ASIDE_S
            if deserted > PATIENCE_S:
                self._fail(
                    RunError(
                        "stopped: every worker of the cluster is lost; what is done stays, and the"
                        " same command goes on from there when there are workers again"
                    )
                )
                return

    def _fail(self, error: Exception) -> None:
        for local, remote in list(self._remote.items()):
            self._remote.pop(local, None)
            _settle(local, error)
            with contextlib.suppress(Exception):  # nobody may be there to hear it
                remote.cancel(force=True)

    def give_up(self, future: Future[Any]) -> None:
        """Take a task from a worker that hangs with it, and end that worker."""
        remote = self._remote.get(future)
        if remote is None:
            return
        whom = self._client.run_on_scheduler(_who_has, key=remote.key)
        if not whom or self._remote.pop(future, None) is None:
            return  # it waits for a worker, or has just been done
        remote.cancel(force=True)
        with contextlib.suppress(Exception):  # without a nanny it cannot be ended, but avoided
            self._client.restart_workers([whom], timeout=10, raise_for_error=False)
        _settle(future, WorkerDiedError(1, whom))

    def renew(self) -> None:
        """Do nothing: the cluster replaces its workers itself."""

    def close(self, at_once: bool) -> None:
        """Leave the cluster; what is under way is taken back."""
        self._closed.set()
        for remote in list(self._remote.values()):
            with contextlib.suppress(Exception):  # the scheduler may be gone
                remote.cancel(force=True)
        self._remote.clear()
        self._watch.join(2 * _ASIDE_S)
        if self._owned:
            self._client.close(timeout=2)


def _settle(local: Future[Any], outcome: Any) -> None:
    """Give a future its result or exception, unless it was settled, or cancelled, before."""
    with contextlib.suppress(InvalidStateError):
        if isinstance(outcome, BaseException):
            local.set_exception(outcome)
        else:
            local.set_result(outcome)


def _who_has(key: str, dask_scheduler: Any = None) -> str:
    """Run on the scheduler: return the address of the worker that has a task."""
    task = dask_scheduler.tasks.get(key)
    worker = getattr(task, "processing_on", None)
    return str(worker.address) if worker else ""
