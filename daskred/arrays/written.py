"""Calibrated frames, written: what a task does that ends in products."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daskred.arrays.calibrated import Calibrated
from daskred.arrays.masterfiles import Masters
from daskred.arrays.samples import ask
from daskred.arrays.sources import source_of
from daskred.fits.copies import drop_copy
from daskred.fits.names import plane_of
from daskred.fits.pack import PackingError
from daskred.fits.parts import Part, place
from daskred.fits.storage import map_concurrently, tried_twice
from daskred.fits.write import BegunPart
from daskred.kernels.robust import any_floats
from daskred.model.errors import FrameError
from daskred.model.frame import Frame
from daskred.model.receipt import Receipt
from daskred.products.write import CalibratedPixels, begin_calibrated, finish_calibrated
from daskred.steps import whole_steps
from daskred.steps.step import Recipe

_TOGETHER = 8  # frames: what their samples hold stays in the cache


@dataclass(frozen=True)
class WriteJob:
    """One calibrated frame to be written.

    Parameters
    ----------
    frame
        The raw frame.
    target, product
        The file, absolute and below the folder of products.
    recipe, key
        What it is made from.
    guard
        A file that is there as long as the run is, and its folder of products: an empty mount
        point is none, and a worker that is late must not write into another run's products.
    beside
        Frames of the same field, by which cosmic rays are told.
    """

    frame: Frame
    target: Path
    product: str
    recipe: Recipe
    key: str
    guard: Path | None = None
    beside: tuple[Frame, ...] = ()


def this_worker() -> str:
    """Return who does the work: machine and process."""
    return f"{platform.node()}:{os.getpid()}"


def calibrate_jobs(
    jobs: Sequence[WriteJob], masters: Masters
) -> Sequence[CalibratedPixels | FrameError]:
    """Return the frames of jobs, to be calibrated when their pixels are wanted.

    A master that cannot be read, nor the next moment, is an error of each of them.
    """
    recipe = jobs[0].recipe
    sources = [source_of(job.frame, recipe.options) for job in jobs]
    try:
        load = partial(masters.load, len(sources[0].shapes), recipe.options.wants_noise)
        tried_twice(load, FrameError)  # they stay in memory
    except FrameError as error:
        return [FrameError(job.frame.path, f"its master {error}") for job in jobs]
    return [
        Calibrated(source, masters, job.recipe, job.frame, job.beside)
        for job, source in zip(jobs, sources, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Written:
    """A calibrated frame that is written, and has not got its name yet.

    Parameters
    ----------
    part
        The file.
    receipt
        What is told of it.
    """

    part: Part
    receipt: Receipt


def place_frames(results: Sequence[Written | FrameError], sync: bool) -> list[Receipt | FrameError]:
    """Give frames that are written their names: for each a receipt, or why it cannot be used.

    Parameters
    ----------
    results
        As `write_jobs` returns them.
    sync
        Whether they are made safe from a power cut, all at once.

    Raises
    ------
    OSError
        When that fails.
    """
    place([result.part for result in results if isinstance(result, Written)], sync)
    return [result.receipt if isinstance(result, Written) else result for result in results]


def write_jobs(
    jobs: Sequence[WriteJob], calibrated: Sequence[CalibratedPixels | FrameError]
) -> list[Written | FrameError]:
    """Write calibrated frames, to be placed; or tell why one cannot be used.

    What their pixels say is asked of some frames together, when these have been written.
    """
    options = jobs[0].recipe.options
    # Images that are whole in memory are so one by one, also where their frames lie far away.
    whole = options.mask or options.uncertainty or whole_steps(options)
    paths = [] if whole else [job.frame.path for job in jobs]
    results: list[Written | FrameError] = []
    for start in range(0, len(jobs), _TOGETHER):
        some = slice(start, start + _TOGETHER)
        pairs = list(zip(jobs[some], calibrated[some], strict=True))
        begun = list(map_concurrently(lambda pair: _begun(*pair), pairs, paths))
        ask([frame.samples for frame in calibrated[some] if isinstance(frame, Calibrated)])
        results += [frame if isinstance(frame, FrameError) else _finished(frame) for frame in begun]
        for job in jobs[some]:
            if plane_of(job.frame.path) is None:  # of a cube other exposures may follow
                drop_copy(job.frame.path)
    return results


@dataclass(frozen=True)
class _Begun:
    """A calibrated frame whose pixels are written."""

    job: WriteJob
    calibrated: CalibratedPixels
    part: BegunPart
    seconds: float


@any_floats
def _begun(job: WriteJob, calibrated: CalibratedPixels | FrameError) -> _Begun | FrameError:
    if isinstance(calibrated, FrameError):
        return calibrated
    start = time.monotonic()
    try:
        _check_name(job.target)
        part = begin_calibrated(job.target, job.frame, job.recipe, calibrated, job.key, job.guard)
    except FrameError as error:
        # What it needs beside itself may fail too, as a map of bad pixels.
        return error if error.path == job.frame.path else FrameError(job.frame.path, str(error))
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return FrameError(job.frame.path, f"the name of its product is too long: {job.product}")
    return _Begun(job, calibrated, part, time.monotonic() - start)


def _finished(begun: _Begun) -> Written | FrameError:
    start = time.monotonic()
    job, calibrated = begun.job, begun.calibrated
    try:
        part = finish_calibrated(begun.part, job.frame, calibrated, job.recipe.options)
    except FrameError as error:
        return error
    except PackingError as error:
        return FrameError(job.frame.path, f"its product cannot be packed: {error}")
    receipt = Receipt(
        job.product,
        job.frame.name,
        1,
        made=True,
        n_nan=begun.part.n_nan,
        n_bytes=part.path.stat().st_size,
        seconds=begun.seconds + time.monotonic() - start,
        worker=this_worker(),
        counts=dict(calibrated.counts),
        figures=dict(calibrated.figures),
        light=calibrated.light,
    )
    return Written(part, receipt)


def _check_name(target: Path) -> None:
    """Raise OSError for a name that no file can get, before any work is done."""
    with contextlib.suppress(FileNotFoundError):
        target.lstat()
