"""Compiled kernels beside numpy's, on one thread: medians, flats, rejections, and whole nights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Contestant, Result, Settings, compete, run_process
from benchmarks.night import daskred
from benchmarks.nights import fresh, simulated
from daskred.kernels.compiled import NAMES, VARIABLE, compiled_kernels
from daskred.kernels.flat import flat_tile
from daskred.kernels.median import median_over_frames
from daskred.kernels.reject import Rejection, combine_frames


@contextmanager
def using(name: str) -> Iterator[None]:
    """Work with kernels of a name."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = name
    compiled_kernels.cache_clear()
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
        compiled_kernels.cache_clear()


def _with(name: str, work: Callable[[], Any]) -> Any:
    with using(name):
        return work()


def _equal(first: Any, second: Any) -> None:
    np.testing.assert_array_equal(first, second)


def run(settings: Settings) -> list[Result]:
    """Time both kernels on 61 frames, and on whole nights."""
    if compiled_kernels() is None:
        return [Result("kernels", "no kernels were compiled", "", (), (), {"": "nothing to tell"})]
    return [*_stacks(settings), *_nights(settings)]


def _stacks(settings: Settings) -> list[Result]:
    side, n_frames = (32, 5) if settings.tiny else (512, 61)
    rng = np.random.default_rng(1)
    whole = rng.normal(20000, 150, (n_frames, side, side)).round().astype("u2")
    real = whole.astype("f4")
    dark = np.full((1, side, side), 300.0)
    levels = rng.uniform(19000, 20000, n_frames).tolist()
    works: dict[str, Callable[[], Any]] = {
        "median, uint16": partial(median_over_frames, whole),
        "median, float32": partial(median_over_frames, real),
        "flats": partial(
            flat_tile, whole, dark, which=[0] * n_frames, levels=levels, precision="f4"
        ),
    }
    for name in ("sigma", "winsorized", "minmax"):
        works[f"{name} and mean"] = partial(_combined, real, Rejection(name))
    results = []
    for case, work in works.items():
        contestants = [Contestant(name, partial(_with, name, work)) for name in NAMES]
        title = f"{n_frames} frames of {side}x{side}: {case}"
        results += compete("kernels", title, contestants, settings, _equal)
    return results


def _combined(stack: Any, rejection: Rejection) -> Any:
    return combine_frames(stack, "mean", rejection, precision="f4").value


def _nights(settings: Settings) -> list[Result]:
    results = []
    for side in (32,) if settings.tiny else (256, 2048):
        night = simulated(settings, side, 3 if settings.tiny else 61, 2 if settings.tiny else 60)
        for title, more in (("plain", ()), ("sigma", ("--combine", "clipped-mean"))):
            contestants = []
            for name in NAMES:
                out = settings.folder / f"kernels-{name}"
                work = partial(_with, name, partial(_reduce, night, out, more))
                contestants.append(Contestant(name, work, partial(fresh, night, out)))
            case = f"whole night of {side}x{side}: {title}"
            results += compete("kernels", case, contestants, settings)
    return results


def _reduce(night: Any, out: Any, more: tuple[str, ...]) -> None:
    run_process(daskred(night, out, *more))
