"""What all benchmarks share: contestants that run in turn, their figures, a table and a plot.

Machines are noisy, so contestants take turns, A B C A B C, and what is told is the ratio of times
within one turn: its median, and from where to where it went.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MB = 10**6


@dataclass(frozen=True)
class Contestant:
    """Something that is timed.

    Parameters
    ----------
    name
        What it is called in the table.
    run
        Does the work once, and returns what is checked against the others, or None.
    prepare
        Is called before, and not timed.
    """

    name: str
    run: Callable[[], Any]
    prepare: Callable[[], None] | None = None


@dataclass(frozen=True)
class Result:
    """The figures of one contestant in one case.

    Parameters
    ----------
    benchmark, case, name
        Whose figures these are.
    seconds
        Of each turn.
    ratios
        For each turn its time over that of the first contestant.
    extra
        Further figures.
    """

    benchmark: str
    case: str
    name: str
    seconds: tuple[float, ...]
    ratios: tuple[float, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How benchmarks are run.

    Parameters
    ----------
    turns
        How often each contestant runs; one more turn comes first and does not count.
    tiny
        Whether inputs are as small as they can be: to see that all still runs.
    folder
        Where inputs are made and kept, and results written.
    """

    turns: int
    tiny: bool
    folder: Path


def compete(
    benchmark: str,
    case: str,
    contestants: Sequence[Contestant],
    settings: Settings,
    check: Callable[[Any, Any], None] | None = None,
) -> list[Result]:
    """Let contestants run in turn; the first is what the others are compared with.

    Parameters
    ----------
    benchmark, case
        Names for the results.
    contestants
        Who.
    settings
        How often.
    check
        Called with the first one's answer and that of each other, after the first turn; raises
        where they differ by more than rounding.
    """
    seconds: list[list[float]] = [[] for _ in contestants]
    for turn in range(settings.turns + 1):
        answers = []
        for contestant, own in zip(contestants, seconds, strict=True):
            if contestant.prepare:
                contestant.prepare()
            start = time.perf_counter()
            answers.append(contestant.run())
            if turn:
                own.append(time.perf_counter() - start)
        if turn == 0 and check:
            for answer in answers[1:]:
                if answer is not None:
                    check(answers[0], answer)
    return [
        Result(
            benchmark,
            case,
            contestant.name,
            tuple(own),
            tuple(mine / first for mine, first in zip(own, seconds[0], strict=True)),
        )
        for contestant, own in zip(contestants, seconds, strict=True)
    ]


def run_process(command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Run a command to its end; what it prints is shown only when it fails."""
    found = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}
    )
    if found.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{found.stdout}\n{found.stderr}")


def peak_memory(command: Sequence[str]) -> tuple[float, float]:
    """Run a command; return its seconds, and the peak of memory of all its processes, bytes.

    Pages that processes share count once: the kernel's proportional share is summed up, every
    few milliseconds.
    """
    start = time.perf_counter()
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.004):
                peak = max(peak, sum(map(_share, _family(process.pid))))

        watcher = threading.Thread(target=watch)
        watcher.start()
        process.wait()
        done.set()
        watcher.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    return time.perf_counter() - start, float(peak)


def _family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    family = [pid]
    for parent in family:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except OSError:
            continue
        family += map(int, children)
    return family


def _share(pid: int) -> int:
    """Return a process's proportional share of memory, bytes."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next(
        (int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0
    )


def python(*arguments: str) -> list[str]:
    """Return a command that runs this interpreter."""
    return [sys.executable, *arguments]


def machine() -> dict[str, str]:
    """Say what all this ran on."""
    import dask
    import numpy as np

    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        model = next((value.strip() for name, _, value in lines if "model name" in name), model)
    return {
        "processors": f"{len(os.sched_getaffinity(0))} x {model}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "dask": dask.__version__,
    }


def report(results: Sequence[Result], folder: Path) -> None:
    """Print a table, and add the results to ``results.jsonl``."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    for case in dict.fromkeys((result.benchmark, result.case) for result in results):
        table = Table(
            "",
            "seconds",
            "ratio",
            "from",
            "to",
            title=f"{case[0]}: {case[1]}",
            title_justify="left",
        )
        extras = list(
            dict.fromkeys(k for r in results if (r.benchmark, r.case) == case for k in r.extra)
        )
        for name in extras:
            table.add_column(name)
        for one in results:
            if (one.benchmark, one.case) != case:
                continue
            figures = ["", "", "", ""]
            if one.seconds:
                figures = [f"{statistics.median(one.seconds):.3g}"]
                figures += [f"{f(one.ratios):.2f}" for f in (statistics.median, min, max)]
            table.add_row(one.name, *figures, *(str(one.extra.get(name, "")) for name in extras))
        console.print(table)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "results.jsonl").open("a") as file:
        for one in results:
            file.write(json.dumps({**asdict(one), "machine": machine()}) + "\n")


def draw(results: Sequence[Result], target: Path) -> None:
    """Draw medians as bars, one panel a case, shorter is faster."""
    from matplotlib.figure import Figure

    timed = [one for one in results if one.seconds]
    cases = list(dict.fromkeys((one.benchmark, one.case) for one in timed))
    if not cases:
        return
    figure = Figure(figsize=(9, 0.6 + 0.42 * (len(timed) + len(cases))), layout="constrained")
    heights = [sum((one.benchmark, one.case) == case for one in timed) + 1 for case in cases]
    panels = figure.subplots(len(cases), 1, height_ratios=heights, squeeze=False)
    for axes, case in zip(panels[:, 0], cases, strict=True):
        own = [one for one in timed if (one.benchmark, one.case) == case]
        medians = [statistics.median(one.seconds) for one in own]
        bars = axes.barh([one.name for one in own], medians, color="0.7")
        for bar, one in zip(bars, own, strict=True):
            if one.name.startswith("daskred"):
                bar.set_color("tab:blue")
        labels = [f" {value:.2g} s" for value in medians]
        axes.bar_label(bars, labels)
        axes.invert_yaxis()
        axes.set_title(f"{case[0]}: {case[1]}", fontsize=9, loc="left")
        axes.margins(x=0.12)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=100)
