"""Work that may crash or hang in foreign code, done in a process of its own.

Decompressors written in C have been seen to overwrite memory when a stream is damaged. Where this
process may be forked, a child does the work. Where it may not, since it has threads, a helper does
it: another process of this program, started once, which has no threads and forks in its turn.
"""

from __future__ import annotations

import atexit
import errno
import mmap
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.engine.forking import can_fork, end_with_parent

_SECONDS = 120.0
_MOMENT_S = 1.0
_FAILED = 3
# What is wanted of the machine, and not of the file.
_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC}
# A child needs so much memory, so many times what it returns, and what its caller allows for the
# file; a damaged stream may ask for everything.
_SPARE_BYTES = 2**29
_SPARE_TIMES = 8

Work = Callable[[], NDArray[Any]]


def tried(work: Callable[[], NDArray[Any] | None]) -> NDArray[Any] | None:
    """Return what work returns, done here; what it raises is told as `isolated` tells it."""
    try:
        return work()
    except MemoryError as error:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from error
    except Exception as error:
        if _number_of(error):
            raise
        raise RuntimeError(str(error) or type(error).__name__) from error


def isolated(
    work: Work, shape: tuple[int, ...], dtype: np.dtype[Any], room: int = 0
) -> NDArray[Any]:
    """Return the array that work returns, done in a process of its own.

    Parameters
    ----------
    work
        Returns an array of this shape, and of a type that can be cast to this one. It can be
        pickled where this process has threads.
    shape, dtype
        Of the result.
    room
        How many bytes the work may need beyond some copies of the result.

    Raises
    ------
    RuntimeError
        When the work crashes, hangs or raises; with what it raised, where it did.
    OSError
        When there is no process, memory or open file left for it.

    Examples
    --------
    >>> from functools import partial
    >>> isolated(partial(np.arange, 3), (3,), np.dtype("i4")).tolist()
    [0, 1, 2]
    """
    if can_fork():
        return _forked(work, shape, dtype, room)
    helper = _borrowed()
    try:
        found = helper.ask(work, shape, dtype, room)
    except BaseException:
        helper.end()
        raise
    _idle.append(helper)
    if isinstance(found, Exception):
        raise found
    return found


def _forked(work: Work, shape: tuple[int, ...], dtype: np.dtype[Any], room: int) -> NDArray[Any]:
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    shared = mmap.mmap(-1, max(n_bytes, 1))
    told, tell = os.pipe()
    parent = os.getpid()
    try:
        child = os.fork()
    except OSError as error:
        os.close(told)
        os.close(tell)
        text = f"no process can be started to unpack pixels: {error.strerror}"
        raise OSError(error.errno, text) from error
    if child == 0:
        status = _FAILED
        try:
            end_with_parent(parent)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):  # the reason is told once, by the parent
                os.dup2(nowhere, stream)
            _limit_memory(_SPARE_BYTES + _SPARE_TIMES * n_bytes + room)
            result: NDArray[Any] = np.frombuffer(shared, dtype, int(np.prod(shape))).reshape(shape)
            np.copyto(result, work(), casting="same_kind")
            status = 0
        except BaseException as error:
            text = str(error) or type(error).__name__
            os.write(tell, f"{_number_of(error)} {text}".encode()[:2000])
        finally:
            os._exit(status)
    os.close(tell)
    try:
        status = _waited(child, told)
        number, _, reason = os.read(told, 2000).decode(errors="replace").partition(" ")
    finally:
        os.close(told)
    if status == 0:
        return np.frombuffer(shared, dtype, int(np.prod(shape))).reshape(shape)
    if os.WIFSIGNALED(status):
        ended = signal.Signals(os.WTERMSIG(status)).name
        reason = f"they hang the decompressor, or crash it ({ended})"
    elif lack := int(number or 0):
        raise OSError(lack, os.strerror(lack))
    raise RuntimeError(reason or "the decompressor ended without a word")


def _number_of(error: BaseException) -> int:
    """Return the number of what the machine lacks; 0 for other errors."""
    number = error.errno if isinstance(error, OSError) else 0
    return number if number in _SHORT else 0


def _limit_memory(n_bytes: int) -> None:
    """Allow this process so much more memory than it has now."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + n_bytes
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        if most == resource.RLIM_INFINITY or limit < most:
            resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def _waited(child: int, told: int) -> int:
    """Wait for a process, not for ever; return its status. Its end ends the pipe that it tells."""
    ended = status = 0
    try:
        waiting = select.poll()  # which knows no largest number of a file
        waiting.register(told)
        waiting.poll(_SECONDS * 1000)
        deadline = time.monotonic() + _MOMENT_S  # it has said why it ends, or has ended
        while not ended and time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended:
                time.sleep(_MOMENT_S / 1000)
    finally:
        if not ended:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
    return status


class _Helper:
    """A process that does work for one that has threads."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        # Nothing in the folder where this runs may stand in for a module (-P).
        command = [sys.executable, "-P", "-c", f"from {__name__} import serve; serve()"]
        folders = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
        # Threads of BLAS would forbid the helper, too, to fork.
        one = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **one, "PYTHONPATH": folders},
        )

    def ask(self, *request: Any) -> NDArray[Any] | Exception:
        """Have work done; return its result, or what it raised."""
        assert self._process.stdin
        assert self._process.stdout
        late = threading.Timer(2 * _SECONDS, self._process.kill)
        late.start()
        try:
            pickle.dump(request, self._process.stdin)
            self._process.stdin.flush()
            answer: NDArray[Any] | Exception = pickle.load(self._process.stdout)
        except Exception:
            self._process.kill()
            ended = self._process.wait()
            return RuntimeError(f"they hang the decompressor, or crash it (it ended with {ended})")
        finally:
            late.cancel()
        return answer

    @property
    def is_usable(self) -> bool:
        """Whether this very process has started it, and it is there still."""
        return self._owner == os.getpid() and self._process.poll() is None

    def end(self) -> None:
        """End the process, whatever it does."""
        if self._owner == os.getpid():
            self._process.kill()
            self._process.communicate()


_idle: list[_Helper] = []
_borrowing = threading.Lock()


def _borrowed() -> _Helper:
    """Return a helper that nobody has work for."""
    with _borrowing:
        while _idle:
            helper = _idle.pop()
            if helper.is_usable:
                return helper
            helper.end()
        return _Helper()


@atexit.register
def _end_helpers() -> None:
    while _idle:
        _idle.pop().end()


def serve() -> None:
    """Do what is asked for on the standard input until that ends: what a helper runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal; the parent hears it
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # nothing that anybody prints may come between answers
    with suppress(ImportError):  # here, and not in each of those that are forked
        import astropy.io.fits  # noqa: F401
    while True:
        try:
            work, shape, dtype, room = pickle.load(requests)
        except EOFError:
            return
        answer: NDArray[Any] | Exception
        try:
            if can_fork():
                answer = _forked(work, shape, dtype, room)
            else:  # where no process can be forked at all, this one has nothing to lose but itself
                answer = np.empty(shape, dtype)
                np.copyto(answer, work(), casting="same_kind")
        except Exception as error:
            kind = OSError if isinstance(error, OSError) else RuntimeError
            answer = kind(*error.args)
        pickle.dump(answer, answers)
        answers.flush()
