"""Work that is shared with helpers: what they do or fail to do, nobody sees."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daskred import open_night
from daskred.engine.crew import shared
from tests import processes

ITEMS = list(range(1000))
PARENT = os.getpid()


def in_process(item: int) -> tuple[int, int]:
    time.sleep(0.0005)
    return item, os.getpid()


@pytest.fixture
def two_helpers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let two processes help, which leave neither processes nor descriptors behind."""
    monkeypatch.setattr("daskred.engine.crew.n_processors", lambda: 3)
    monkeypatch.setattr("daskred.engine.crew.can_fork", lambda: True)
    before = set(processes.children(PARENT)), descriptors()
    yield
    assert (set(processes.children(PARENT)), descriptors()) == before


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_results_come_in_the_order_of_items(two_helpers: None) -> None:
    began: list[int] = []
    told: list[int] = []
    found = shared(in_process, ITEMS, lambda: began.append(1), told.append)
    assert [item for item, _ in found] == ITEMS
    assert len({process for _, process in found}) == 3
    assert began == [1]
    assert told == sorted(told)
    assert told[-1] <= len(ITEMS)


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 63, 64, 65, 97])
def test_any_number_of_items(two_helpers: None, count: int) -> None:
    assert shared(abs, [-n for n in range(count)]) == list(range(count))


def test_what_helpers_leave_undone_is_done_here(two_helpers: None) -> None:
    def deadly(item: int) -> int:
        if os.getpid() != PARENT and item % 100 == 50:
            os.kill(os.getpid(), signal.SIGKILL)
        return -item

    assert shared(deadly, ITEMS) == [-item for item in ITEMS]


def test_what_fails_in_a_helper_fails_here(two_helpers: None) -> None:
    def failing(item: int) -> int:
        if item == 500:
            raise ValueError("item 500")
        return item

    with pytest.raises(ValueError, match="item 500"):
        shared(failing, ITEMS)


def test_helpers_end_when_this_process_is_interrupted(two_helpers: None) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shared(lambda item: time.sleep(10), ITEMS, interrupted)


def test_where_nothing_can_be_forked_all_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daskred.engine.crew.n_processors", lambda: 3)
    ready = threading.Event()
    thread = threading.Thread(target=ready.wait)
    thread.start()
    try:
        found = shared(in_process, ITEMS[:100])
    finally:
        ready.set()
        thread.join()
    assert {process for _, process in found} == {PARENT}


def test_no_process_is_left_to_fork(two_helpers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("os.fork", fork)
    assert shared(abs, ITEMS) == ITEMS


def test_a_night_is_the_same_whoever_reads_it(
    long_night: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Helpers give the frames, reasons and digests that one process gives."""
    found = []
    for n_processors in (1, 2, 5):
        monkeypatch.setattr("daskred.engine.crew.n_processors", lambda n=n_processors: n)
        monkeypatch.setattr("daskred.engine.crew.can_fork", lambda: True)
        night = open_night(
            long_night,
            kinds=[("dark", "dark/*")],
            exptimes=[(7.0, "flat/*-01.fits")],
            filters=[("V", "flat/*")],
        )
        found.append((night.frames, night.left_out))
    assert found[0] == found[1] == found[2]
