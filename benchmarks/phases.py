"""Phases of a large night beside their limits: the same bytes read and written, nothing else."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.harness import Result, Settings
from benchmarks.nights import simulated, warm
from benchmarks.scaling import phase_seconds
from daskred.night.open import open_night

N_WORKERS = 2
BAND_ROWS = 128  # as high as the bands of a run


def _together(parts: Sequence[Callable[[], None]]) -> float:
    """Carry out parts in a process each; return how long it took."""
    start = time.perf_counter()
    children = []
    for part in parts:
        child = os.fork()
        if child == 0:
            part()
            os._exit(0)
        children.append(child)
    for child in children:
        _, status = os.waitpid(child, 0)
        if status:
            raise RuntimeError("a part of the limit failed")
    return time.perf_counter() - start


def _read_bands(night: Path, n_rows: int) -> float:
    """Read the bytes of the darks band by band, as masters are made."""
    frames = open_night(night / "dark").select("dark")
    image = frames[0].images[0]
    n_bytes = n_rows * image.shape[1] * image.disk_dtype.itemsize
    starts = range(0, image.n_pixels * image.disk_dtype.itemsize, n_bytes)

    def part(number: int) -> Callable[[], None]:
        def read() -> None:
            memory = np.empty((len(frames) // 2, n_bytes), "u1")
            for exptime_s in (10, 3):
                own = [frame.path for frame in frames if frame.facts.exptime_s == exptime_s]
                for start in starts[number::N_WORKERS]:
                    for path, row in zip(own, memory, strict=True):
                        descriptor = os.open(path, os.O_RDONLY)
                        os.preadv(descriptor, [row.data], image.offset + start)
                        os.close(descriptor)

        return read

    return _together([part(number) for number in range(N_WORKERS)])


def _copy(night: Path, out: Path) -> float:
    """Read the science frames, and write as many bytes as their products have."""
    paths = sorted((night / "ktwo220274129").glob("*.fits"))
    out.mkdir()

    def part(number: int) -> Callable[[], None]:
        def copy() -> None:
            memory = memoryview(bytearray(2**20))
            for path in paths[number::N_WORKERS]:
                with (
                    path.open("rb", buffering=0) as raw,
                    (out / path.name).open("wb", 0) as product,
                ):
                    while n := raw.readinto(memory):
                        product.write(memory[:n])
                        product.write(memory[:n])

        return copy

    return _together([part(number) for number in range(N_WORKERS)])


def run(settings: Settings) -> list[Result]:
    """Time the phases of nights of large frames, and of many small ones."""
    if settings.tiny:
        return _night(settings, 32, 3, 2)
    return [*_night(settings, 2048, 61, 60), *_night(settings, 256, 61, 2000)]


def _night(settings: Settings, side: int, n_each: int, n_science: int) -> list[Result]:
    """Time the phases of whole runs, and their limits, in turn."""
    night = simulated(settings, side, n_each, n_science)
    out = settings.folder / "phases"
    seconds: dict[str, list[float]] = {}
    for turn in range(settings.turns + 1):
        for name in ("run", "limits"):
            shutil.rmtree(out, ignore_errors=True)
            warm(night)
            if name == "run":
                found = phase_seconds(night, out, N_WORKERS, "processes")
                own = {
                    "dark": found["MasterDark_10s"] + found["MasterDark_3s"],
                    "science": found["Science frames"],
                }
            else:
                own = {"dark limit": _read_bands(night, BAND_ROWS), "science limit": 0.0}
                own["science limit"] = _copy(night, out)
            for phase, value in own.items():
                if turn:
                    seconds.setdefault(phase, []).append(value)
    shutil.rmtree(out, ignore_errors=True)
    results = []
    for phase, number, kind in (("dark", 2 * n_each, "darks"), ("science", n_science, "frames")):
        case = f"{phase} phase, {number} {kind} of {side}x{side}, {N_WORKERS} workers"
        limit = seconds[f"{phase} limit"]
        for name, times in (("the bytes alone (limit)", limit), ("daskred", seconds[phase])):
            ratios = tuple(mine / least for mine, least in zip(times, limit, strict=True))
            extra = {"ms a frame": f"{statistics.median(times) / number * 1e3:.2f}"}
            results.append(Result("phases", case, name, tuple(times), ratios, extra))
    return results
