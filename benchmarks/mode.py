"""The level of a flat of 2048x2048 pixels, by each way of measuring it."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.stats import mode as scipy_mode

from benchmarks.harness import Contestant, Result, Settings, compete
from daskred.kernels.level import METHODS, frame_level


def run(settings: Settings) -> list[Result]:
    """Time each method beside scipy's mode."""
    side = 64 if settings.tiny else 2048
    y, x = np.mgrid[:side, :side] / side - 0.5
    rng = np.random.default_rng(1)
    frame = rng.poisson(20000 * (1 - 0.4 * (x**2 + y**2))).astype("f8")
    contestants = [
        Contestant(f"daskred {method}", partial(frame_level, [frame], method)) for method in METHODS
    ]
    contestants.append(Contestant("scipy.stats.mode", lambda: scipy_mode(frame.reshape(-1))[0]))
    return compete("mode", f"{side}x{side} pixels, float64", contestants, settings)
