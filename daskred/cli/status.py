"""Exit statuses."""

from __future__ import annotations

from daskred.model.errors import DaskredError, RequestError, RunError

ALL_DONE, SOME_FAILED, WRONG_REQUEST, STOPPED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143

IN_WORDS = """
exit status:
  0  all done
  1  done, but some frames failed; each is named with the reason
  2  the request itself was wrong, and nothing was written
  3  stopped, as by a full disk; what is done stays, and the same command goes on from there
  130, 143  interrupted; what is done stays, and the same command goes on from there
"""


class Terminated(KeyboardInterrupt):
    """The system asks to stop, as Ctrl-C does."""


def status_of(error: BaseException) -> int:
    """Return the exit status of what has ended a command.

    Examples
    --------
    >>> status_of(RequestError("no such folder")), status_of(KeyboardInterrupt())
    (2, 130)
    """
    if isinstance(error, KeyboardInterrupt):
        return TERMINATED if isinstance(error, Terminated) else INTERRUPTED
    if isinstance(error, RequestError):
        return WRONG_REQUEST
    is_of_frames = isinstance(error, DaskredError) and not isinstance(error, RunError)
    return SOME_FAILED if is_of_frames else STOPPED
