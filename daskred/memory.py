"""How much memory a run needs, in one place; tiles and workers follow from what it may have.

The promise is for all processes of a run on a machine together, the interpreter included. What a
process needs was measured (``python -m benchmarks memory``) and rounded up; the rest follows from
the sizes of frames. With more frames, tiles get lower instead of memory larger.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daskred.errors import RequestError
from daskred.frames import Frame
from daskred.storage import is_remote
from daskred.unpack import is_packed

MB = 10**6
# The interpreter with everything that a run imports, and what a forked worker adds of its own.
PROCESS_BYTES = 85 * MB
WORKER_BYTES = 20 * MB
# Strips of medians, bands of frames, samples for levels: see `daskred.kernels`.
WORKING_BYTES = 45 * MB
SORTING_BYTES = 60 * MB
# What is known of one frame: its facts, its place in the plan and in the tasks.
FRAME_BYTES = 6000
# More gains nothing: a tile's rows are read in one go of this size from all files together.
MOST_TILE_BYTES = 32 * MB
_CONTROL_FILES = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": MB, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


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


def parse_size(text: str) -> int:
    """Return a size in bytes: ``500MB``, ``2 GiB``, ``1e9``.

    Raises
    ------
    RequestError
        When it is no size.

    Examples
    --------
    >>> parse_size("500MB"), parse_size("2GiB")
    (500000000, 2147483648)
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e\d+)?)\s*([a-z]*)\s*", text, re.IGNORECASE)
    try:
        size = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    except (KeyError, ValueError):
        size = 0
    if size <= 0:
        raise RequestError(f"--memory {text}: is no size; write one like 500MB or 2GB")
    return size


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
    """Return what memory the machine, or the control group this runs in, has free."""
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        match = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
        free = int(match[1]) * 1024 if match else free
    group = Path("/sys/fs/cgroup")
    for limit, used, stat in _CONTROL_FILES:
        most, now = _number_in(group / limit), _number_in(group / used)
        if most is not None and now is not None:
            # The page cache counts as used, and is given back when it is needed.
            cache = re.search(r"^(?:total_cache|file) (\d+)", _text_in(group / stat), re.MULTILINE)
            free = min(free, max(most - now + (int(cache[1]) if cache else 0), 0))
    return free


def _of_worker(
    frames: Sequence[Frame],
    itemsize: int,
    scaled_darks: bool,
    whole: bool,
    beside_bytes: int,
    plain: bool,
) -> int:
    """Return what one worker holds beside its tile: masters of a frame, and its working memory."""
    n_pixels = max((sum(i.n_pixels for i in frame.images) for frame in frames), default=0)
    # A dark and a divisor, and a mask while the divisor is made; to scale a dark takes its bias
    # and a result in float64 too.
    masters = (2 * itemsize + 1 + (itemsize + 8 if scaled_darks else 0)) * n_pixels
    # Packed and remote frames are read whole; a level that needs every pixel takes them thrice.
    packed = any(is_packed(frame) or is_remote(frame.path) for frame in frames)
    # Frames that are prepared are so as a whole.
    prepared = any(frame.is_prepared for frame in frames)
    of_frame = (16 * packed + 24 * whole + 36 * prepared + beside_bytes) * n_pixels
    # Where more is asked for than a plain median, strips are sorted, and summed in float64.
    sorting = SORTING_BYTES * (not plain)
    return WORKER_BYTES + WORKING_BYTES + sorting + masters + of_frame


def budget(
    frames: Sequence[Frame],
    most_inputs: int,
    n_workers: int,
    limit_bytes: int | None = None,
    dtype_bytes: int = 4,
    scaled_darks: bool = False,
    whole: bool = False,
    beside_bytes: int = 0,
    plain: bool = True,
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
    dtype_bytes
        Size of a product's pixel.
    scaled_darks
        Whether darks are scaled, which takes float64.
    whole
        Whether levels need all pixels of a frame at once.
    beside_bytes
        What a mask, uncertainties or cosmic rays take of each pixel.
    plain
        Whether masters are plain medians.

    Raises
    ------
    RequestError
        When not even one worker fits; it names the least that would do.
    """
    limit = limit_bytes or available_bytes() // 2
    own = _of_worker(frames, dtype_bytes, scaled_darks, whole, beside_bytes, plain)
    # One row of all frames of one exposure is the least that a median needs.
    widest = max(
        (i.shape[1] * max(i.dtype.itemsize, 4) for f in frames for i in f.images), default=0
    )
    least_tile = widest * most_inputs
    base = PROCESS_BYTES + FRAME_BYTES * len(frames)
    least = base + own + least_tile
    if least > limit:
        raise RequestError(
            f"--memory: {limit // MB} MB are too little for this night;"
            f" {-(-least // MB)} MB would do"
        )
    fitting = max(1, min(n_workers, (limit - base) // (own + least_tile)))
    tile = min((limit - base) // fitting - own, MOST_TILE_BYTES)
    tile = max(tile, least_tile)
    return Budget(base + fitting * (own + tile), fitting, tile)
