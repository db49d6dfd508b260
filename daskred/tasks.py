"""What runs on the workers: on a block of frames, one function for each kind of work."""

from __future__ import annotations

import errno
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.checksum import sum_of_rows
from daskred.correction import LoadedMasters, MasterFiles
from daskred.errors import FrameError
from daskred.fitspixels import bands_of
from daskred.fitswrite import Bands, as_bands
from daskred.frames import Frame
from daskred.kernels.correct import calibrate
from daskred.kernels.flat import count_saturated
from daskred.kernels.level import level, sampling_step
from daskred.kernels.scratch import scratch
from daskred.pack import Packing, PackingError
from daskred.plan import Correction
from daskred.planes import Extras
from daskred.products import write_calibrated
from daskred.provenance import content_of
from daskred.storage import state_of


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one product.

    Parameters
    ----------
    product
        The file, below the folder of products.
    source
        The raw frame, or the master's name.
    n_inputs
        Of how many frames it was made.
    made
        Whether it was made now; False where it was done already.
    n_nan
        Pixels without a value; -1 where it was done already.
    n_bytes
        Length of the file.
    seconds
        How long it took; 0 where it was done already.
    worker
        Who made it: machine and process; empty where it was done already.
    """

    product: str
    source: str
    n_inputs: int
    made: bool
    n_nan: int
    n_bytes: int = 0
    seconds: float = 0.0
    worker: str = ""


def this_worker() -> str:
    """Return who does the work: machine and process."""
    return f"{platform.node()}:{os.getpid()}"


@dataclass(frozen=True)
class WriteJob:
    """One calibrated frame to be written.

    Parameters
    ----------
    frame
        The raw frame.
    target, product
        The file, absolute and below the folder of products.
    correction, key
        What it is made from.
    guard
        A file that is there as long as the run is, and its folder of products: an empty mount
        point is none, and a worker that is late must not write into another run's products.
    """

    frame: Frame
    target: Path
    product: str
    correction: Correction
    key: str
    guard: Path | None = None


def write_block(*images: NDArray[Any], jobs: Sequence[WriteJob]) -> list[Receipt]:
    """Write calibrated frames; return a receipt for each, and no pixels.

    Parameters
    ----------
    *images
        For each image the calibrated pixels ``(frame, y, x)``.
    jobs
        Which frames they are, and where they go.
    """
    return [
        _write(job, [as_bands(image[number]) for image in images], None, None)
        for number, job in enumerate(jobs)
    ]


def _write(
    job: WriteJob,
    pixels: Sequence[Bands],
    content: Callable[[], str] | None,
    processed_by: str | None,
    **beside: Any,
) -> Receipt:
    start = time.monotonic()
    n_nan = write_calibrated(
        job.target,
        job.frame,
        pixels,
        job.correction,
        job.key,
        content,
        processed_by,
        job.guard,
        **beside,
    )
    return Receipt(
        job.product,
        job.frame.name,
        1,
        made=True,
        n_nan=n_nan,
        n_bytes=job.target.stat().st_size,
        seconds=time.monotonic() - start,
        worker=this_worker(),
    )


def _calibrated(
    frame: Frame, number: int, masters: LoadedMasters, dtype: str, on_sum: Callable[[int], None]
) -> Bands:
    """Return an image that is read and calibrated band by band, when it is written.

    ``on_sum`` is told the sum of each raw band.
    """
    image = frame.images[number]
    first_row = sum(one.shape[0] for one in frame.images[:number])

    def bands() -> Iterator[NDArray[Any]]:
        start = 0
        for raw in bands_of(frame.path, image):
            on_sum(sum_of_rows(raw, first_row + start))
            rows = slice(start, start + len(raw))
            dark = None if masters.dark is None else masters.dark[rows]
            divisor = None if masters.divisor is None else masters.divisor[rows]
            out = scratch("calibrated band", raw.shape, dtype)
            yield calibrate(raw, dark, divisor, out)
            start = rows.stop
        check_unchanged(frame)

    return Bands(image.shape, np.dtype(dtype), bands())


def check_unchanged(frame: Frame) -> None:
    """Raise FrameError where a frame is no longer the file whose header was read."""
    try:
        state = state_of(frame.path)
    except OSError as error:
        raise FrameError(frame.path, f"cannot be read any more: {error.strerror}") from error
    if state != frame.state:
        raise FrameError(frame.path, "has changed while it was used; run again")


def calibrate_frames(
    jobs: Sequence[WriteJob],
    files: MasterFiles,
    dtype: str,
    processed_by: str | None,
    extras: Extras,
    packing: Packing = "none",
) -> list[Receipt | FrameError]:
    """Read, calibrate and write frames; each band of rows is touched while it is in the cache.

    Parameters
    ----------
    jobs
        Which frames, and where they go.
    files
        Their masters.
    dtype
        Of the products' pixels.
    processed_by
        A name for the headers.
    extras
        What is wanted beside the pixels.
    packing
        As of `daskred.pack.pack`.

    Returns
    -------
    list
        For each frame a receipt, or why it cannot be used.
    """
    return [_calibrate(job, files, dtype, processed_by, extras, packing) for job in jobs]


def _calibrate(
    job: WriteJob,
    files: MasterFiles,
    dtype: str,
    processed_by: str | None,
    extras: Extras,
    packing: Packing,
) -> Receipt | FrameError:
    try:
        if job.frame.preparation or extras:
            return _calibrate_whole(job, files, dtype, processed_by, extras, packing)
        return _calibrate_bands(job, files, dtype, processed_by, packing)
    except FrameError as error:
        return error
    except PackingError as error:
        return FrameError(job.frame.path, f"its product cannot be packed: {error}")
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return FrameError(job.frame.path, f"the name of its product is too long: {job.product}")


def _calibrate_whole(
    job: WriteJob,
    files: MasterFiles,
    dtype: str,
    processed_by: str | None,
    extras: Extras,
    packing: Packing,
) -> Receipt:
    from daskred.calibrated import calibrate_frame  # few runs need it, and it takes a while

    found = calibrate_frame(job.frame, files, dtype, extras)
    check_unchanged(job.frame)

    def content() -> str:
        return content_of([found.raw_sum], files.contents)

    pixels = [as_bands(image) for image in found.images]
    beside = {"planes": found.planes, "n_cosmics": found.n_cosmics}
    return _write(job, pixels, content, processed_by, **beside, packing=packing)


def _calibrate_bands(
    job: WriteJob,
    files: MasterFiles,
    dtype: str,
    processed_by: str | None,
    packing: Packing,
) -> Receipt:
    sums: list[int] = []
    pixels = [
        _calibrated(job.frame, number, own, dtype, sums.append)
        for number, own in enumerate(files.load(len(job.frame.images)))
    ]

    def content() -> str:
        return content_of([sum(sums) % 2**64], files.contents)

    return _write(job, pixels, content, processed_by, packing=packing)


def measure_flats(
    flats: Sequence[tuple[int, Frame, float]], files: MasterFiles, method: str
) -> list[tuple[float, float] | FrameError]:
    """Return level, ADU, and saturated part of each flat, or why it cannot be used.

    Parameters
    ----------
    flats
        Places in their master, frames, and the level at which each is saturated, ADU.
    files
        What is subtracted.
    method
        How the level is measured.
    """
    measured: list[tuple[float, float] | FrameError] = []
    for _, frame, limit in flats:
        try:
            measured.append(_measure(frame, limit, files, method))
        except FrameError as error:
            measured.append(error)
    return measured


def _measure(frame: Frame, limit: float, files: MasterFiles, method: str) -> tuple[float, float]:
    n_pixels = sum(image.n_pixels for image in frame.images)
    step = sampling_step(n_pixels, method)
    n_sampled = sum(-(-image.shape[0] // step) * image.shape[1] for image in frame.images)
    sample = scratch("sample of a level", (n_sampled,), "f8")
    n_saturated = taken = 0
    for image, own in zip(frame.images, files.load(len(frame.images)), strict=True):
        start = 0
        for raw in bands_of(frame.path, image):
            n_saturated += count_saturated(raw, limit)
            # The rows that the whole image's sample has, whatever the height of bands.
            rows = slice(-start % step, None, step)
            dark = 0.0 if own.dark is None else own.dark[start : start + len(raw)][rows]
            lit = sample[taken : taken + raw[rows].size].reshape(raw[rows].shape)
            np.subtract(raw[rows], dark, out=lit, dtype="f8")
            taken += lit.size
            start += len(raw)
    return level(sample, method), n_saturated / n_pixels
