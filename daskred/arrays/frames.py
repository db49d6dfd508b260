"""The graph of what is done frame by frame: looks, levels, and calibrated frames.

One task takes a block of whole frames; what is asked of them, and done to them, stands together,
which makes the file a little longer than others. Calibrated frames pass the steps band by band when
they are written, or made into arrays; see `daskred.arrays.calibrated`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daskred.arrays.calibrated import Calibrated
from daskred.arrays.looks import Look, look_at
from daskred.arrays.masterfiles import Masters
from daskred.arrays.oddities import Kept, pile_in
from daskred.arrays.sources import Source, source_of
from daskred.engine.task import Key, Task
from daskred.fits.pack import PackingError
from daskred.fits.parts import Part, place
from daskred.fits.storage import tried_twice
from daskred.kernels.level import Light, level, light_of, sampling_step
from daskred.kernels.robust import any_floats
from daskred.kernels.scratch import scratch
from daskred.model.errors import FrameError
from daskred.model.frame import Frame
from daskred.model.receipt import Receipt
from daskred.products.write import CalibratedPixels, write_calibrated
from daskred.steps.step import Recipe

if TYPE_CHECKING:
    from daskred.options import Options

# A task that works through so many pixels lasts some hundredths of a second, and makes up for what
# it costs to hand out.
TASK_PIXELS = 2**23


def frames_in(n_pixels: int, frames: Sequence[Frame], n_parts: int) -> int:
    """Return how many frames have so many pixels, at least one, and make so many parts."""
    return max(1, min(n_pixels // frames[0].n_pixels, -(-len(frames) // n_parts)))


def frame_tasks(
    name: str,
    items: Sequence[Any],
    paths: Sequence[str],
    n_per_task: int,
    *works: Callable[..., Any],
) -> Iterator[Task]:
    """Map functions, one behind the other, over blocks of items.

    Parameters
    ----------
    name
        Of the keys.
    items
        What the work is done on.
    paths
        For each item the file that it reads.
    n_per_task
        Number of items that one task takes.
    *works
        The first is called with a block of items, the next with the items and what the one before
        has returned; the last returns a list with an entry for each item.
    """

    def task(start: int, batch: tuple[Any, ...], batch_paths: tuple[str, ...]) -> Task:
        graph: dict[Key, tuple[Any, ...]] = {}
        key: Key = ()
        for number, work in enumerate(works):
            before = (key,) if key else ()
            key = (name, number, start)
            graph[key] = (partial(work, batch), *before)
        return Task(key, graph, batch, batch_paths, partial(task, start))

    for start in range(0, len(items), n_per_task):
        block = slice(start, start + n_per_task)
        yield task(start, tuple(items[block]), tuple(paths[block]))


def needs_look(frame: Frame) -> bool:
    """Whether a frame has to be read once, whole, before bands of its rows can be prepared."""
    return frame.is_prepared and frame.readout.needs_look


def look_at_frames(frames: Sequence[Frame]) -> list[Look | FrameError | None]:
    """Look at the frames that need it; None for the others."""
    looks: list[Look | FrameError | None] = []
    for frame in frames:
        try:
            looks.append(look_at(frame) if needs_look(frame) else None)
        except FrameError as error:
            looks.append(error)
    return looks


@dataclass(frozen=True, slots=True)
class Measured:
    """How bright a frame is, less its dark.

    Parameters
    ----------
    light
        Its level, ADU; of flats that of the lit pixels.
    saturated
        What part of it is saturated.
    limit_adu
        Where its pixels pile up; None where they do not.
    """

    light: Light
    saturated: float
    limit_adu: float | None


def measure_frames(
    frames: Sequence[tuple[Frame, Look | None]], masters: Masters, options: Options, lit: bool
) -> list[Measured | FrameError]:
    """Return how bright each frame is, or why it cannot be used.

    Parameters
    ----------
    frames
        Frames, and what is known of those that were looked at.
    masters
        What is subtracted.
    options
        How levels are measured.
    lit
        Whether they are flats.
    """
    measured: list[Measured | FrameError] = []
    for frame, look in frames:
        try:
            source = source_of(frame, options, look)
            measured.append(measure_source(source, masters, options.normalize, lit))
        except FrameError as error:
            measured.append(error)
    return measured


@any_floats
def measure_source(source: Source, masters: Masters, method: str, lit: bool) -> Measured:
    """Return how bright a frame is less its dark, and what part of it is saturated.

    All is measured on as many rows as a level needs.
    """
    n_pixels = sum(shape[0] * shape[1] for shape in source.shapes)
    step = sampling_step(n_pixels, method, is_one=lit)
    n_sampled = sum(-(-shape[0] // step) * shape[1] for shape in source.shapes)
    sample = scratch("sample of a level", (n_sampled,), "f8")
    n_saturated = taken = 0
    keep: Kept = {}
    for number, planes in enumerate(masters.load(len(source.shapes))):
        for start, pixels, full in source.bands(
            number, saturated=True, every=step, keep=keep if lit else None
        ):
            rows = slice(start, start + len(pixels) * step, step)
            less = sample[taken : taken + pixels.size].reshape(pixels.shape)
            np.subtract(
                pixels, 0.0 if planes.dark is None else planes.dark[rows], out=less, dtype="f8"
            )
            if full is not None:
                n_saturated += int(np.count_nonzero(full))
                if source.saturated_are_nan:
                    less[full] = np.nan
            taken += less.size
    saturated = n_saturated / max(source.n_pixels // step, 1)
    if not lit:
        return Measured(Light(level(sample, method), 1.0, 0.0), saturated, None)
    limit, part = pile_in(keep)
    return Measured(light_of(sample, method), max(saturated, part), limit)


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
    """

    frame: Frame
    target: Path
    product: str
    recipe: Recipe
    key: str
    guard: Path | None = None


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
        Calibrated(source, masters, job.recipe, job.frame)
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
    """Write calibrated frames, to be placed; or tell why one cannot be used."""
    return [
        frame if isinstance(frame, FrameError) else _written(job, frame)
        for job, frame in zip(jobs, calibrated, strict=True)
    ]


@any_floats
def _written(job: WriteJob, calibrated: CalibratedPixels) -> Written | FrameError:
    start = time.monotonic()
    try:
        _check_name(job.target)
        part, n_nan = write_calibrated(
            job.target, job.frame, job.recipe, calibrated, job.key, job.guard
        )
    except FrameError as error:
        # What it needs beside itself may fail too, as a map of bad pixels.
        return error if error.path == job.frame.path else FrameError(job.frame.path, str(error))
    except PackingError as error:
        return FrameError(job.frame.path, f"its product cannot be packed: {error}")
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return FrameError(job.frame.path, f"the name of its product is too long: {job.product}")
    receipt = Receipt(
        job.product,
        job.frame.name,
        1,
        made=True,
        n_nan=n_nan,
        n_bytes=part.path.stat().st_size,
        seconds=time.monotonic() - start,
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
