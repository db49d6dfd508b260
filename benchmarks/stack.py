"""A stack of large float32 frames in little memory: the case of ccdproc's own issue tracker.

There (astropy/ccdproc#1012) the median of 40 frames of 4096x4096 with a limit of 50 MB for the
arrays took 363 s.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from astropy.io import fits

from benchmarks.harness import MB, Result, Settings, peak_memory, python
from benchmarks.night import PEERS_FOLDER, daskred
from benchmarks.nights import warm


def _frames(settings: Settings, side: int, n_frames: int) -> Path:
    folder = settings.folder / "nights" / f"float-{side}-{n_frames}"
    if not (folder / f"{n_frames - 1:02d}.fits").exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(1)
        for number in range(n_frames):
            pixels = rng.normal(1000, 10, (side, side)).astype("f4")
            header = fits.Header({"IMAGETYP": "Dark", "EXPTIME": 5.0, "RUN": number})
            target = folder / f"{number:02d}.fits"
            fits.PrimaryHDU(pixels, header).writeto(target, overwrite=True)
    return folder


def run(settings: Settings) -> list[Result]:
    """Time one master dark, and watch the memory of all processes."""
    side, n_frames = (32, 3) if settings.tiny else (4096, 40)
    folder = _frames(settings, side, n_frames)
    out = settings.folder / "stack"
    ours = daskred(folder, out, "--masters-only", "--memory", "500MB")
    theirs = python(
        str(PEERS_FOLDER / "ccdproc_stack.py"), str(folder), str(out / "theirs.fits"), "5e7"
    )
    results = []
    masters = []
    first: list[float] = []
    # The other takes minutes: once must do.
    cases = (
        ("daskred, --memory 500MB", ours, settings.turns),
        ("ccdproc, mem_limit=5e7", theirs, 1),
    )
    for name, command, turns in cases:
        seconds, peaks = [], []
        for _ in range(turns):
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            warm(folder)
            time, peak = peak_memory(command)
            seconds.append(time)
            peaks.append(peak / MB)
        masters.append(fits.getdata(next(out.rglob("*.fits"))))
        first = first or seconds
        ratios = tuple(own / np.median(first) for own in seconds)
        extra = {"peak, MB": f"{max(peaks):.0f}"}
        case = f"median of {n_frames} float32 frames of {side}x{side}"
        results.append(Result("stack", case, name, tuple(seconds), ratios, extra))
    shutil.rmtree(out)
    np.testing.assert_allclose(masters[0], masters[1], rtol=1e-6)
    return results
