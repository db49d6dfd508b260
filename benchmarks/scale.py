"""What the engine itself costs: real tasks and receipts, with a reader and a writer of no time.

From the measured costs follows how many workers a survey needs, and what saturates first.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import daskred
from benchmarks.harness import MB, Result, Settings
from benchmarks.nights import simulated, warm
from benchmarks.scaling import phase_seconds
from daskred.arrays.frames import TASK_PIXELS, frame_tasks, frames_in
from daskred.arrays.written import WriteJob
from daskred.engine.executor import Executor, Workers, open_pool
from daskred.engine.pool import Pool
from daskred.model.frame import Frame
from daskred.model.plan import Correction
from daskred.model.receipt import Receipt
from daskred.steps.step import Recipe

SURVEY_FRAMES_A_MINUTE = 1000


def no_work(jobs: Sequence[WriteJob]) -> list[Receipt]:
    """Return the receipts of frames that nobody reads and nobody writes."""
    return [Receipt(job.product, job.frame.name, 1, made=True, n_nan=0) for job in jobs]


def _jobs(frame: Frame, n_frames: int) -> list[WriteJob]:
    correction = Correction(dark="MasterDark_10s", flat="MasterFlat_V")
    recipe = Recipe(frame.readout, correction, daskred.Options())
    jobs = []
    for number in range(n_frames):
        name = f"night/frame-{number:06d}.fits"
        own = replace(frame, path=f"/data/{name}", name=name)
        product = name.replace(".fits", "c.fits")
        jobs.append(WriteJob(own, Path("/out", product), product, recipe, "0" * 32))
    return jobs


def _resident(pid: int | str = "self") -> float:
    """Return a process's memory, MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / MB


@contextmanager
def _pool(kind: str) -> Iterator[tuple[Pool, int | str]]:
    """Give a pool of two workers, and the process whose memory matters beside our own."""
    if kind != "scheduler":
        pool = open_pool(Workers(2, kind))  # type: ignore[arg-type]
        yield pool, "self"
        pool.close(at_once=False)
        return
    from distributed import Client, LocalCluster

    from daskred.engine.cluster import ClusterPool

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        pool = ClusterPool(client, owned=False)
        yield pool, "self"  # the scheduler lives in this process
        pool.close(at_once=False)


def _engine(kind: str, frame: Frame, n_frames: int) -> Result:
    """Run so many frames through, and watch memory on the way."""
    jobs = _jobs(frame, n_frames)
    paths = [job.frame.path for job in jobs]
    with _pool(kind) as (pool, pid):
        executor = Executor(pool)
        # As a run of 2048x2048 frames cuts them.
        tasks = frame_tasks("science", jobs, paths, frames_in(TASK_PIXELS, [frame], 1) * 2, no_work)
        before, peak, seen = _resident(pid), 0.0, 0
        start = time.perf_counter()
        for number, (_, receipts) in enumerate(executor.run(tasks)):
            seen += len(receipts)
            if number % 64 == 0:
                peak = max(peak, _resident(pid))
        seconds = time.perf_counter() - start
    if seen != n_frames:
        raise AssertionError(f"{seen} receipts of {n_frames} frames")
    extra = {
        "ms a frame": f"{seconds / n_frames * 1e3:.3f}",
        "memory grows by, MB": f"{max(peak - before, 0):.0f}",
    }
    case = "the engine alone, 2 workers"
    return Result("scale", case, f"{kind}, {n_frames} frames", (seconds,), (1.0,), extra)


def _model(frame_s: float, engine: dict[str, float]) -> Iterator[Result]:
    """Say what a survey needs: one worker's seconds a frame, and the engine's in one process."""
    wanted = SURVEY_FRAMES_A_MINUTE / 60
    megabytes = 2048 * 2048 * (2 + 4) / MB  # read and written
    for kind, engine_s in engine.items():
        extra = {
            "s a frame and worker": f"{frame_s:.4f}",
            "workers needed": f"{wanted * frame_s:.1f}",
            "the engine is busy": f"{wanted * engine_s:.1%}",
            "engine full at, frames a minute": f"{60 / engine_s:,.0f}",
            "disk, MB/s": f"{wanted * megabytes:.0f}",
        }
        case = f"a survey of {SURVEY_FRAMES_A_MINUTE} frames of 2048x2048 a minute, by these costs"
        yield Result("scale", case, kind, (), (), extra)


def run(settings: Settings) -> list[Result]:
    """Measure the engine, and one worker's work; add them up."""
    side, n_each, n_science = (32, 3, 2) if settings.tiny else (2048, 61, 60)
    night = simulated(settings, side, n_each, n_science)
    frame = daskred.open_night(night / "ktwo220274129").frames[0]
    numbers = (20, 200) if settings.tiny else (10_000, 100_000)
    results = []
    engine: dict[str, float] = {}
    for kind in ("processes", "scheduler"):
        for n_frames in numbers:
            results.append(_engine(kind, frame, n_frames))
            engine[kind] = results[-1].seconds[0] / n_frames
            sys.stdout.flush()
    out = settings.folder / "scale"
    seconds = []
    for _ in range(settings.turns):
        shutil.rmtree(out, ignore_errors=True)
        warm(night)
        seconds.append(phase_seconds(night, out, 1, "processes")["Science frames"])
    return [*results, *_model(statistics.median(seconds) / n_science, engine)]
