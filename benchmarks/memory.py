"""Peak memory of all processes of a run, against the limit and against the number of frames."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from astropy.io import fits

from benchmarks.harness import MB, Result, Settings, peak_memory
from benchmarks.night import daskred
from benchmarks.nights import simulated


def run(settings: Settings) -> list[Result]:
    """Measure limits on a large night, and numbers of darks."""
    return [*_limits(settings), *_numbers(settings)]


def _measure(settings: Settings, case: str, name: str, night: Path, *options: str) -> Result:
    out = settings.folder / "memory"
    seconds, peaks = [], []
    for _ in range(settings.turns):
        shutil.rmtree(out, ignore_errors=True)
        time, peak = peak_memory(daskred(night, out, *options))
        seconds.append(time)
        peaks.append(peak / MB)
    extra = {"peak, MB": f"{max(peaks):.0f}"}
    return Result("memory", case, name, tuple(seconds), (1.0,) * len(seconds), extra)


def _limits(settings: Settings) -> list[Result]:
    side, n_each, n_science = (32, 3, 2) if settings.tiny else (2048, 61, 60)
    night = simulated(settings, side, n_each, n_science)
    case = f"{n_each} + {n_each} + {n_each} + {n_science} frames of {side}x{side}"
    limits = ("400MB", "500MB", "1GB")
    free = _measure(settings, case, "no limit given", night)
    return [free, *(_measure(settings, case, one, night, "--memory", one) for one in limits)]


def _numbers(settings: Settings) -> list[Result]:
    """Combine ever more darks; random ones."""
    side = 32 if settings.tiny else 512
    results = []
    for n_frames in (3, 6) if settings.tiny else (61, 610, 6100):
        night = settings.folder / "nights" / f"darks-{side}-{n_frames}"
        if not night.exists():
            night.mkdir(parents=True)
            rng = np.random.default_rng(n_frames)
            for number in range(n_frames):
                pixels = rng.normal(1000, 10, (side, side)).astype("u2")
                header = fits.Header({"IMAGETYP": "Dark", "EXPTIME": 5.0, "RUN": number})
                fits.PrimaryHDU(pixels, header).writeto(night / f"{number:05d}.fits")
        case = f"a master dark of {side}x{side}, --memory 300MB"
        name = f"{n_frames} frames"
        options = ("--masters-only", "--memory", "300MB")
        results.append(_measure(settings, case, name, night, *options))
    return results
