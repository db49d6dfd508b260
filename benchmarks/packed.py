"""What packed frames cost: a night of them beside unpacking it first, and then a plain run."""

from __future__ import annotations

import gzip
import shutil
from functools import partial
from pathlib import Path

from astropy.io import fits

from benchmarks.harness import Contestant, Result, Settings, compete, python, run_process
from benchmarks.night import daskred
from benchmarks.nights import fresh, simulated

_FITSIO = """
import sys, fitsio
from pathlib import Path
for path in map(Path, sys.argv[1:]):
    fitsio.write(path.with_suffix(""), fitsio.read(path, ext=1), clobber=True)
"""


def _packed(night: Path, suffix: str) -> Path:
    """Return a night whose frames are packed; it is made once and kept."""
    target = night.with_name(f"{night.name}{suffix}")
    if target.exists():
        return target
    for path in night.rglob("*.fits"):
        packed = target / path.relative_to(night).with_name(path.name + suffix)
        packed.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".gz":
            packed.write_bytes(gzip.compress(path.read_bytes(), 1))
            continue
        with fits.open(path) as hdus:
            image = fits.CompImageHDU(hdus[0].data, hdus[0].header, compression_type="RICE_1")
            fits.HDUList([fits.PrimaryHDU(), image]).writeto(packed)
    return target


def _unpacked(packed: Path, target: Path) -> None:
    """Unpack a night as its users do: with gunzip, or funpack where it is there, else fitsio."""
    shutil.copytree(packed, target)
    names = sorted(str(path) for path in target.rglob("*.fits.*"))
    if names[0].endswith(".gz"):
        run_process(["gunzip", *names])
    elif shutil.which("funpack"):
        run_process(["funpack", "-D", *names])
    else:
        run_process(python("-c", _FITSIO, *names))


def _first_unpacked(packed: Path, plain: Path, out: Path) -> None:
    # What is read then need not have the cards of a night: the time is that of unpacking.
    target = out.with_name("unpacked")
    shutil.rmtree(target, ignore_errors=True)
    _unpacked(packed, target)
    run_process(daskred(plain, out))


def run(settings: Settings) -> list[Result]:
    """Time whole runs of nights packed by gzip and by Rice's tiles."""
    side, n_each, n_science = (32, 3, 2) if settings.tiny else (1024, 31, 30)
    night = simulated(settings, side, n_each, n_science)
    out = settings.folder / "packed"
    results = []
    for suffix in (".gz", ".fz"):
        packed = _packed(night, suffix)
        prepare = partial(fresh, packed, out)
        contestants = [
            Contestant("unpacked first", partial(_first_unpacked, packed, night, out), prepare),
            Contestant("packed", partial(run_process, daskred(packed, out)), prepare),
            Contestant("plain", partial(run_process, daskred(night, out)), prepare),
        ]
        case = f"{n_each} + {n_each} + {n_each} + {n_science} frames of {side}x{side}, {suffix}"
        results += compete("packed", case, contestants, settings)
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(out.with_name("unpacked"), ignore_errors=True)
    return results
