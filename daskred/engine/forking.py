"""Whether this process may be forked, how often it is worth it, and children that end with it."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_expendable = False
_MOMENTS_S = 0.0, 0.001, 0.004


def can_fork() -> bool:
    """Whether this process may be forked: on Linux, as long as it has one thread."""
    if sys.platform != "linux" or threading.active_count() > 1:
        return False
    # Threads of libraries, as those of BLAS, are known to the system only. There, one that has
    # ended stands for a moment more.
    for pause_s in _MOMENTS_S:
        time.sleep(pause_s)
        if len(list(Path("/proc/self/task").iterdir())) == 1:
            return True
    return False


@contextmanager
def frozen() -> Iterator[None]:
    """Let children that are forked meanwhile share what there is now.

    Where they looked for garbage in it, they would get a copy of all of it.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def n_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux tells which
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def end_with_parent(parent: int) -> None:
    """See to it that this process, a child, ends when its parent does, however that may be."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


_HELD_BACK = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_back() -> Iterator[None]:
    """Let signals wait: children are started whole, or not at all."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def is_expendable() -> bool:
    """Whether this process was forked to work for another, which does without it if it crashes."""
    return _expendable


def become_child(parent: int) -> None:
    """Leave signals of the terminal to the parent, and end when it does."""
    global _expendable
    _expendable = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)
    end_with_parent(parent)
