"""Short pieces of work, many of them, shared with forked helpers.

Nobody sees the helpers: where this process cannot be forked it does all the work itself, and what a
helper had taken that ended early is done again here.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from daskred.engine.forking import become_child, can_fork, frozen, held_back, n_processors

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_MOST_HELPERS = 7
_WORTH_A_HELPER = 32  # items: a fork and the way back cost as much as some of them
_TURN_BYTES = 4
_MOST_TURNS = 4096 // _TURN_BYTES  # a page, which a pipe surely holds


def shared(
    work: Callable[[_Item], _Result],
    items: Sequence[_Item],
    meanwhile: Callable[[], object] | None = None,
    on_items: Callable[[int], object] | None = None,
) -> list[_Result]:
    """Map a function over items, here and in forked helpers.

    Parameters
    ----------
    work
        Called with each item, in any process; its results can be pickled.
    items
        What it is called with.
    meanwhile
        Called once, here, while helpers have begun already.
    on_items
        Called now and then with the number of items that are done, or taken by somebody.

    Examples
    --------
    >>> shared(abs, [-1, -2, 3])
    [1, 2, 3]
    """
    n_helpers = min(n_processors() - 1, len(items) // _WORTH_A_HELPER, _MOST_HELPERS)
    size = max(1, -(-len(items) // _MOST_TURNS), min(4, len(items) // _WORTH_A_HELPER))
    blocks = [items[start : start + size] for start in range(0, len(items), size)]
    turns = _turns(len(blocks))
    helpers: list[_Helper] = []
    done: dict[int, list[_Result]] = {}
    try:
        with frozen(), suppress(OSError):  # of processes or memory: then fewer help
            while len(helpers) < n_helpers and can_fork():
                helpers.append(_Helper(work, blocks, turns))
        if meanwhile:
            meanwhile()
        while (turn := _next(turns)) is not None:
            done[turn] = list(map(work, blocks[turn]))
            if on_items:
                on_items(min((turn + 1) * size, len(items)))
        for helper in helpers:
            done |= helper.results()
    finally:
        os.close(turns)
        for helper in helpers:
            helper.end()
    return [
        result
        for turn, block in enumerate(blocks)
        for result in (done[turn] if turn in done else map(work, block))
    ]


def _turns(number: int) -> int:
    """Return a pipe from which every process that reads it gets numbers that no other gets."""
    turns, given = os.pipe()
    with os.fdopen(given, "wb") as pipe:
        for turn in range(number):
            pipe.write(turn.to_bytes(_TURN_BYTES))
    return turns


def _next(turns: int) -> int | None:
    """Return the number of the next block that nobody has taken; None where there is none."""
    found = os.read(turns, _TURN_BYTES)
    return int.from_bytes(found) if found else None


class _Helper:
    """A forked process that takes blocks of items, too."""

    def __init__(
        self, work: Callable[[Any], Any], blocks: Sequence[Sequence[Any]], turns: int
    ) -> None:
        self._found = os.memfd_create("daskred")
        parent = os.getpid()
        try:
            with held_back():
                self._process = os.fork()
                if self._process == 0:
                    self._work(parent, work, blocks, turns)
        except BaseException:
            os.close(self._found)
            raise

    def _work(
        self,
        parent: int,
        work: Callable[[Any], Any],
        blocks: Sequence[Sequence[Any]],
        turns: int,
    ) -> None:
        """Do what a helper does, and end; signals are held back until it can hear them."""
        status = 1
        try:
            become_child(parent)
            done: dict[int, list[Any]] = {}
            while (turn := _next(turns)) is not None:
                done[turn] = list(map(work, blocks[turn]))
            with os.fdopen(self._found, "wb") as file:
                pickle.dump(done, file, pickle.HIGHEST_PROTOCOL)
            status = 0
        finally:
            os._exit(status)

    def results(self) -> dict[int, list[Any]]:
        """Return what it has made of the blocks that it took; nothing where it ended early."""
        _, status = os.waitpid(self._process, 0)
        self._process = 0
        if status:
            return {}
        with os.fdopen(os.dup(self._found), "rb") as file:
            file.seek(0)
            found: dict[int, list[Any]] = pickle.load(file)
        return found

    def end(self) -> None:
        """End the process, if it has not ended."""
        os.close(self._found)
        if self._process:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
