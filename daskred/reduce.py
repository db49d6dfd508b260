"""Reduce a night: make a plan, carry it out into a folder, and say what became of every frame."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daskred.errors import FrameError, FramesError, RequestError, RunError
from daskred.execute import Executor, Workers
from daskred.fitswrite import TEMPORARY_MARK
from daskred.memory import Budget, budget
from daskred.night import LeftOut, Night
from daskred.options import Options
from daskred.plan import MASTERS_FOLDER, Plan
from daskred.planning import make_plan
from daskred.progress import Progress, Silent
from daskred.run import Run
from daskred.storage import is_remote
from daskred.tasks import Receipt


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Parameters
    ----------
    out
        The folder of products.
    plan
        The plan that was carried out, without the frames that failed on the way.
    masters, science
        A receipt for each product.
    seconds
        How long it took.
    """

    out: Path
    plan: Plan
    masters: tuple[Receipt, ...]
    science: tuple[Receipt, ...]
    seconds: float

    @property
    def failed(self) -> tuple[LeftOut, ...]:
        """The frames that are missing from the products."""
        return tuple(entry for entry in self.plan.left_out if entry.failed)


@contextlib.contextmanager
def _sole_use(out: Path) -> Iterator[None]:
    """Hold the folder of products for one run; a run that dies lets go of it."""
    descriptor = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RequestError(f"{out}: another run of daskred is writing there; wait") from error
        yield
    finally:
        os.close(descriptor)


def _remove_parts(out: Path, plan: Plan) -> None:
    """Remove what a killed run left unfinished beside the products of this one."""
    folders = {out / MASTERS_FOLDER} | {(out / one.product).parent for one in plan.science}
    for folder in folders:
        for part in folder.glob(f"{TEMPORARY_MARK}*"):
            if part.is_file():
                part.unlink(missing_ok=True)


def folder_of_products(out: str | Path) -> Path:
    """Return the folder of products; make it where it is missing.

    Raises
    ------
    RequestError
        When it cannot be made or written.
    """
    if is_remote(str(out)):
        raise RequestError(f"-o {out}: products are written to a folder of this machine; name one")
    out = Path(out).absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise RequestError(f"-o {out}: is, or lies in, a file; name a folder") from error
    except OSError as error:
        raise RequestError(f"-o {out}: cannot be made: {error.strerror}") from error
    for folder in (out, out / MASTERS_FOLDER):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            raise RequestError(f"-o {folder}: no permission to write there; name another folder")
    return out


def check_plan(plan: Plan, masters_only: bool) -> None:
    """Raise RequestError for a plan that has nothing to do."""
    kinds = [frame.kind for frame in plan.frames]
    if masters_only:
        if not plan.masters:
            raise RequestError("no masters can be made: there are no calibration frames to use")
    elif "science" not in kinds or not any(
        f.kind == "science" and f.path not in _set_aside(plan) for f in plan.frames
    ):
        raise RequestError(
            f"no science frames: {_counted(plan)};"
            " --kind science='PATTERN' names them, --masters-only makes the masters alone,"
            " daskred plan tells why each frame is what it is"
        )


def _counted(plan: Plan) -> str:
    """Say what frames there are, and the first of those that are none."""
    kinds = Counter(frame.kind for frame in plan.frames)
    parts = [f"{number} {kind}" for kind, number in sorted(kinds.items())]
    known = {frame.path for frame in plan.frames}
    broken = [entry for entry in plan.left_out if entry.path not in known]
    if broken:
        parts.append(f"{len(broken)} that are none ({broken[0].name} {broken[0].reason})")
    return f"the night has {', '.join(parts)}"


def _set_aside(plan: Plan) -> set[str]:
    """Paths of the frames that need no calibration, as masters and duplicates."""
    return {entry.path for entry in plan.left_out if not entry.failed}


def reduce_night(
    night: Night,
    out: str | Path,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Make a night's masters, and calibrate its science frames.

    Writes ``OUT/masters/*.fits`` and the calibrated frames, each atomically. What stands there
    already, made from the same inputs in the same way, is not made again. A frame whose pixels
    turn out to be unusable is left out, and what it would have gone into is made without it.

    Parameters
    ----------
    night
        The classified frames.
    out
        The folder of products.
    options
        How.
    progress
        Told how far it is.

    Raises
    ------
    RequestError
        When there is nothing to do, or ``out`` cannot be written; nothing is written then.
    RunError
        When the run has to stop, as on a full disk; what is done stays.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name, shape=(16, 16), n_darks=3, n_flats=3, n_science=2)
    >>> summary = reduce_night(open_night(folder.name), folder.name + "/out")
    >>> [receipt.product for receipt in summary.masters]
    ['masters/MasterDark_10s.fits', 'masters/MasterDark_3s.fits', 'masters/MasterFlat_BG40.fits']
    >>> len(summary.science), summary.failed
    (2, ())
    >>> folder.cleanup()
    """
    start = time.monotonic()
    options = options or Options()
    plan = make_plan(night, options.allow)
    check_plan(plan, options.masters_only)
    memory = plan_memory(plan, options)
    out = folder_of_products(out)
    # Workers are forked before the folder is held, and end before it is let go of.
    with Executor(options.workers, memory.n_workers) as executor, _sole_use(out):
        try:
            _remove_parts(out, plan)
            run = Run(out, options, executor, progress or Silent(), memory.tile_bytes)
            plan, masters, science = _carried_out(run, night, plan, options)
        finally:
            executor.close()
    return Summary(out, plan, masters, science, time.monotonic() - start)


def _carried_out(
    run: Run, night: Night, plan: Plan, options: Options
) -> tuple[Plan, tuple[Receipt, ...], tuple[Receipt, ...]]:
    """Carry out a plan, and make it again without the frames that turn out to be unusable."""
    while True:
        try:
            return plan, *run.carry_out(plan)
        except (FrameError, FramesError) as error:
            night = _without(night, error)
            plan = make_plan(night, options.allow)
        except BrokenExecutor as error:
            raise RunError(
                "stopped: a worker ended at once, perhaps for want of memory; what is done stays,"
                " the same command goes on from there; --memory and --workers ask for less"
            ) from error
        except OSError as error:
            raise RunError(
                f"stopped: {error.filename or 'a product'}: {error.strerror or error};"
                " what is done stays, the same command goes on from there"
            ) from error


def plan_memory(plan: Plan, options: Options) -> Budget:
    """Return how a plan fits into memory.

    Raises
    ------
    RequestError
        When it does not.
    """
    frames = [one.frame for one in plan.science]
    frames += [one.frame for master in plan.masters for one in master.inputs]
    corrections = [one.correction for one in plan.science]
    corrections += [one.correction for master in plan.masters for one in master.inputs]
    return budget(
        frames,
        max((len(master.inputs) for master in plan.masters), default=1),
        (options.workers or Workers()).number,
        options.memory_bytes,
        dtype_bytes=np.dtype(options.dtype).itemsize,
        scaled_darks=any(correction.dark_scale != 1 for correction in corrections),
        whole=options.normalize != "mode",
    )


def _without(night: Night, error: FrameError | FramesError) -> Night:
    """Return the night without frames that failed; what is no raw frame stops the run."""
    errors = error.errors if isinstance(error, FramesError) else (error,)
    usable = {frame.path for frame in night.raw}
    for one in errors:
        if one.path not in usable:
            raise RunError(f"stopped: {one}") from one
    return night.without(errors)
