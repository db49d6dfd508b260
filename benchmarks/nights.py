"""Simulated nights that benchmarks share; each is made once and kept."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.harness import Settings
from daskred import simulate


def warm(folder: Path) -> None:
    """Read every file of a night, so that whoever comes next finds it in the page cache."""
    for path in folder.rglob("*.fits*"):
        with path.open("rb", buffering=0) as file:
            while file.read(2**22):
                pass


def fresh(night: Path, out: Path) -> None:
    """Remove earlier products, and read the night, so that each turn begins alike."""
    shutil.rmtree(out, ignore_errors=True)
    warm(night)


def simulated(settings: Settings, side: int, n_each: int, n_science: int) -> Path:
    """Return the folder of a night of so many darks of either time, flats, and science frames."""
    folder = settings.folder / "nights" / f"{side}-{n_each}-{n_science}"
    if not (folder / "truth.npz").exists():
        simulate(folder, shape=(side, side), n_darks=n_each, n_flats=n_each, n_science=n_science)
    return folder
