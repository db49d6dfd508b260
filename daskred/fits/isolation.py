"""Work that may crash or hang in foreign code, done in a forked process of its own.

Decompressors written in C have been seen to overwrite memory when a stream is damaged.
"""

from __future__ import annotations

import mmap
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.engine.forking import can_fork, end_with_parent

_SECONDS = 120.0
_FAILED = 3


def isolated(
    work: Callable[[], NDArray[Any]], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return the array that work returns, where it can be done in a process of its own.

    Parameters
    ----------
    work
        Returns an array of this shape, and of a type that can be cast to this one.
    shape, dtype
        Of the result.

    Raises
    ------
    RuntimeError
        When the work crashes, hangs or raises; with what it raised, where it did.

    Examples
    --------
    >>> isolated(lambda: np.arange(3), (3,), np.dtype("i4")).tolist()
    [0, 1, 2]
    """
    if not can_fork():  # threads might hold what the child needs; so here nothing is isolated
        try:
            return work()
        except Exception as error:
            raise RuntimeError(str(error)) from error
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    shared = mmap.mmap(-1, max(n_bytes, 1))
    told, tell = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        status = _FAILED
        try:
            end_with_parent(parent)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the reason is told once, by the parent
            result: NDArray[Any] = np.frombuffer(shared, dtype, int(np.prod(shape))).reshape(shape)
            np.copyto(result, work(), casting="same_kind")
            status = 0
        except BaseException as error:
            os.write(tell, str(error).encode()[:2000])
        finally:
            os._exit(status)
    os.close(tell)
    try:
        status = _waited(child)
        reason = os.read(told, 2000).decode(errors="replace")
    finally:
        os.close(told)
    if status == 0:
        return np.frombuffer(shared, dtype, int(np.prod(shape))).reshape(shape)
    if os.WIFSIGNALED(status):
        ended = signal.Signals(os.WTERMSIG(status)).name
        reason = f"they hang the decompressor, or crash it ({ended})"
    raise RuntimeError(reason)


def _waited(child: int) -> int:
    """Wait for a process, not for ever; return its status."""
    deadline = time.monotonic() + _SECONDS
    pause = 0.0002
    ended = status = 0
    try:
        while not ended and time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended:
                time.sleep(pause)
                pause = min(2 * pause, 0.01)
    finally:
        if not ended:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
    return status
