"""Median over frames, one thread: the selection network beside what else there is."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Contestant, Result, Settings, compete
from daskred.kernels.median import median_over_frames

N_PIXELS = 131072


def _equal(first: Any, second: Any) -> None:
    np.testing.assert_allclose(first, second, rtol=1e-6)


def run(settings: Settings) -> list[Result]:
    """Time medians over 3 to 1,001 frames of several types."""
    n_pixels = 512 if settings.tiny else N_PIXELS
    results = []
    for n_frames in (3, 11, 61, 201, 1001):
        for dtype in ("u1", "u2", "f4", "f8"):
            if dtype != "u2" and n_frames not in (11, 61):
                continue
            rng = np.random.default_rng(n_frames)
            stack = rng.integers(0, 250, (n_frames, n_pixels)).astype(dtype)
            contestants = [
                Contestant("daskred", partial(median_over_frames, stack)),
                Contestant("numpy.median", partial(np.median, stack, axis=0)),
                Contestant("numpy.partition", partial(_by_partition, stack)),
            ]
            try:
                import bottleneck
            except ImportError:
                pass
            else:
                contestants.append(
                    Contestant("bottleneck", partial(bottleneck.median, stack, axis=0))
                )
            case = f"{n_frames} frames of {n_pixels} pixels, {np.dtype(dtype).name}"
            results += compete("median", case, contestants, settings, _equal)
    return results


def _by_partition(stack: Any) -> Any:
    """Partition columns that lie together in memory."""
    middle = len(stack) // 2
    columns = np.ascontiguousarray(stack.T)
    return np.partition(columns, middle, axis=1)[:, middle] if len(stack) % 2 else None
