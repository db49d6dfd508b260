"""Let one call after the other of a small run fail, and judge what became of it.

Whatever call fails, the run ends with a status that tells it and without a traceback; no product is
wrong; and the same command again gives the bytes of a quiet run, and leaves nothing else behind.
"""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from daskred import simulate
from daskred.fits.parts import TEMPORARY_MARK
from daskred.products.log import LOG_NAME

KINDS = ("EIO", "ENOENT", "EACCES", "EMFILE", "ENOSPC", "end", "short", "half", "kill", "killed")
_SHIM = Path(__file__).with_name("shim.c")
_TIME_LIMIT_S = 120
_GOOD = {0, 1, 2, 3}


def compiler() -> str | None:
    """Return the C compiler of this machine."""
    return shutil.which("cc") or shutil.which("gcc")


def build_shim(folder: Path) -> Path:
    """Compile what makes calls fail."""
    shim = folder / "shim.so"
    command = [
        str(compiler()),
        "-O1",
        "-w",
        "-fPIC",
        "-shared",
        "-o",
        str(shim),
        str(_SHIM),
        "-ldl",
    ]
    subprocess.run(command, check=True)
    return shim


def _plain(night: Path) -> None:
    simulate(night, shape=(16, 24), n_darks=3, n_flats=3, n_science=2, seed=3)


def _measured(night: Path) -> None:
    simulate(night, shape=(16, 24), n_bias=3, n_darks=3, n_flats=4, n_science=1, seed=3)


def _each(night: Path, change: Callable[[Path], None]) -> None:
    _plain(night)
    for path in sorted(night.rglob("*.fits")):
        change(path)


def _sections(path: Path) -> None:
    with fits.open(path) as hdus:
        data, header = hdus[0].data, hdus[0].header
    strip = np.full((len(data), 8), 900, data.dtype)
    header["TRIMSEC"], header["BIASSEC"] = "[1:24,1:16]", "[25:32,1:16]"
    header["GAIN"], header["RDNOISE"] = (2.0, "e/ADU"), 5.0
    fits.PrimaryHDU(np.hstack([data, strip]), header).writeto(path, overwrite=True)


def zipped(path: Path) -> None:
    """Pack a file, and remove it."""
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()


def _tiled(path: Path) -> None:
    with fits.open(path) as hdus:
        image = fits.CompImageHDU(hdus[0].data, hdus[0].header)
        image.writeto(path.with_name(f"{path.name}.fz"))
    path.unlink()


@dataclass(frozen=True)
class Case:
    """A run whose calls fail.

    Parameters
    ----------
    name
        Of the case.
    make
        Makes the night.
    options
        Of the command.
    command
        Its name.
    finished
        Whether OUT holds the products already.
    """

    name: str
    make: Callable[[Path], None]
    options: tuple[str, ...] = ()
    command: str = "reduce"
    finished: bool = False

    @property
    def makes(self) -> str:
        """The command that makes what is compared."""
        return "reduce" if self.command == "verify" else self.command


_ONE = ("--workers", "1")
_PLANES = ("--mask", "--uncertainty")
CASES = {
    case.name: case
    for case in (
        Case("plain", _plain, ("--workers", "2")),
        Case("threads", _plain, ("--threads", *_ONE)),
        Case("planes", lambda night: _each(night, _sections), (*_PLANES, *_ONE)),
        Case("gz", lambda night: _each(night, zipped), (*_ONE, "--compress", "gzip")),
        Case("fz", lambda night: _each(night, _tiled), (*_ONE, "--compress", "lossless")),
        Case("counts", _plain, (*_ONE, "--combine", "clipped-mean", "--counts")),
        Case("resume", _plain, _ONE, finished=True),
        Case("resume planes", lambda n: _each(n, _sections), (*_PLANES, *_ONE), finished=True),
        Case("verify", _plain, command="verify", finished=True),
        Case("characterize", _measured, _ONE, command="characterize"),
        Case("mask", _measured, _ONE, command="mask"),
    )
}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    output: str


