"""A band of rows from many files, into one block."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from astropy.io import fits

from benchmarks.harness import Contestant, Result, Settings, compete
from benchmarks.nights import simulated
from daskred.arrays.tiles import Stack
from daskred.night.open import open_night
from daskred.options import Options


def _equal(first: Any, second: Any) -> None:
    np.testing.assert_array_equal(first, second)


def run(settings: Settings) -> list[Result]:
    """Time the first quarter of 61 darks."""
    side = 32 if settings.tiny else 1024
    folder = simulated(settings, side, n_each=61, n_science=40)
    frames = open_night(folder / "dark").select("dark", exptime_s=10)
    rows = side // 4
    stack = Stack(frames, 0, Options())
    looks = [None] * len(frames)
    offset = frames[0].images[0].offset
    memory = np.empty((len(frames), rows, side), "u2")

    def bytes_alone() -> None:
        for frame, out in zip(frames, memory, strict=True):
            descriptor = os.open(frame.path, os.O_RDONLY)
            os.preadv(descriptor, [out.reshape(-1).view("u1").data], offset)
            os.close(descriptor)

    def section() -> Any:
        block = np.empty((len(frames), rows, side), "u2")
        for number, frame in enumerate(frames):
            with fits.open(frame.path, memmap=False) as hdus:
                block[number] = hdus[0].section[:rows]
        return block

    contestants = [
        Contestant("daskred", lambda: stack.band(slice(0, rows), looks)[0]),
        Contestant("astropy .section", section),
        Contestant("the bytes alone (limit)", bytes_alone),
    ]
    case = f"{rows} rows of {len(frames)} frames of {side}x{side}"
    return compete("read", case, contestants, settings, _equal)
