"""What a mask and uncertainties cost: a whole night with them beside the same night without."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.harness import Contestant, Result, Settings, compete, run_process
from benchmarks.night import daskred
from benchmarks.nights import fresh, simulated

CAMERA = """
[[amplifier]]
data = "[1:NAXIS1,1:NAXIS2]"
gain_e_per_adu = 1.6
read_noise_e = 8.0
"""
OPTIONS = {
    "plain": (),
    "mask": ("--mask",),
    "mask and uncertainty": ("--mask", "--uncertainty"),
    "both, sigma clipping": (
        *("--mask", "--uncertainty", "--combine", "mean", "--reject", "sigma"),
    ),
}


def run(settings: Settings) -> list[Result]:
    """Time whole runs."""
    side, n_each, n_science = (32, 3, 2) if settings.tiny else (2048, 61, 60)
    night = simulated(settings, side, n_each, n_science)
    camera = settings.folder / "camera.toml"
    camera.write_text(CAMERA)
    case = f"{n_each} + {n_each} + {n_each} + {n_science} frames of {side}x{side}"
    variants = {n: ("--camera", str(camera), *options) for n, options in OPTIONS.items()}
    return runs_beside("beside", case, night, variants, settings)


def runs_beside(
    benchmark: str,
    case: str,
    night: Path,
    variants: Mapping[str, Sequence[str]],
    settings: Settings,
) -> list[Result]:
    """Time whole runs of a night, in turn, with the options of each variant."""
    out = settings.folder / benchmark
    contestants = [
        Contestant(
            name, partial(run_process, daskred(night, out, *options)), partial(fresh, night, out)
        )
        for name, options in variants.items()
    ]
    results = compete(benchmark, case, contestants, settings)
    shutil.rmtree(out, ignore_errors=True)
    return results
