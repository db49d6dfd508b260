"""Workers of a dask cluster: one look at each before any work, then tasks one by one.

Whatever starts the cluster gives an address: dask's own command line, dask-jobqueue on a batch
system, Kubernetes, Coiled. Frames and products lie in folders that all its machines share. Pixels
never travel: tasks read files, and give back receipts.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from daskred import __version__
from daskred.blocks import Task
from daskred.errors import RequestError, RunError
from daskred.execute import MOST_DEATHS
from daskred.fitswrite import TEMPORARY_MARK
from daskred.pools import WorkerDiedError
from daskred.storage import read_range

# How long a cluster may be without any worker, seconds: one that grows with its work starts so.
_PATIENCE_S = 120.0
_ASIDE_S = 1.0
_PACKAGES = ("numpy", "astropy")


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


@dataclass(frozen=True)
class Needs:
    """What a worker must have before any work is given to it.

    Parameters
    ----------
    out
        The folder of products.
    mark
        A file in it, which is there if it is the same folder.
    frame
        A frame of the night.
    least_bytes
        What one task takes of a worker's memory.
    """

    out: str
    mark: str
    frame: str
    least_bytes: int


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"daskred": __version__} | {name: version(name) for name in _PACKAGES}


def _look(needs: Needs, versions: dict[str, str], dask_worker: Any = None) -> str:
    """Run on a worker: say what it lacks, or nothing."""
    own = _versions()
    for name, wanted in versions.items():
        if own[name] != wanted:
            return f"has {name} {own[name]}, and this program {wanted}; install the same there"
    try:
        read_range(needs.frame, 0, memoryview(bytearray(80)))
    except OSError as error:
        return f"cannot read the night: {needs.frame}: {error.strerror or error}"
    if not Path(needs.out, needs.mark).exists():
        return f"does not see {needs.out}; the folder of products must be one that all share"
    probe = Path(needs.out, f"{TEMPORARY_MARK}{secrets.token_hex(8)}")
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return f"cannot write to {needs.out}: {error.strerror or error}"
    limit = getattr(getattr(dask_worker, "memory_manager", None), "memory_limit", None)
    if limit and limit < needs.least_bytes * dask_worker.state.nthreads:
        least = -(-needs.least_bytes * dask_worker.state.nthreads // 10**6)
        return f"has {limit // 10**6} MB of memory; {least} MB would do"
    return ""


def check_workers(client: Any, out: Path, frames: Sequence[str], least_bytes: int) -> None:
    """See that every worker can do the work.

    Raises
    ------
    RequestError
        Naming the worker, and what it lacks.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while not client.scheduler_info(n_workers=-1)["workers"]:
        if time.monotonic() > deadline:
            raise RequestError(f"the cluster at {client.scheduler.address} has no workers")
        time.sleep(_ASIDE_S)
    mark = out / f"{TEMPORARY_MARK}{secrets.token_hex(8)}"
    mark.write_bytes(b"")
    needs = Needs(str(out), mark.name, frames[0], least_bytes)
    try:
        found = client.run(_look, needs, _versions(), on_error="return")
    finally:
        mark.unlink(missing_ok=True)
    for worker, lack in sorted(found.items()):
        if isinstance(lack, ModuleNotFoundError):
            lack = f"has no {lack.name}; install there what runs here"
        if isinstance(lack, BaseException):
            lack = f"cannot do the work: {lack!r}"
        if lack:
            raise RequestError(f"worker {worker} {lack}")


def _carry_out(task: Task, version: str) -> Any:
    """Run on a worker, which may have come after the others were looked at."""
    if version != __version__:
        raise RunError(f"a worker has daskred {__version__}, and this program {version}")
    try:
        return task()
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
            _carry_out, task, __version__, pure=False, workers=others or None
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
            _settle(local, WorkerDiedError(MOST_DEATHS))
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
            if deserted > _PATIENCE_S:
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
