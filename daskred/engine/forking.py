"""Whether this process may be forked, and children that end with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def can_fork() -> bool:
    """Whether this process may be forked: on Linux, as long as it has one thread."""
    if sys.platform != "linux" or threading.active_count() > 1:
        return False
    # Threads of libraries, as those of BLAS, are known to the system only.
    return len(list(Path("/proc/self/task").iterdir())) == 1


def end_with_parent(parent: int) -> None:
    """See to it that this process, a child, ends when its parent does, however that may be."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
