"""One worker and two, phase by phase, as processes and as threads."""

from __future__ import annotations

import ast
import shutil
import subprocess
import time
from functools import partial

import daskred
from benchmarks.harness import Contestant, Result, Settings, compete, python
from benchmarks.nights import simulated
from daskred.progress import Progress


class PhaseTimes:
    """A progress that notes how long each phase took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._title = ""
        self._start = 0.0

    def begin(self, title: str, total: int, unit: str) -> None:
        """Note the start."""
        self._title, self._start = title.split(" of ")[0], time.perf_counter()

    def advance(self, n_units: int) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Note the end."""
        own = time.perf_counter() - self._start
        self.seconds[self._title] = self.seconds.get(self._title, 0.0) + own

    def say(self, message: str) -> None:
        """Do nothing."""


def main(night: str, out: str, count: str, kind: str) -> None:
    """Reduce a night with so many workers of a kind, and print how long each phase took."""
    progress: Progress = PhaseTimes()
    workers = daskred.Workers(int(count), kind)  # type: ignore[arg-type]
    daskred.reduce_night(daskred.open_night(night), out, daskred.Options(workers=workers), progress)
    print(progress.seconds)  # type: ignore[attr-defined]


def run(settings: Settings) -> list[Result]:
    """Time whole runs, and tell phases apart."""
    side, n_each, n_science = (32, 3, 2) if settings.tiny else (2048, 61, 60)
    night = simulated(settings, side, n_each, n_science)
    out = settings.folder / "scaling"
    phases: dict[str, dict[str, list[float]]] = {}

    def once(count: int, kind: str) -> None:
        shutil.rmtree(out, ignore_errors=True)
        code = "import sys; from benchmarks.scaling import main; main(*sys.argv[1:])"
        command = python("-c", code, str(night), str(out), str(count), kind)
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        for phase, seconds in ast.literal_eval(found.stdout).items():
            own = phases.setdefault(phase, {})
            own.setdefault(f"{count} {kind}", []).append(seconds)

    cases = ((1, "threads"), (2, "threads"), (1, "processes"), (2, "processes"))
    contestants = [Contestant(f"{n} {kind}", partial(once, n, kind)) for n, kind in cases]
    case = f"{n_each} + {n_each} + {n_each} + {n_science} frames of {side}x{side}"
    results = compete("scaling", f"{case}, with start-up", contestants, settings)
    for phase, own in phases.items():
        first = own["1 threads"][1:]
        for name, seconds in own.items():
            ratios = tuple(mine / one for mine, one in zip(seconds[1:], first, strict=True))
            results.append(Result("scaling", f"{phase}, {case}", name, tuple(seconds[1:]), ratios))
    return results
