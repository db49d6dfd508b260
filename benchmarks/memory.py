"""Peak memory of all processes of a run, against the limit and against the number of frames."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from benchmarks.beside import CAMERA
from benchmarks.harness import MB, Result, Settings, peak_memory, python
from benchmarks.night import daskred
from benchmarks.nights import simulated

# Commands and options, each of which needs memory of its own.
WORDS = (
    *(("reduce",), ("reduce", "--threads"), ("reduce", "--mask", "--uncertainty")),
    ("reduce", "--dtype", "float64", "--normalize", "exact-mode"),
    ("reduce", "--combine", "mean", "--reject", "sigma", "--counts"),
    *(("reduce", "--compress", packing) for packing in ("gzip", "rice", "lossless")),
    *(("reduce", "--interpolate"), ("characterize",), ("mask",)),
)


def run(settings: Settings) -> list[Result]:
    """Measure limits on a large night, the least that each command takes, and numbers of darks."""
    return [*_limits(settings), *_least(settings), *_numbers(settings)]


def least_memory(command: Sequence[str]) -> int:
    """Return the least memory that a command says would do, MB."""
    refused = subprocess.run([*command, "--memory", "1MB"], capture_output=True, text=True)
    found = re.search(r"; (\d+) MB would do", refused.stderr)
    if not found:
        raise RuntimeError(f"{' '.join(command)}: {refused.stderr}")
    return int(found[1])


def _least(settings: Settings) -> list[Result]:
    side = 32 if settings.tiny else 4096
    night = simulated(settings, side, 5, 2)
    out, camera = settings.folder / "memory", settings.folder / "camera.toml"
    camera.write_text(CAMERA)
    results = []
    for words in WORDS[-3:] if settings.tiny else WORDS:
        command = python("-m", "daskred.cli", words[0], str(night), "-o", str(out), *words[1:])
        command += ["--camera", str(camera)]
        shutil.rmtree(out, ignore_errors=True)
        least = least_memory(command)
        seconds, peak = peak_memory([*command, "--memory", f"{least}MB"])
        extra = {"peak, MB": f"{peak / MB:.0f}", "the least that would do, MB": f"{least}"}
        case = f"5 + 5 + 5 + 2 frames of {side}x{side}, with the least memory"
        results.append(Result("memory", case, " ".join(words), (seconds,), (1.0,), extra))
    shutil.rmtree(out, ignore_errors=True)
    return results


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
