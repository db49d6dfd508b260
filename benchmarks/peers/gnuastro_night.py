"""The same steps with gnuastro's arithmetic, two jobs at once; flats scaled by their median."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

night, out = (Path(one).absolute() for one in sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)
darks = {seconds: out / f"MasterDark_{seconds}s.fits" for seconds in (10, 3)}
flat = out / "MasterFlat.fits"
BY_OWN_MEDIAN = ["set-i", "i", "i", "medianvalue", "/"]


def arithmetic(target, hdus, *words):
    """Run it; raw frames lie in HDU 0, what it has written itself in HDU 1."""
    options = ["--quiet", f"--output={target}", *hdus]
    subprocess.run(["astarithmetic", *options, *words], check=True, cwd=out)


def make_dark(seconds):
    paths = sorted(night.glob(f"dark/dark_{seconds}s-*.fits"))
    arithmetic(darks[seconds], ["-g0"], *paths, str(len(paths)), "median")


def scale(path):
    target = out / f"scaled-{path.name}"
    arithmetic(target, ["-h0", "-h1"], path, darks[3], "-", "float32", *BY_OWN_MEDIAN)


def calibrate(path):
    target = out / f"{path.stem}c.fits"
    arithmetic(target, ["-h0", "-h1", "-h1"], path, darks[10], "-", flat, "/", "float32")


with ThreadPoolExecutor(2) as jobs:
    list(jobs.map(make_dark, darks))
    list(jobs.map(scale, sorted(night.glob("flat/*.fits"))))
    scaled = sorted(out.glob("scaled-*.fits"))
    arithmetic(flat, ["-g1"], *scaled, str(len(scaled)), "median", *BY_OWN_MEDIAN)
    list(jobs.map(calibrate, sorted(night.glob("ktwo220274129/*.fits"))))
for path in scaled:
    path.unlink()
