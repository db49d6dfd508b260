"""What this machine has: processors, memory, disk, libraries, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from daskred import __version__
from daskred.engine.forking import n_processors
from daskred.fits.parts import part_in
from daskred.kernels.compiled import kernels_in_use
from daskred.model.paths import absolute
from daskred.products.log import can_lock
from daskred.run.budget import available_bytes

_NEEDED = (
    *("astropy", "dask", "distributed", "jinja2", "matplotlib", "numpy", "rich", "scipy"),
    *("shtab", "tqdm", "uncompresspy", "xarray"),
)
# Packages that some options need: with which extra they come, and what for.
_EXTRAS: Mapping[str, tuple[str, str]] = {
    "astroscrappy": ("cosmics", "--cosmics: cosmic rays"),
    "sep": ("stars", "stars in reports and in inspect"),
    "fsspec": ("remote", "nights at addresses"),
    "s3fs": ("remote", "nights at s3://"),
    "zarr": ("zarr", "write_zarr"),
}
_TRIAL_BYTES = 2**26
_BLOCK_BYTES = 2**22


@dataclass(frozen=True)
class Machine:
    """What was found.

    Parameters
    ----------
    daskred, python, system
        Versions.
    kernels
        Which innermost loops are in use: ``compiled`` or ``numpy``.
    processors, free_memory_bytes
        What a run may use.
    packages
        The version of each package; None of what is missing.
    folder, free_disk_bytes, write_bytes_per_s, has_locks
        A folder, what its disk has free, how fast it takes bytes until they are safe, and whether
        its file system keeps two runs apart.
    remarks
        What is missing or slow, and the way out.
    """

    daskred: str
    python: str
    system: str
    kernels: str
    processors: int
    free_memory_bytes: int
    packages: Mapping[str, str | None]
    folder: str
    free_disk_bytes: int
    write_bytes_per_s: float
    has_locks: bool
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def look_at_machine(folder: str | Path = ".") -> Machine:
    """Say what this machine has; writes a trial file of 64 MB into a folder, and removes it.

    Of a folder that is not there yet, it is the one above that is tried.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     machine = look_at_machine(folder)
    >>> machine.processors > 0, machine.packages["numpy"] is not None
    (True, True)
    """
    named = absolute(folder)
    folder = next(above for above in (named, *named.parents) if above.is_dir())
    free, speed, has_locks, problems = shutil.disk_usage(folder).free, 0.0, True, []
    try:
        speed, has_locks = _tried(folder)
    except OSError as error:
        problems.append(f"{folder}: nothing can be written there: {error.strerror}")
    packages = {name: _version(name) for name in (*_NEEDED, *_EXTRAS)}
    return Machine(
        daskred=__version__,
        python=platform.python_version(),
        system=platform.platform(),
        kernels=kernels_in_use(),
        processors=n_processors(),
        free_memory_bytes=available_bytes(),
        packages=packages,
        folder=str(folder),
        free_disk_bytes=free,
        write_bytes_per_s=round(speed),
        has_locks=has_locks,
        remarks=(*problems, *_remarks(packages, has_locks)),
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _remarks(packages: Mapping[str, str | None], has_locks: bool) -> list[str]:
    found = []
    if kernels_in_use() == "numpy" and os.environ.get("DASKRED_KERNELS") != "numpy":
        found.append(
            "the kernels are those of numpy, which are slower: with a C compiler,"
            " pip install --force-reinstall --no-deps daskred makes the others"
        )
    for name, (extra, purpose) in _EXTRAS.items():
        if packages[name] is None:
            found.append(f"{name} is missing ({purpose}): pip install 'daskred[{extra}]'")
    if not has_locks:
        found.append("the file system has no locks: let only one run write there at once")
    return found


def _tried(folder: Path) -> tuple[float, bool]:
    """Return how many bytes a second a folder takes, and whether its files can be locked."""
    trial = part_in(folder)
    block = os.urandom(_BLOCK_BYTES)
    try:
        with trial.open("wb", buffering=0) as file:
            start = time.perf_counter()
            for _ in range(_TRIAL_BYTES // _BLOCK_BYTES):
                file.write(block)
            os.fsync(file.fileno())
            seconds = time.perf_counter() - start
            return _TRIAL_BYTES / seconds, can_lock(file.fileno())
    finally:
        trial.unlink(missing_ok=True)
