"""What runs on the workers: on a block of frames, one function for each kind of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.correction import MasterFiles
from daskred.frames import Frame
from daskred.kernels.correct import calibrate
from daskred.kernels.flat import flat_level
from daskred.plan import Correction
from daskred.products import write_calibrated


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
    """

    product: str
    source: str
    n_inputs: int
    made: bool
    n_nan: int


@dataclass(frozen=True)
class WriteJob:
    """One calibrated frame to be written."""

    frame: Frame
    target: Path
    product: str
    correction: Correction
    key: str


def write_block(
    *images: NDArray[Any], jobs: Sequence[WriteJob], processed_by: str | None = None
) -> list[Receipt]:
    """Write calibrated frames; return a receipt for each, and no pixels.

    Parameters
    ----------
    *images
        For each image the calibrated pixels ``(frame, y, x)``.
    jobs
        Which frames they are, and where they go.
    processed_by
        A name for the headers.
    """
    receipts = []
    for number, job in enumerate(jobs):
        pixels = [image[number] for image in images]
        n_nan = write_calibrated(
            job.target, job.frame, pixels, job.correction, job.key, processed_by
        )
        receipts.append(Receipt(job.product, job.frame.name, 1, made=True, n_nan=n_nan))
    return receipts


def calibrate_block(
    *raw: NDArray[Any],
    jobs: Sequence[WriteJob],
    files: MasterFiles,
    dtype: str,
    processed_by: str | None,
) -> list[Receipt]:
    """Calibrate and write frames: `write_block` behind ``(raw - dark) / flat``."""
    masters = files.load(len(raw))
    images = [
        calibrate(block, own.dark, own.divisor, np.dtype(dtype))
        for block, own in zip(raw, masters, strict=True)
    ]
    return write_block(*images, jobs=jobs, processed_by=processed_by)


def measure_flats(
    *raw: NDArray[Any], limits: Sequence[float], files: MasterFiles, method: str
) -> list[tuple[float, float]]:
    """Return level, ADU, and saturated part of each flat.

    Parameters
    ----------
    *raw
        For each image the raw pixels ``(frame, y, x)``.
    limits
        The level of saturation of each frame, ADU.
    files
        What is subtracted.
    method
        How the level is measured.
    """
    darks = [own.dark for own in files.load(len(raw))]
    measured = []
    for images, limit in zip(zip(*raw, strict=True), limits, strict=True):
        n_saturated = sum(int(np.count_nonzero(image >= limit)) for image in images)
        part = n_saturated / sum(image.size for image in images)
        measured.append((flat_level(images, darks, method), part))
    return measured
