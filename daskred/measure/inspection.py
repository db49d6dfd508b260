"""What one looks at first in a frame: type, shape, exposure, and the spread of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.masterfiles import data_images, read_images
from daskred.kernels.level import exact_mode
from daskred.model.frame import Frame


@dataclass(frozen=True, slots=True)
class Statistics:
    """The spread of an image's pixels, ADU; NaN and infinite ones are passed over.

    Parameters
    ----------
    minimum, maximum, mean, median, standard_deviation
        Of all finite pixels.
    mode
        The most frequent value, the smallest of several.
    n_bad
        Number of pixels that are not finite.
    """

    minimum: float
    maximum: float
    mean: float
    median: float
    standard_deviation: float
    mode: float
    n_bad: int


def statistics(pixels: NDArray[Any]) -> Statistics:
    """Measure an image.

    Examples
    --------
    >>> statistics(np.array([[1.0, 1.0], [4.0, np.nan]])).median
    1.0
    """
    finite = pixels[np.isfinite(pixels)]
    n_bad = pixels.size - finite.size
    if finite.size == 0:
        nan = float("nan")
        return Statistics(nan, nan, nan, nan, nan, nan, n_bad)
    return Statistics(
        minimum=float(finite.min()),
        maximum=float(finite.max()),
        mean=float(finite.mean(dtype="f8")),
        median=float(np.median(finite)),
        standard_deviation=float(finite.std(dtype="f8")),
        mode=exact_mode(finite),
        n_bad=n_bad,
    )


def inspect_frame(frame: Frame) -> list[tuple[str, list[tuple[str, str]]]]:
    """Read a frame whole, and return what there is to know: for each image a title and rows."""
    facts = frame.facts
    shared = [("kind", frame.kind), ("because", frame.reason)]
    for label, value in (
        ("exposure", None if facts.exptime_s is None else f"{facts.exptime_s:g} s"),
        ("filter", facts.filter),
        ("binning", facts.binning and f"{facts.binning[0]} x {facts.binning[1]}"),
        ("time", facts.time_obs),
        ("camera", facts.camera),
        ("temperature", None if facts.ccd_temp_c is None else f"{facts.ccd_temp_c:g} C"),
    ):
        if value:
            shared.append((label, str(value)))
    sections = []
    for image, pixels in zip(data_images(frame.path), read_images(frame.path), strict=True):
        numbers = statistics(pixels)
        rows = [("type", image.dtype.name), ("shape", f"{image.shape[0]} x {image.shape[1]}")]
        if image.bscale != 1 or image.bzero != 0:
            rows.append(("scaling", f"BSCALE {image.bscale:g}, BZERO {image.bzero:g}"))
        rows += [
            ("min", f"{numbers.minimum:g}"),
            ("max", f"{numbers.maximum:g}"),
            ("mean", f"{numbers.mean:.6g}"),
            ("median", f"{numbers.median:g}"),
            ("std. deviation", f"{numbers.standard_deviation:.6g}"),
            ("mode", f"{numbers.mode:g}"),
        ]
        if numbers.n_bad:
            rows.append(("without a value", f"{numbers.n_bad} pixels"))
        sections.append((image.name, [*shared, *rows]))
        shared = []
    return sections
