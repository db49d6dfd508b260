"""How much memory a run needs, in one place; tiles and workers follow from what it may have.

The promise is for all processes of a run on a machine together, the interpreter included. What a
process needs was measured (``python -m benchmarks memory``) and rounded up; the rest follows from
the sizes of frames. With more frames, tiles get lower instead of memory larger.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daskred.arrays.tiles import OBJECT_BYTES
from daskred.fits.remote import is_remote
from daskred.fits.unpack import is_packed
from daskred.kernels.objects import MARGIN
from daskred.model.errors import RequestError
from daskred.model.frame import Frame
from daskred.night.sky import MOST_FRAMES as MOST_SKY_FRAMES
from daskred.options import Options
from daskred.steps import whole_steps

MB = 10**6
# The interpreter with everything that a run imports, and what a forked worker adds of its own.
PROCESS_BYTES = 85 * MB
WORKER_BYTES = 20 * MB
DRAWING_BYTES = 40 * MB  # what draws pictures of what was measured
# Strips of medians, bands of frames, samples for levels: see `daskred.kernels`.
WORKING_BYTES = 45 * MB
SORTING_BYTES = 60 * MB
# What is known of one frame: its facts, its place in the plan and in the tasks.
FRAME_BYTES = 6000
# More gains nothing: a tile's rows are read in one go of this size from all files together.
MOST_TILE_BYTES = 32 * MB
# By the controllers of a line of /proc/self/cgroup: where their groups are, and limit and use.
_CONTROL_FILES = {
    "": ("", "memory.max", "memory.current"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
}


@dataclass(frozen=True)
class Budget:
    """What memory allows.

    Parameters
    ----------
    needed_bytes
        What it will need at the most.
    n_workers
        How many workers fit.
    tile_bytes
        How large one worker's tile may be.
    """

    needed_bytes: int
    n_workers: int
    tile_bytes: int


def _text_in(path: Path) -> str:
    """Return what a file of the system says, or nothing."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _number_in(path: Path) -> int | None:
    text = _text_in(path).strip()
    return int(text) if text.isdigit() else None


def available_bytes() -> int:
    """Return what memory the machine has free, and the control groups that this runs in."""
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        match = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
        free = int(match[1]) * 1024 if match else free
    groups = control_groups(_text_in(Path("/proc/self/cgroup")), Path("/sys/fs/cgroup"))
    return int(min([free, *(_free_in(*group) for group in groups)]))


def control_groups(told: str, root: Path) -> list[tuple[Path, str, str]]:
    """Return the folders of control groups that limit memory, and the files that tell how.

    Each is in all those above it, whose limits hold too.

    Parameters
    ----------
    told
        What ``/proc/self/cgroup`` says.
    root
        Where groups are, ``/sys/fs/cgroup``.

    Examples
    --------
    >>> found = control_groups("0::/user/night", Path("/g"))
    >>> [str(folder) for folder, _, _ in found]
    ['/g/user/night', '/g/user', '/g']
    """
    found = []
    for line in told.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers in _CONTROL_FILES:
            below, *files = _CONTROL_FILES[controllers]
            group = Path(path.lstrip("/"))
            # In a container the path is that outside of it, and what is seen is the group itself.
            folders = [root / below / part for part in (group, *group.parents)]
            found += [(folder, files[0], files[1]) for folder in dict.fromkeys(folders)]
    return found


def _free_in(group: Path, limit: str, used: str) -> float:
    """Return what memory a control group has free."""
    most, now = _number_in(group / limit), _number_in(group / used)
    if most is None or now is None:
        return math.inf
    # The page cache counts as used, and is given back when it is needed.
    told = _text_in(group / "memory.stat")
    cache = re.search(r"^(?:total_cache|file) (\d+)", told, re.MULTILINE)
    return max(most - now + (int(cache[1]) if cache else 0), 0)


@dataclass(frozen=True)
class Needs:
    """What a run needs memory for, beside frames and masters.

    Parameters
    ----------
    dtype_bytes
        Size of a product's pixel.
    scaled_darks
        Whether darks are scaled, which takes float64.
    level_bytes
        What levels take of each pixel of a frame.
    beside_bytes
        What a mask, uncertainties and steps on whole images take of each pixel; and the pixel
        itself, which is held with them.
    packing_bytes
        What it takes of each pixel to pack a product tile by tile.
    measured_bytes
        What is held of each pixel of a frame when masters have been made, to measure a detector.
    plain
        Whether masters are plain medians.
    sky
        Whether masters are made of science frames.
    shutter
        Whether there is a master of the shutter.
    """

    dtype_bytes: int = 4
    scaled_darks: bool = False
    level_bytes: int = 0
    beside_bytes: int = 0
    packing_bytes: int = 0
    measured_bytes: int = 0
    plain: bool = True
    sky: bool = False
    shutter: bool = False


