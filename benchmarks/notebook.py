"""The lines of a notebook beside the command that does the same, on threads: time and memory."""

from __future__ import annotations

import shutil

from benchmarks.harness import MB, Result, Settings, peak_memory, python
from benchmarks.night import daskred
from benchmarks.nights import simulated, warm

LINES = """
import sys
import daskred
night = daskred.open_night(sys.argv[1])
dark = daskred.master_dark(night.select("dark", exptime_s=10))
flat = daskred.master_flat(
    night.select("flat"), daskred.master_dark(night.select("dark", exptime_s=3))
)
science = daskred.open_frames(night.select("science"))
calibrated = daskred.calibrate(science, dark, flat)
daskred.write_frames(calibrated, sys.argv[2])
"""


def run(settings: Settings) -> list[Result]:
    """Time whole processes, in turn."""
    side, n_each, n_science = (32, 3, 2) if settings.tiny else (2048, 61, 60)
    night = simulated(settings, side, n_each, n_science)
    out = settings.folder / "notebook"
    commands = {
        "daskred reduce --threads": daskred(night, out, "--threads"),
        "the lines of a notebook": python("-c", LINES, str(night), str(out)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    peaks: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(settings.turns):
        for name, command in commands.items():
            shutil.rmtree(out, ignore_errors=True)
            warm(night)
            time_s, peak = peak_memory(command)
            seconds[name].append(time_s)
            peaks[name].append(peak / MB)
    shutil.rmtree(out, ignore_errors=True)
    case = f"{n_each} + {n_each} + {n_each} + {n_science} frames of {side}x{side}"
    first = seconds["daskred reduce --threads"]
    return [
        Result(
            "notebook",
            case,
            name,
            tuple(own),
            tuple(mine / theirs for mine, theirs in zip(own, first, strict=True)),
            {"peak, MB": f"{max(peaks[name]):.0f}"},
        )
        for name, own in seconds.items()
    ]
