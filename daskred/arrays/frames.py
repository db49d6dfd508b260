"""The graph of what is done frame by frame, and what is asked of raw frames: looks and levels.

One task takes a block of whole frames. How they are calibrated is told by
`daskred.arrays.calibrated`, how they are written by `daskred.arrays.written`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from daskred.arrays.looks import Look, look_at
from daskred.arrays.masterfiles import Masters
from daskred.arrays.oddities import Kept, pile_in
from daskred.arrays.sources import Source, source_of
from daskred.engine.task import Key, Task
from daskred.fits.storage import map_concurrently
from daskred.kernels.level import Light, level, light_of, sampling_step
from daskred.kernels.robust import any_floats
from daskred.kernels.scratch import scratch
from daskred.model.errors import FrameError
from daskred.model.frame import Frame

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

    def look(frame: Frame) -> Look | FrameError | None:
        try:
            return look_at(frame) if needs_look(frame) else None
        except FrameError as error:
            return error

    return list(map_concurrently(look, frames, [frame.path for frame in frames]))


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
    frames: Sequence[tuple[Frame, Look | None]],
    masters: Masters,
    options: Options,
    lit: bool,
    is_sky: bool = False,
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
        Whether they are flats, or frames of the sky.
    is_sky
        Whether the bright pixels in them are stars.
    """

    def measure(known: tuple[Frame, Look | None]) -> Measured | FrameError:
        try:
            source = source_of(known[0], options, known[1])
            return measure_source(source, masters, options.normalize, lit, is_sky)
        except FrameError as error:
            return error

    return list(map_concurrently(measure, frames, [frame.path for frame, _ in frames]))


@any_floats
def measure_source(
    source: Source, masters: Masters, method: str, lit: bool, is_sky: bool = False
) -> Measured:
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
    return Measured(light_of(sample, method, is_sky), max(saturated, part), limit)
