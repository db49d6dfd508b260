"""What the checks of pixels cost: their part of the processor time of a run on one thread."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from benchmarks.harness import Result, Settings
from benchmarks.nights import fresh, simulated
from daskred import Options, open_night, reduce_night

# All that is done for the checks alone, none of it within another.
WORK = {
    "samples of science frames": (
        ("daskred.arrays.samples", "Samples", "add"),
        ("daskred.arrays.written", "", "ask"),
    ),
    "samples of masters": (
        ("daskred.arrays.tiles", "", "sample_of"),
        ("daskred.arrays.tiles", "", "excess"),
        ("daskred.arrays.tiles", "", "hottest"),
    ),
    "frames of a master against each other": (("daskred.run.masters", "", "check_inputs"),),
    "science frames beside each other": (("daskred.run.reduce", "", "standing_out"),),
    "sums of raw files": (("daskred.run.reduce", "", "wrong_sums"),),
}


def _timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """Return a function that adds up how long it takes."""

    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.thread_time()
        try:
            return function(*arguments, **named)
        finally:
            spent[0] += time.thread_time() - start

    return timed


def run(settings: Settings) -> list[Result]:
    """Time the checks within whole runs."""
    if settings.tiny:
        return _night(settings, 32, 3, 4)
    return [*_night(settings, 2048, 31, 30), *_night(settings, 256, 61, 1000)]


def _night(settings: Settings, side: int, n_each: int, n_science: int) -> list[Result]:
    night = simulated(settings, side, n_each, n_science)
    out = settings.folder / "witness"
    spent = {name: [0.0] for name in WORK}
    places: list[tuple[Any, str, Any]] = []
    for name, functions in WORK.items():
        for module, owner, function in functions:
            holder = getattr(import_module(module), owner) if owner else import_module(module)
            places.append((holder, function, getattr(holder, function)))
            setattr(holder, function, _timed(getattr(holder, function), spent[name]))
    seconds: dict[str, list[float]] = {name: [] for name in ("the whole run", *WORK)}
    try:
        for turn in range(settings.turns + 1):
            fresh(night, out)
            for times in spent.values():
                times[0] = 0.0
            start = time.process_time()
            reduce_night(open_night(night), out, Options(threads=True, workers=1))
            if turn:
                seconds["the whole run"].append(time.process_time() - start)
                for name, times in spent.items():
                    seconds[name].append(times[0])
    finally:
        for holder, function, before in places:
            setattr(holder, function, before)
        shutil.rmtree(out, ignore_errors=True)
    case = f"{n_each} + {n_each} + {n_each} + {n_science} frames of {side}x{side}, one thread"
    whole = seconds["the whole run"]
    seconds["all checks"] = [sum(parts) for parts in zip(*(seconds[n] for n in WORK), strict=True)]
    return [
        Result(
            "witness",
            case,
            name,
            tuple(times),
            tuple(part / total for part, total in zip(times, whole, strict=True)),
        )
        for name, times in seconds.items()
    ]