# A histogram reads some rows; what is counted, or sorted, is held with its copies.
_LEVEL_BYTES = {"mode": 0, "exact-mode": 48}


def needs_of(options: Options, scaled_darks: bool, measured_bytes: int = 0) -> Needs:
    """Return what options need memory for."""
    steps = whole_steps(options)
    beside = options.mask or options.uncertainty or bool(steps)
    itemsize = 8 if options.dtype == "float64" else 4
    of_steps = max((step.pixel_bytes for step in steps), default=0)
    return Needs(
        dtype_bytes=itemsize,
        scaled_darks=scaled_darks,
        level_bytes=_LEVEL_BYTES.get(options.normalize, 24),
        # Other frames of a field, and as much to compare them.
        beside_bytes=10 * beside
        + 24 * options.wants_noise
        + of_steps
        + 3 * itemsize * options.cosmics_frames * (options.cosmics != "no"),
        packing_bytes=4 * itemsize * (options.compress in ("rice", "lossless")),
        measured_bytes=measured_bytes,
        plain=options.plain_median,
        sky=bool(options.illumination or options.fringe or options.sky_flats),
        shutter=options.shutter,
    )


def _largest(frames: Sequence[Frame]) -> int:
    """Return the number of pixels of the largest frame."""
    return max((frame.n_pixels for frame in frames), default=0)


def _of_worker(frames: Sequence[Frame], needs: Needs) -> int:
    """Return what one worker holds beside its tile: masters of a frame, and its working memory."""
    n_pixels = _largest(frames)
    itemsize = needs.dtype_bytes
    # A dark and a flat, which becomes a divisor in its place, and a mask while it does; to scale a
    # dark takes its bias too, or another dark, and a result in float64; a sky has two parts, and a
    # shutter as many.
    beside = (2 * itemsize + 8) * needs.scaled_darks
    beside += 8 * itemsize * (needs.sky + needs.shutter)
    masters = (2 * itemsize + 2 + beside) * n_pixels
    # Packed and remote frames are read whole.
    packed = any(is_packed(frame) or is_remote(frame.path) for frame in frames)
    of_frame = 16 * packed + needs.level_bytes + needs.beside_bytes + needs.packing_bytes
    # Where more is asked for than a plain median, strips are sorted, and summed in float64.
    sorting = SORTING_BYTES * (not needs.plain)
    return WORKER_BYTES + WORKING_BYTES + sorting + masters + of_frame * n_pixels


def budget(
    frames: Sequence[Frame],
    most_inputs: int,
    n_workers: int,
    limit_bytes: int | None = None,
    needs: Needs | None = None,
) -> Budget:
    """Return how many workers, and tiles of what size, fit into memory.

    Parameters
    ----------
    frames
        The frames that are used.
    most_inputs
        The number of frames of the largest master.
    n_workers
        How many workers are wanted.
    limit_bytes
        What the run may have; None for half of what is free.
    needs
        What else memory is needed for.

    Raises
    ------
    RequestError
        When not even one worker fits; it names the least that would do.
    """
    limit = limit_bytes or available_bytes() // 2
    needs = needs or Needs()
    per_worker = _of_worker(frames, needs)
    # One row of all frames of one exposure is the least that a median needs.
    widest = max(
        (i.shape[1] * max(i.dtype.itemsize, needs.dtype_bytes) for f in frames for i in f.images),
        default=0,
    )
    least_tile = widest * most_inputs
    most_tile = MOST_TILE_BYTES
    if needs.sky:  # a row with those above and below it that tell where objects are
        n_sky = min(len(frames), MOST_SKY_FRAMES)
        row = OBJECT_BYTES * n_sky * max((i.shape[1] for f in frames for i in f.images), default=0)
        least_tile = max(least_tile, (2 * MARGIN + 1) * row)
        most_tile = 4 * MOST_TILE_BYTES
    base = PROCESS_BYTES + FRAME_BYTES * len(frames)
    least = base + per_worker + least_tile
    if measured := needs.measured_bytes * _largest(frames):
        measured += base + DRAWING_BYTES
    # Nothing can be cut smaller there, so all that is free may be taken.
    if least > limit or measured > (limit_bytes or available_bytes()):
        has = f"{limit // MB} MB" if limit >= MB else f"{limit} bytes"
        raise RequestError(
            f"--memory: {has} are too little for this night;"
            f" {-(-max(least, measured) // MB)} MB would do"
        )
    fitting = max(1, min(n_workers, (limit - base) // (per_worker + least_tile)))
    tile = min((limit - base) // fitting - per_worker, most_tile)
    tile = max(tile, least_tile)
    return Budget(base + fitting * (per_worker + tile), fitting, tile)