class Sweep:
    """One case: its quiet run, and runs in which a call fails.

    Parameters
    ----------
    case
        The case.
    folder
        Where nights and products lie.
    shim
        What makes calls fail.
    """

    def __init__(self, case: Case, folder: Path, shim: Path) -> None:
        self.case, self._shim = case, shim
        self._night, self.out = folder / "night", folder / "out"
        self._counter, self._trace = folder / "counter", folder / "trace"
        self._finished = folder / "finished"
        case.make(self._night)
        self._quiet = self._run(case.makes)
        if self._quiet.status:
            raise RuntimeError(f"the quiet run failed: {self._quiet.output}")
        self.products = self._tree()
        shutil.copytree(self.out, self._finished)

    def calls(self) -> list[str]:
        """Return the calls of a quiet run that touch the night or the products: name and path."""
        self._prepare()
        self._trace.unlink(missing_ok=True)
        self._run(self.case.command, at=0)
        lines = sorted(self._trace.read_text().splitlines(), key=lambda line: int(line.split()[0]))
        return [line.partition(" ")[2] for line in lines]

    def judge(self, at: int, kind: str, always: bool = False) -> str:
        """Let one call fail; say what is wrong with what became of it, or nothing."""
        self._prepare()
        self._trace.unlink(missing_ok=True)
        ended = self._run(self.case.command, at=at, kind=kind, always=always)
        if not self._n_faults():
            return ""
        place = self._trace.read_text().splitlines()[0] if self._trace.exists() else f"{at} ?"
        return "; ".join(
            f"{self.case.name} {kind} at {place}: {w}" for w in self._wrong(ended, kind)
        )

    def _wrong(self, ended: Ended, kind: str) -> Iterator[str]:
        was_killed = kind in ("kill", "killed") and ended.status < 0
        if not was_killed and ended.status not in _GOOD:
            yield f"status {ended.status}: {ended.output[-600:]}"
        if "Traceback" in ended.output:
            yield f"a traceback: {ended.output[-900:]}"
        made = self.case.command == self.case.makes
        # What could not be cleaned up may stay until the next run.
        if made and ended.status == 0 and self._tree(finished=True) != self.products:
            yield f"status 0, and products differ: {self._differing()}: {ended.output[-400:]}"
        again = self._run(self.case.makes)
        if again.status:
            yield f"the same command again ended with {again.status}: {again.output[-600:]}"
        if self._tree() != self.products:
            yield f"after the same command again products differ: {self._differing()}"

    def _prepare(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        if self.case.finished:
            shutil.copytree(self._finished, self.out)

    def _tree(self, finished: bool = False) -> dict[str, bytes]:
        """Return all files below OUT but the log; or all that bear their final names."""
        paths = (path for path in sorted(self.out.rglob("*")) if path.is_file())
        return {
            str(path.relative_to(self.out)): path.read_bytes()
            for path in paths
            if path.name != LOG_NAME and not (finished and path.name.startswith(TEMPORARY_MARK))
        }

    def _differing(self) -> list[str]:
        found = self._tree()
        names = found.keys() | self.products.keys()
        return sorted(name for name in names if found.get(name) != self.products.get(name))

    def _n_faults(self) -> int:
        return int(struct.unpack("QQ", self._counter.read_bytes())[1])

    def _run(
        self, command: str, at: int | None = None, kind: str = "", always: bool = False
    ) -> Ended:
        arguments: Sequence[str] = [str(self.out)]
        if command != "verify":
            arguments = [str(self._night), "-o", str(self.out), *self.case.options]
        environment = dict(os.environ)
        if at is not None:
            self._counter.write_bytes(struct.pack("QQ", 0, 0))
            environment |= {
                "LD_PRELOAD": str(self._shim),
                "FAULT_FOLDERS": f"{self._night}:{self.out}",
                "FAULT_COUNTER": str(self._counter),
                "FAULT_AT": str(at),
                "FAULT_ALWAYS": str(int(always)),
                "FAULT_KIND": kind,
                "FAULT_TRACE": str(self._trace),
            }
        try:
            done = subprocess.run(
                [sys.executable, "-m", "daskred.cli", command, *arguments],
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIME_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Ended(-999, "it hangs")
        return Ended(done.returncode, done.stdout + done.stderr)
