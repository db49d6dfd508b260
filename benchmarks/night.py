"""A whole night, process by process: daskred beside the limit, the notebook and its peers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from astropy.io import fits

from benchmarks.harness import Contestant, Result, Settings, compete, python, run_process
from benchmarks.nights import simulated, warm

# (side, darks of either time and flats, science frames, whether the slow peers take part)
CASES = ((256, 61, 500, True), (1024, 61, 40, True), (2048, 61, 60, False))
PEERS_FOLDER = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Peer:
    """Another program that reduces a night.

    Parameters
    ----------
    name
        Its script is ``peers/NAME_night.py``; of a C program, the source is ``peers/NAME_night.c``.
    needs
        The module or the command that must be installed.
    scaling
        Which way of ours to scale flats is its way; empty for the limit, which makes no frames.
    part, tolerance
        So many of the pixels of a calibrated frame agree with ours within this, relative.
    any_scale
        Whether its frames may differ from ours by a factor.
    slow
        Whether the large night takes it a minute or more.
    """

    name: str
    needs: str
    scaling: str = "median"
    part: float = 1.0
    tolerance: float = 2e-5
    any_scale: bool = False
    slow: bool = True


PEERS = (
    Peer("limit", "python", scaling="", slow=False),
    Peer("notebook", "scipy", scaling="exact-mode", tolerance=1e-12, slow=False),
    Peer("bottleneck", "bottleneck", slow=False),
    Peer("dask", "dask"),
    Peer("ccdproc", "ccdproc"),
    # Corrects hot pixels unasked, and scales to 0 ... 1.
    Peer("siril", "siril-cli", part=0.98, tolerance=1e-3, any_scale=True, slow=False),
    Peer("cpl", "cc"),
    # Scales by the median of a sample of each flat.
    Peer("iraf", "irafcl", tolerance=2e-3),
    # Takes 65535 for a pixel without a value.
    Peer("gnuastro", "astarithmetic", part=0.999),
)


def daskred(night: Path | str, out: Path, *options: str) -> list[str]:
    """Return the command that reduces a night."""
    return python("-m", "daskred.cli", "reduce", str(night), "-o", str(out), *options)


def peer_command(peer: Peer, folder: Path) -> list[str] | None:
    """Return the command of a peer, to be followed by night and products; None where it is missing.

    What is written in C is compiled into a folder.
    """
    if peer.needs == "python":
        return python(str(PEERS_FOLDER / f"{peer.name}.py"))
    if not shutil.which(peer.needs) and not (peer.needs.isalpha() and find_spec(peer.needs)):
        return None
    source = PEERS_FOLDER / f"{peer.name}_night.c"
    if not source.exists():
        return python(str(PEERS_FOLDER / f"{peer.name}_night.py"))
    program = folder / source.stem
    build = ["cc", "-O2", "-o", str(program), str(source), "-lcplcore", "-lcext"]
    built = subprocess.run(build, capture_output=True, check=False)
    return None if built.returncode else [str(program)]


def _on(command: Sequence[str], night: Path, out: Path) -> list[str]:
    return [*command, str(night), str(out)]


def _fresh(command: Callable[[Path], list[str]], out: Path) -> Callable[[], Path]:
    """Return a run of a command into a folder that is not there yet."""
    number = 0

    def run() -> Path:
        nonlocal number
        number += 1
        target = out / str(number)
        target.mkdir(parents=True)
        run_process(command(target))
        return target

    return run


def _first_product(out: Path) -> np.ndarray:
    path = next(iter(sorted(out.rglob("ktwo*-0001c.fits"))))
    with fits.open(path) as hdus:
        return np.asarray(next(hdu.data for hdu in hdus if hdu.data is not None), "f8")


def _check(night: Path, scratch: Path, peer: Peer, out: Path) -> None:
    """Raise where a peer's frame is not the one that daskred makes with the same scaling."""
    ours = scratch / f"check-{peer.name}"
    dtype = "float64" if peer.scaling == "exact-mode" else "float32"
    run_process(daskred(night, ours, "--normalize", peer.scaling, "--dtype", dtype))
    expected, found = _first_product(ours), _first_product(out)
    if peer.any_scale:
        found *= np.median(expected) / np.median(found)
    # Near zero, what is left of a difference has the rounding of what was subtracted.
    scale = np.abs(expected) + np.median(np.abs(expected))
    agree = np.abs(found - expected) <= peer.tolerance * scale
    if np.mean(agree) < peer.part:
        raise AssertionError(f"{peer.name}: {np.mean(~agree):.4%} of its pixels differ")


def run(settings: Settings) -> list[Result]:
    """Time nights of three sizes."""
    results = []
    cases = ((32, 3, 2, True),) if settings.tiny else CASES
    commands = {peer: peer_command(peer, settings.folder) for peer in PEERS}
    for side, n_each, n_science, slow in cases:
        night = simulated(settings, side, n_each, n_science)
        scratch = settings.folder / "night-products"
        shutil.rmtree(scratch, ignore_errors=True)
        ours = _fresh(partial(daskred, night), scratch / "daskred")
        contestants = [Contestant("daskred", ours, partial(warm, night))]
        for peer, command in commands.items():
            if command is None or (peer.slow and not slow):
                continue
            make = _fresh(
                partial(_on, command, night),
                scratch / peer.name,
            )
            contestants.append(Contestant(peer.name, make, partial(warm, night)))
            if peer.scaling:
                _check(night, scratch, peer, make())
        case = f"{n_each} + {n_each} + {n_each} + {n_science} frames of {side}x{side}"
        results += compete("night", case, contestants, settings)
        shutil.rmtree(scratch, ignore_errors=True)
    return results
