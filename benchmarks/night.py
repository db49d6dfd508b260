"""A whole night, process by process: daskred beside the limit, the notebook and its peers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from astropy.io import fits

from benchmarks.harness import Contestant, Result, Settings, compete, python, run_process
from benchmarks.nights import simulated, warm

# (side, darks of either time and flats, science frames, whether the slow peers take part)
CASES = ((256, 61, 500, True), (1024, 61, 40, True), (2048, 61, 60, False))
SCRIPTS = Path(__file__).parent / "peers"
# Of what each script needs, and what its flats are scaled by.
PEERS = {
    "notebook": ("scipy", "exact-mode"),
    "bottleneck_night": ("bottleneck", "median"),
    "dask_night": ("dask", "median"),
    "ccdproc_night": ("ccdproc", "median"),
}


def daskred(night: Path, out: Path, *options: str) -> list[str]:
    """Return the command that reduces a night."""
    return python("-m", "daskred.cli", "reduce", str(night), "-o", str(out), *options)


def _script(script: str, night: Path, out: Path) -> list[str]:
    return python(script, str(night), str(out))


def _fresh(command: Callable[[Path], list[str]], out: Path) -> Callable[[], Path]:
    """Return a run of a command into a folder that is not there yet."""
    number = 0

    def run() -> Path:
        nonlocal number
        number += 1
        target = out / str(number)
        run_process(command(target))
        return target

    return run


def _first_product(out: Path) -> np.ndarray:
    path = next(iter(sorted(out.rglob("ktwo*-0001c.fits"))))
    return np.asarray(fits.getdata(path), "f8")


def _check(night: Path, scratch: Path, name: str, scaling: str, out: Path) -> None:
    """Raise where a peer's frame is not the one that daskred makes with the same scaling."""
    ours = scratch / f"check-{name}"
    dtype = "float64" if scaling == "exact-mode" else "float32"
    run_process(daskred(night, ours, "--normalize", scaling, "--dtype", dtype))
    tolerance = 1e-12 if scaling == "exact-mode" else 2e-5
    np.testing.assert_allclose(_first_product(out), _first_product(ours), rtol=tolerance)


def run(settings: Settings) -> list[Result]:
    """Time nights of three sizes."""
    results = []
    cases = ((32, 3, 2, True),) if settings.tiny else CASES
    for side, n_each, n_science, slow in cases:
        night = simulated(settings, side, n_each, n_science)
        scratch = settings.folder / "night-products"
        shutil.rmtree(scratch, ignore_errors=True)
        contestants = [Contestant("daskred", _fresh(partial(daskred, night), scratch / "daskred"))]
        names = {"limit": ""} | {
            name: scaling
            for name, (module, scaling) in PEERS.items()
            if find_spec(module) and (slow or name in ("notebook", "bottleneck_night"))
        }
        for name in names:
            script = str(SCRIPTS / f"{name}.py")
            make = _fresh(partial(_script, script, night), scratch / name)
            contestants.append(Contestant(name.removesuffix("_night"), make, partial(warm, night)))
        for name, scaling in names.items():
            if scaling:
                own = next(c for c in contestants if c.name == name.removesuffix("_night"))
                _check(night, scratch, name, scaling, own.run())
        case = f"{n_each} + {n_each} + {n_each} + {n_science} frames of {side}x{side}"
        results += compete("night", case, contestants, settings)
        shutil.rmtree(scratch, ignore_errors=True)
    return results
