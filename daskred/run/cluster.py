"""One look at each worker of a cluster before any work is given to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskred import __version__
from daskred.engine.cluster import PATIENCE_S, waiting_for_workers
from daskred.fits.parts import part_in
from daskred.fits.storage import read_range
from daskred.model.errors import RequestError

_ASIDE_S = 1.0
_PACKAGES = ("numpy", "astropy")


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
    versions
        Of packages, that must be the same.
    """

    out: str
    mark: str
    frame: str
    least_bytes: int
    versions: tuple[tuple[str, str], ...]

    def lack(self, dask_worker: Any = None) -> str:
        """Run on a worker: say what it lacks, or nothing."""
        for (name, installed), (_, wanted) in zip(_versions(), self.versions, strict=True):
            if installed != wanted:
                return f"has {name} {installed}, and this program {wanted}; install the same there"
        try:
            read_range(self.frame, 0, memoryview(bytearray(80)))
        except OSError as error:
            return f"cannot read the night: {self.frame}: {error.strerror or error}"
        if not Path(self.out, self.mark).exists():
            return f"does not see {self.out}; the folder of products must be one that all share"
        probe = part_in(Path(self.out))
        try:
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            return f"cannot write to {self.out}: {error.strerror or error}"
        limit = getattr(getattr(dask_worker, "memory_manager", None), "memory_limit", None)
        if limit and limit < self.least_bytes * dask_worker.state.nthreads:
            least = -(-self.least_bytes * dask_worker.state.nthreads // 10**6)
            return f"has {limit // 10**6} MB of memory; {least} MB would do"
        return ""


def _versions() -> tuple[tuple[str, str], ...]:
    from importlib.metadata import version

    return (("daskred", __version__), *((name, version(name)) for name in _PACKAGES))


def needs_of_work(out: Path, mark: str, frames: Sequence[str], least_bytes: int) -> Needs:
    """Return what workers must have."""
    return Needs(str(out), mark, frames[0], least_bytes, _versions())


def check_workers(
    client: Any,
    out: Path,
    frames: Sequence[str],
    least_bytes: int,
    say: Callable[[str], None],
) -> None:
    """See that every worker can do the work; where there is none yet, say so and wait.

    Raises
    ------
    RequestError
        Naming the worker, and what it lacks.
    """
    deadline = time.monotonic() + PATIENCE_S
    if not client.scheduler_info(n_workers=-1)["workers"]:
        say(waiting_for_workers(client))
    while not client.scheduler_info(n_workers=-1)["workers"]:
        if time.monotonic() > deadline:
            raise RequestError(f"the cluster at {client.scheduler.address} has no workers")
        time.sleep(_ASIDE_S)
    mark = part_in(out)
    mark.write_bytes(b"")
    needs = needs_of_work(out, mark.name, frames, least_bytes)
    try:
        found = client.run(needs.lack, on_error="return")
    finally:
        mark.unlink(missing_ok=True)
    for worker, lack in sorted(found.items()):
        if isinstance(lack, ModuleNotFoundError):
            lack = f"has no {lack.name}; install there what runs here"
        if isinstance(lack, BaseException):
            lack = f"cannot do the work: {lack!r}"
        if lack:
            raise RequestError(f"worker {worker} {lack}")
