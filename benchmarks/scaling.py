"""One worker and two, phase by phase, as threads, as processes, and through a scheduler."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import daskred
from benchmarks.clusters import cluster
from benchmarks.harness import Contestant, Result, Settings, compete, python
from benchmarks.nights import simulated


class PhaseTimes:
    """A progress that notes how long each phase took, until the next began."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._title = ""
        self._start = 0.0

    def begin(self, title: str, total: int, unit: str) -> None:
        """Note the start, and that what was before is over."""
        self.over()
        self._title, self._start = title.split(" of ")[0], time.perf_counter()

    def advance(self, n_units: int) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing: the master is still to be written."""

    def over(self) -> None:
        """Note the end."""
        if self._title:
            own = time.perf_counter() - self._start
            self.seconds[self._title] = self.seconds.get(self._title, 0.0) + own
            self._title = ""

    def say(self, message: str) -> None:
        """Do nothing."""


def main(night: str, out: str, count: str, kind: str, scheduler: str) -> None:
    """Reduce a night with so many workers of a kind, and print how long each phase took."""
    progress = PhaseTimes()
    opened = daskred.open_night(night)
    if scheduler:
        options = daskred.Options(scheduler=scheduler)
    else:
        where: dict[str, Any] = {"workers": count, kind: True}
        options = daskred.Options(**where)
    daskred.reduce_night(opened, out, options, progress)
    progress.over()
    print(progress.seconds)


def phase_seconds(
    night: Path, out: Path, count: int, kind: str, scheduler: str = ""
) -> dict[str, float]:
    """Reduce a night in a process of its own, and return how long each phase took."""
    code = "import sys; from benchmarks.scaling import main; main(*sys.argv[1:])"
    command = python("-c", code, str(night), str(out), str(count), kind, scheduler)
    # As the command line does it: threads of BLAS would forbid to fork.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return dict(ast.literal_eval(found.stdout))


def run(settings: Settings) -> list[Result]:
    """Time whole runs, and tell phases apart; clusters are there before, and have been used."""
    with cluster(1) as one, cluster(2) as two:
        return _compared(settings, {(1, "scheduler"): one, (2, "scheduler"): two})


def _compared(settings: Settings, schedulers: dict[tuple[int, str], str]) -> list[Result]:
    side, n_each, n_science = (32, 3, 2) if settings.tiny else (2048, 61, 60)
    night = simulated(settings, side, n_each, n_science)
    out = settings.folder / "scaling"
    phases: dict[str, dict[str, list[float]]] = {}

    def once(count: int, kind: str) -> None:
        shutil.rmtree(out, ignore_errors=True)
        measured = phase_seconds(night, out, count, kind, schedulers.get((count, kind), ""))
        for phase, seconds in measured.items():
            own = phases.setdefault(phase, {})
            own.setdefault(f"{count} {kind}", []).append(seconds)

    cases = [(n, kind) for kind in ("threads", "processes", "scheduler") for n in (1, 2)]
    contestants = [Contestant(f"{n} {kind}", partial(once, n, kind)) for n, kind in cases]
    case = f"{n_each} + {n_each} + {n_each} + {n_science} frames of {side}x{side}"
    results = compete("scaling", f"{case}, with start-up", contestants, settings)
    for phase, own in phases.items():
        for name, seconds in own.items():
            first = own[f"1 {name.split()[1]}"][1:]
            ratios = tuple(mine / one for mine, one in zip(seconds[1:], first, strict=True))
            results.append(Result("scaling", f"{phase}, {case}", name, tuple(seconds[1:]), ratios))
    return results
