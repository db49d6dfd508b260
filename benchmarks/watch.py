"""Frames that come five a second for ten minutes: how soon each is calibrated, also with kills."""

from __future__ import annotations

import random
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import daskred
from benchmarks.harness import Result, Settings, python
from benchmarks.nights import simulated

_PER_SECOND = 5.0
_SETTLE_S = 2.0
_LOOK_S = 0.02
_PATIENCE_S = 120.0


def run(settings: Settings) -> list[Result]:
    """Let a night arrive, undisturbed and with a watch that is killed again and again."""
    side, n_each, n_science, n_kills = (32, 3, 10, 1) if settings.tiny else (256, 31, 3000, 50)
    night = simulated(settings, side, n_each, n_science)
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        once = Path(folder) / "once"
        daskred.reduce_night(night, once)
        results = []
        for name, kills in (("watched", 0), (f"watched, killed {n_kills} times", n_kills)):
            live, out = Path(folder) / "live", Path(folder) / "out"
            delays = _arrival(night, live, out, kills)
            if _products(out) != _products(once):
                raise RuntimeError(f"{name}: the products are not those of one run over the night")
            case = f"{n_science} frames of {side}x{side}, {_PER_SECOND:g} a second"
            extra = {
                "median_s": round(statistics.median(delays), 3),
                "most_s": round(max(delays), 3),
                "same_bytes": True,
            }
            results.append(Result("watch", case, name, (), (), extra))
            for path in (live, out):
                shutil.rmtree(path)
    return results


def _products(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.fits")}


def _start(live: Path, out: Path) -> subprocess.Popen[bytes]:
    words = ("watch", str(live), "-o", str(out), "--settle", str(_SETTLE_S))
    return subprocess.Popen(
        python("-m", "daskred.cli", *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _arrival(night: Path, live: Path, out: Path, n_kills: int) -> list[float]:
    """Copy a night's science frames to a watched folder; return how long each took, seconds."""
    science = sorted((night / daskred.simulation.TARGET).glob("*.fits"))
    (live / daskred.simulation.TARGET).mkdir(parents=True)
    for kind in ("dark", "flat"):
        shutil.copytree(night / kind, live / kind)
    chance = random.Random(1)
    kills = set(chance.sample(range(1, len(science)), n_kills))
    watch = _start(live, out)
    came: dict[Path, float] = {}
    delays: dict[Path, float] = {}
    begun = time.monotonic()
    try:
        while len(delays) < len(science):
            now = time.monotonic()
            if len(came) < len(science) and now - begun >= len(came) / _PER_SECOND:
                path = science[len(came)]
                if len(came) in kills:
                    watch.kill()
                    watch.wait()
                    watch = _start(live, out)
                shutil.copy(path, live / path.relative_to(night))
                came[path] = time.monotonic()
            for path in came.keys() - delays.keys():
                product = out / path.relative_to(night)
                if product.with_name(f"{product.stem}c.fits").exists():
                    delays[path] = time.monotonic() - came[path]
            if now - begun > len(science) / _PER_SECOND + _PATIENCE_S:
                raise RuntimeError(f"{len(science) - len(delays)} frames were never calibrated")
            time.sleep(_LOOK_S)
        watch.send_signal(signal.SIGINT)
        if watch.wait():
            raise RuntimeError(f"the watch ended with status {watch.returncode}")
    finally:
        if watch.poll() is None:
            watch.kill()
            watch.wait()
    return list(delays.values())
