"""What a detector costs: two amplifiers with overscans beside plain frames of as many pixels."""

from __future__ import annotations

import shutil
from functools import partial

from benchmarks.harness import Contestant, Result, Settings, compete, run_process
from benchmarks.night import daskred
from benchmarks.nights import fresh
from daskred import simulate
from daskred.simulation import CAMERA_FILE, SimulatedReadout


def run(settings: Settings) -> list[Result]:
    """Time whole runs."""
    side, n_each = (32, 3) if settings.tiny else (2048, 31)
    out = settings.folder / "amplifiers"
    contestants = []
    for name, readout in (("plain", None), ("two amplifiers", SimulatedReadout())):
        night = settings.folder / "nights" / f"{name.replace(' ', '-')}-{side}-{n_each}"
        if not (night / "truth.npz").exists():
            simulate(
                night,
                shape=(side, side),
                n_bias=n_each,
                n_darks=n_each,
                n_flats=n_each,
                n_science=n_each,
                readout=readout,
            )
        options = ("--camera", str(night / CAMERA_FILE)) if readout else ()
        once = partial(run_process, daskred(night, out, *options))
        contestants.append(Contestant(name, once, partial(fresh, night, out)))
    case = f"5 times {n_each} frames of {side}x{side}: bias, darks of two times, flats, science"
    results = compete("amplifiers", case, contestants, settings)
    shutil.rmtree(out, ignore_errors=True)
    return results
