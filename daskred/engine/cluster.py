"""Workers of a dask cluster: tasks are handed to them one by one.

Whatever starts the cluster gives an address: dask's own command line, dask-jobqueue on a batch
system, Kubernetes, Coiled. Frames and products lie in folders that all its machines share. Pixels
never travel: tasks read files, and give back receipts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from daskred.engine.executor import MOST_DEATHS
from daskred.engine.pool import UnfitWorkerError, WorkerDiedError, settle
from daskred.engine.task import Graph, Key, Task, compute
from daskred.model.errors import FrameError, FramesError, RequestError, RunError

# How long a cluster may be without any worker, seconds: one that grows with its work starts so.
PATIENCE_S = 120.0
_ASIDE_S = 1.0
_STARTS_S = 10.0  # a scheduler has been started by then
_SOON_S = 3.0  # after so long it is told that workers are waited for
_log = logging.getLogger(__name__)


def _is_written(path: Path) -> bool:
    """Whether a scheduler has written its file, or does so soon: both may start together."""
    end = time.monotonic() + (_STARTS_S if path.parent.is_dir() else 0.0)
    while True:
        try:
            return isinstance(json.loads(path.read_text()), dict)
        except (OSError, ValueError):
            if time.monotonic() >= end:
                return path.is_file()
        time.sleep(0.1)


def connect(address: str) -> Any:
    """Join a running cluster by its scheduler's address or scheduler file.

    Raises
    ------
    RequestError
        When there is none, or it does not answer.
    """
    import distributed

    where = {"address": address} if "://" in address else {"scheduler_file": address}
    if "scheduler_file" in where and not _is_written(Path(address)):
        raise RequestError(f"--scheduler {address}: no such file, and no address like tcp://...")
    try:
        client = distributed.Client(**where, set_as_default=False, timeout="10s")
    except (OSError, TimeoutError, ValueError) as error:
        raise RequestError(
            f"--scheduler {address}: no dask scheduler answers there: {error}"
        ) from error
    # What it would say of a lost scheduler is said once, in plain words, by the pool.
    for name in ("distributed.client", "distributed.batched"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return client


def waiting_for_workers(client: Any) -> str:
    """Say that a cluster has no workers, and how long is waited for some."""
    return (
        f"waiting for workers: the cluster at {client.scheduler.address} has none;"
        f" {PATIENCE_S:g} s at most"
    )


Look = Callable[[Any], str]
_fit: set[Look] = set()  # of this worker, which was looked at


def _carry_out(graph: Graph, key: Key, look: Look | None) -> tuple[str, Any]:
    """Run on a worker: return its address, and what came of a task, or why files cannot be used.

    It may have come after the others were looked at.
    """
    import distributed

    worker = distributed.get_worker()
    address = str(worker.address)
    if look and look not in _fit:
        if lack := look(worker):
            raise UnfitWorkerError(address, lack)
        _fit.add(look)
    try:
        return address, compute(graph, key)
    except (FrameError, FramesError) as error:
        return address, error
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
    look
        Says what the worker lacks that it is called on, or nothing: once, before its first task.
    say
        Told of workers that get no work.
    """

    dies_together = False

    def __init__(
        self,
        client: Any,
        owned: bool,
        look: Look | None = None,
        say: Callable[[str], None] = _log.warning,
    ) -> None:
        self._client, self._owned = client, owned
        self._look, self._say = look, say
        self._unfit: dict[str, str] = {}
        self._done_by: dict[Future[Any], str] = {}
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
        local: Future[Any] = Future()
        fit = [worker for worker in self._workers if worker not in self._unfit]
        if self._unfit and not fit:
            worker, lack = next(iter(self._unfit.items()))
            text = "what is done stays, and the same command goes on from there"
            local.set_exception(RunError(f"stopped: worker {worker} {lack}; {text}"))
            return local
        others = [worker for worker in fit if worker not in avoid] or fit
        some = others if len(others) < len(self._workers) else None
        # The dashboard groups tasks by what stands before the last hyphen.
        name = f"{str(task.key[0]).replace(' ', '-')}-{uuid4().hex}"
        remote = self._client.submit(
            _carry_out, task.graph, task.key, self._look, key=name, workers=some
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
            self._done_by[local], result = remote.result()
        except UnfitWorkerError as error:
            if error.worker not in self._unfit:
                self._unfit[error.worker] = error.lack
                self._say(f"worker {error.worker} gets no work: it {error.lack}")
            settle(local, error)
        except distributed.KilledWorker:
            # Also what has only waited on these workers is counted there.
            settle(local, WorkerDiedError(MOST_DEATHS, certain=False))
        except CancelledError:  # nobody cancels what somebody waits for, unless all is lost
            settle(local, RunError(self._lost()))
        except Exception as error:
            settle(local, error)
        else:
            settle(local, result)

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
            if _SOON_S < deserted <= _SOON_S + _ASIDE_S:
                self._say(waiting_for_workers(self._client))
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
            settle(local, error)
            with contextlib.suppress(Exception):  # nobody may be there to hear it
                remote.cancel(force=True)

    def done_by(self, future: Future[Any]) -> str:
        """Return the worker that has done a task; nobody where there is no other."""
        worker = self._done_by.pop(future, "")
        return worker if self._workers.keys() - self._unfit.keys() - {worker} else ""

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
        settle(future, WorkerDiedError(1, whom))

    def tend(self) -> None:
        """Do nothing: another thread watches the cluster."""

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


def _who_has(key: str, dask_scheduler: Any = None) -> str:
    """Run on the scheduler: return the address of the worker that has a task."""
    task = dask_scheduler.tasks.get(key)
    worker = getattr(task, "processing_on", None)
    return str(worker.address) if worker else ""
