"""What a report of the night costs: whole nights with and without."""

from __future__ import annotations

from benchmarks.beside import runs_beside
from benchmarks.harness import Result, Settings
from benchmarks.nights import simulated


def run(settings: Settings) -> list[Result]:
    """Time whole runs of small and of large frames."""
    if settings.tiny:
        return _night(settings, 32, 3, 2)
    return [
        *_night(settings, 256, 61, 500),
        *_night(settings, 1024, 61, 40),
        *_night(settings, 2048, 61, 60),
    ]


def _night(settings: Settings, side: int, n_each: int, n_science: int) -> list[Result]:
    night = simulated(settings, side, n_each, n_science)
    case = f"{n_each} + {n_each} + {n_each} + {n_science} frames of {side}x{side}"
    variants = {"plain": (), "with a report": ("--report",)}
    return runs_beside("report", case, night, variants, settings)
