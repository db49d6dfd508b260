"""Tasks and bytes of graphs against the number of frames."""

from __future__ import annotations

import pickle
from typing import Any

import dask

import daskred
from benchmarks.harness import Result, Settings
from benchmarks.nights import simulated
from daskred.blocks import FrameStack, block_tasks, frames_per_task, tile_tasks
from daskred.kernels.combine import median_tile
from daskred.raster import Raster


def run(settings: Settings) -> list[Result]:
    """Count tasks, and bytes as they would travel to a cluster."""
    night = daskred.open_night(simulated(settings, 32, 3, 2))
    one = night.select("science")[:1]
    raster = Raster(settings.folder / "raster", one[0].images[0].shape, "float32")
    results = []
    for n_frames in (10, 100) if settings.tiny else (10, 100, 1000, 10000):
        frames = one * n_frames
        lazy = daskred.calibrate(daskred.open_frames(frames)).data
        (array,) = dask.optimize(lazy)
        graphs: dict[str, Any] = {
            "a run's science frames": list(
                block_tasks(list, frames, ["a path"] * n_frames, frames_per_task(frames, 8))
            ),
            "a run's master": list(tile_tasks(median_tile, FrameStack(frames), [], 4, [raster])),
            "a notebook's calibrated array": dict(array.__dask_graph__()),
        }
        for name, graph in graphs.items():
            extra = {"tasks": len(graph), "bytes": len(pickle.dumps(graph))}
            results.append(Result("graph", f"{n_frames} frames", name, (), (), extra))
    return results
