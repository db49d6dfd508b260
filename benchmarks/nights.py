"""Simulated nights that benchmarks share; each is made once and kept."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness import Settings
from daskred import simulate


def simulated(settings: Settings, side: int, n_each: int, n_science: int) -> Path:
    """Return the folder of a night of so many darks of either time, flats, and science frames."""
    folder = settings.folder / "nights" / f"{side}-{n_each}-{n_science}"
    if not (folder / "truth.npz").exists():
        simulate(folder, shape=(side, side), n_darks=n_each, n_flats=n_each, n_science=n_science)
    return folder
