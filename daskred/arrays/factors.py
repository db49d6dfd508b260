"""The levels of flats, refined: by what factors they differ, on some bands of rows of all of them.

What a level is, the most frequent value of lit pixels, stays what `daskred.kernels.level` says; but
how much brighter one flat of a master is than another is measured against all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.looks import Look
from daskred.arrays.masterfiles import Masters
from daskred.arrays.tiles import Stack
from daskred.engine.task import Task
from daskred.kernels.factors import FEW_FRAMES, relative_factors
from daskred.kernels.flat import write_lit
from daskred.kernels.median import median_over_frames
from daskred.kernels.robust import any_floats, medians
from daskred.kernels.slopes import Plane, plane_of
from daskred.model.plan import MasterKind, is_lit

if TYPE_CHECKING:
    from daskred.options import Options

_MOST_PIXELS = 2**16  # of a frame: they tell its factor to some hundred thousandths
_MOST_VALUES = 2**21  # of all frames of a master
_N_BANDS = 2


def wants_factors(kind: MasterKind, n_frames: int, options: Options) -> bool:
    """Whether the levels of frames are refined: the other methods are defined on all pixels.

    Flats that differ in what the shutter does to them are not.
    """
    return is_lit(kind) and kind != "shutter" and n_frames > 1 and options.normalize == "mode"


def rows_of_factors(shapes: Sequence[tuple[int, int]], n_frames: int) -> list[tuple[int, slice]]:
    """Return some bands of rows of images, each with the number of its image.

    They follow from the sizes alone, so that the same frames have the same levels.

    Examples
    --------
    >>> rows_of_factors([(256, 256)], 20)
    [(0, slice(0, 128, None)), (0, slice(128, 256, None))]
    >>> rows_of_factors([(4096, 4096)], 20)[0]
    (0, slice(1020, 1028, None))
    """
    n_all = sum(height * width for height, width in shapes)
    part = min(1.0, min(_MOST_PIXELS, _MOST_VALUES / n_frames) / n_all)
    bands = []
    for number, (height, _) in enumerate(shapes):
        n_bands = min(_N_BANDS, height)
        n_rows = max(1, int(part * height / n_bands))
        for place in range(n_bands):
            start = int((place + 0.5) * height / n_bands - n_rows / 2)
            bands.append((number, slice(start, start + n_rows)))
    # Of very many images not all are looked at.
    n_taken = sum((rows.stop - rows.start) * shapes[number][1] for number, rows in bands)
    most = max(part * n_all, 1)
    return bands[:: max(1, round(n_taken / most))]


@any_floats
def factors_of(
    stacks: Sequence[Stack],
    looks: Sequence[Look | None],
    darks: Sequence[Masters],
    which: Sequence[int],
    levels: Sequence[float],
    numbers: Sequence[int] | None = None,
) -> list[float]:
    """Return the factors of flats, or of some of them, that make their levels true to each other.

    Parameters
    ----------
    stacks
        Of each image all flats of a master.
    looks
        For each flat what is known of it where it is prepared.
    darks, which
        What is subtracted, and for each flat which of it.
    levels
        Of each, as measured by itself, ADU.
    numbers
        Whose factors are wanted; None for all.

    Raises
    ------
    FramesError
        Naming all frames that cannot be read.
    """
    return relative_factors(_lit_bands(stacks, looks, darks, which, levels)[0], numbers)


@any_floats
def planes_of_sky(
    stacks: Sequence[Stack],
    looks: Sequence[Look | None],
    darks: Sequence[Masters],
    which: Sequence[int],
    levels: Sequence[float],
) -> list[list[Plane]]:
    """Return by what planes the light of frames of the sky differs from what all have in common.

    Parameters
    ----------
    stacks, looks, darks, which, levels
        As of `factors_of`.

    Returns
    -------
    list of list of Plane
        For each image one for each frame.
    """
    flats, bands = _lit_bands(stacks, looks, darks, which, levels)
    common = median_over_frames(flats)
    planes = [[Plane()] * len(levels) for _ in stacks]
    start = 0
    by_image: dict[int, list[NDArray[np.float64]]] = {}
    for number, rows in bands:
        height, width = stacks[number].shape[1:]
        y, x = np.mgrid[rows, 0:width].reshape(2, -1)
        places = [(y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5]
        stop = start + y.size
        by_image.setdefault(number, []).append(np.stack([np.arange(start, stop), *places]))
        start = stop
    for number, parts in by_image.items():
        where, y, x = np.concatenate(parts, axis=1)
        pixels = where.astype(np.intp)
        planes[number] = [plane_of(flat[pixels] / common[pixels], y, x) for flat in flats]
    return planes


def _lit_bands(
    stacks: Sequence[Stack],
    looks: Sequence[Look | None],
    darks: Sequence[Masters],
    which: Sequence[int],
    levels: Sequence[float],
) -> tuple[NDArray[np.float32], list[tuple[int, slice]]]:
    """Return some bands of rows of frames, each less its dark and over its level, and which."""
    bands = rows_of_factors([stack.shape[1:] for stack in stacks], len(levels))
    lengths = [(rows.stop - rows.start) * stacks[number].shape[2] for number, rows in bands]
    flats = np.empty((len(levels), sum(lengths)), "f4")
    stop = 0
    for (number, rows), length in zip(bands, lengths, strict=True):
        start, stop = stop, stop + length
        stack = stacks[number]
        block, _ = stack.band(rows, looks)
        shape = (stack.shape[1], stack.shape[2])
        planes = [dark.rows(number, shape, rows) for dark in darks]
        _write(flats[:, start:stop], block, planes, which, levels)
    return flats, bands


@any_floats
def factors_of_pixels(
    pixels: NDArray[Any],
    darks: Sequence[NDArray[np.float64]],
    which: Sequence[int],
    levels: Sequence[float],
) -> list[float]:
    """Return the same of pixels ``(frame, row, x)`` that are in memory, and their darks."""
    flats = np.empty((len(levels), pixels[0].size), "f4")
    _write(flats, pixels, darks, which, levels)
    return relative_factors(flats)


def _write(
    flats: NDArray[np.float32],
    block: NDArray[Any],
    darks: Sequence[NDArray[np.float64]],
    which: Sequence[int],
    levels: Sequence[float],
) -> None:
    """Write rows of flats, each less its dark and over its level."""
    for out, raw, number, level in zip(flats, block, which, levels, strict=True):
        write_lit(raw.reshape(-1), darks[number].reshape(-1), level, out)


def factor_tasks(
    work: Callable[[Sequence[int]], list[float]], n_frames: int, n_parts: int
) -> Iterator[Task]:
    """Yield tasks that each measure the factors of some flats, whose numbers end the task's key.

    All of them read all flats; where these are few, each is compared with all others at once.
    """
    size = n_frames if n_frames < FEW_FRAMES else -(-n_frames // n_parts)
    for start in range(0, n_frames, size):
        numbers = tuple(range(start, min(start + size, n_frames)))
        key = ("factors", numbers)
        yield Task(key, {key: (work, numbers)})


def refined_levels(levels: Sequence[float], factors: Sequence[float]) -> list[float]:
    """Return levels that differ by factors; on the whole they stay what they are.

    Examples
    --------
    >>> refined_levels([100.0, 101.0], [1.0, 1.0])
    [100.0, 101.0]
    """
    common = float(medians(1 / np.array(factors)))
    return [level * factor * common for level, factor in zip(levels, factors, strict=True)]
