"""Threads that hang: they are left alone, replaced, and hold up nobody."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from daskred.engine.executor import Executor
from daskred.engine.pool import WorkerDiedError
from daskred.engine.task import Task
from daskred.engine.threads import ThreadPool


@pytest.fixture
def woken() -> Iterator[threading.Event]:
    """What hanging tasks wait for; they end with the test."""
    event = threading.Event()
    yield event
    event.set()


def tasks(*works: object) -> list[Task]:
    return [
        Task((number,), {(number,): (work,)}, (number,), (str(number),))
        for number, work in enumerate(works)
    ]


def ends(function: Callable[..., None], *arguments: object) -> bool:
    """Call a function that may never end."""
    caller = threading.Thread(target=function, args=arguments, daemon=True)
    caller.start()
    caller.join(30)
    return not caller.is_alive()


def test_an_error_ends_a_run_though_another_task_hangs(woken: threading.Event) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "a product")

    ended: list[OSError] = []

    def run() -> None:
        try:
            with Executor(ThreadPool(2), 60.0) as executor:
                list(executor.run(tasks(woken.wait, full)))
        except OSError as error:
            ended.append(error)

    assert ends(run)
    assert [error.filename for error in ended] == ["a product"]


class SlowSet(set[threading.Thread]):
    """Takes so long that much may happen meanwhile."""

    def discard(self, element: Any) -> None:
        time.sleep(0.2)
        super().discard(element)


def test_a_task_that_ends_as_it_is_given_up_leaves_no_thread_waiting(
    woken: threading.Event,
) -> None:
    pool = ThreadPool(1)
    pool._threads = SlowSet(pool._threads)
    (task,) = tasks(woken.wait)
    future = pool.submit(task, frozenset())
    time.sleep(0.1)
    threading.Timer(0.1, woken.set).start()
    pool.give_up(future)
    assert isinstance(future.exception(10), WorkerDiedError) or future.result(0)
    assert ends(pool.close, False)


def test_whoever_is_interrupted_does_not_wait_for_each_thread(woken: threading.Event) -> None:
    pool, begun = ThreadPool(20), threading.Semaphore(0)

    def hang() -> None:
        begun.release()
        woken.wait()

    for task in tasks(*[hang] * 20):
        pool.submit(task, frozenset())
    for _ in range(20):
        assert begun.acquire(timeout=10)
    assert ends(pool.close, True)
