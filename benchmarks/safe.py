"""What it costs to make products safe from a power cut: whole nights with and without."""

from __future__ import annotations

import shutil
from functools import partial

from benchmarks.harness import Contestant, Result, Settings, compete, run_process
from benchmarks.night import daskred
from benchmarks.nights import fresh, simulated


def run(settings: Settings) -> list[Result]:
    """Time whole runs of small and of large frames."""
    if settings.tiny:
        return _night(settings, 32, 3, 2)
    return [
        *_night(settings, 256, 61, 60),
        *_night(settings, 256, 61, 1000),
        *_night(settings, 2048, 61, 60),
    ]


def _night(settings: Settings, side: int, n_each: int, n_science: int) -> list[Result]:
    night = simulated(settings, side, n_each, n_science)
    out = settings.folder / "safe"

    def once(*options: str) -> None:
        run_process(daskred(night, out, *options))

    contestants = [
        Contestant(name, partial(once, option), partial(fresh, night, out))
        for name, option in (("not safe", "--no-sync"), ("safe", "--sync"))
    ]
    case = f"{n_each} + {n_each} + {n_each} + {n_science} frames of {side}x{side}"
    results = compete("safe", case, contestants, settings)
    shutil.rmtree(out, ignore_errors=True)
    return results
