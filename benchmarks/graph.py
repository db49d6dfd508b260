"""Tasks and bytes of graphs against the number of frames."""

from __future__ import annotations

import pickle
from typing import Any

import dask

import daskred
from benchmarks.harness import Result, Settings
from benchmarks.nights import simulated
from daskred.arrays.frames import TASK_PIXELS, frame_tasks, frames_in
from daskred.arrays.tiles import Stack, written_tiles
from daskred.fits.raster import Raster
from daskred.kernels.combine import median_tile


def run(settings: Settings) -> list[Result]:
    """Count tasks, and bytes as they would travel to a cluster."""
    night = daskred.open_night(simulated(settings, 32, 3, 2))
    one = night.select("science")[:1]
    raster = Raster(settings.folder / "raster", one[0].images[0].shape, "float32")
    results = []
    for n_frames in (10, 100) if settings.tiny else (10, 100, 1000, 10000):
        frames = one * n_frames
        stack = Stack(frames, 0, daskred.Options())
        paths, n_per_task = ["a path"] * n_frames, frames_in(TASK_PIXELS, frames, 8)
        lazy = daskred.calibrate(daskred.open_frames(frames)).data
        (array,) = dask.optimize(lazy)
        graphs: dict[str, Any] = {
            "a run's science frames": [
                (task.graph, task.key)
                for task in frame_tasks("science", frames, paths, n_per_task, list)
            ],
            "a run's master": [
                (task.graph, task.key)
                for task in written_tiles(stack, 0, 4, [raster], median_tile, [None] * n_frames)
            ],
            "a notebook's calibrated array": dict(array.__dask_graph__()),
        }
        for name, graph in graphs.items():
            extra = {"tasks": len(graph), "bytes": len(pickle.dumps(graph))}
            results.append(Result("graph", f"{n_frames} frames", name, (), (), extra))
    return results
