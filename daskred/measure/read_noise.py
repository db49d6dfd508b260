"""Read noise of each amplifier: from pairs of bias frames, of overscans, or of darks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from daskred.arrays.looks import side_by_side
from daskred.arrays.masterfiles import MasterFiles
from daskred.arrays.prepared import read_frame
from daskred.engine.progress import Progress
from daskred.fits.pixels import read_image
from daskred.kernels.pairs import (
    Variance,
    clipped_variance,
    shared_variance,
    unrounded_noise,
)
from daskred.kernels.patterns import (
    FEWEST_COLUMNS,
    Disturbance,
    Interference,
    RowNoise,
    disturbance_of,
    interference_in,
    row_noise,
)
from daskred.measure.results import EXACT
from daskred.model.frame import Frame
from daskred.model.plan import Master, Plan
from daskred.model.readout import Amplifier, Readout

MOST_PAIRS = 30
# Columns of an overscan that come first may hold charge of the pixels before them.
_TRAILING = 2
_FEW_COLUMNS = 4


class ReadNoise(NamedTuple):
    """The noise of a pixel without signal.

    Parameters
    ----------
    adu, error_adu
        Of single pixels, and one standard deviation of it.
    rows
        What the pixels of a row share beside it; None of overscans.
    wave
        The strongest wave along rows; None where there is none.
    """

    adu: float
    error_adu: float
    rows: RowNoise | None = None
    wave: Interference | None = None


def parts_of(frame: Frame, readout: Readout, files: MasterFiles | None = None) -> list[Any]:
    """Read a frame; return the pixels of each amplifier, less what masters subtract."""
    images, saturated, _ = read_frame(frame, EXACT)
    for image, full in zip(images, saturated, strict=True):
        image[full] = np.nan
    if files:
        files.subtract_from(images)
    return [images[amplifier.target][amplifier.place.slices] for amplifier in readout.amplifiers]


def read_noises(
    plan: Plan, readout: Readout, missing: list[str], progress: Progress
) -> list[ReadNoise | None]:
    """Return the read noise of each amplifier; empty where nothing tells.

    Parameters
    ----------
    plan
        Its masters' frames are measured: bias frames, else overscans, else the shortest darks.
    readout
        Tells the amplifiers.
    missing
        What cannot be measured is added.
    progress
        Told how far it is.
    """
    biases = [master for master in plan.masters if master.kind == "bias"]
    darks = sorted(
        (master for master in plan.masters if master.kind == "dark"),
        key=lambda master: master.facts.exptime_s or 0.0,
    )
    pairs = next((master for master in biases if len(master.inputs) > 1), None)
    if pairs is None and all(_strips(amplifier, readout) for amplifier in readout.amplifiers):
        masters = [*biases, *darks, *(m for m in plan.masters if m.kind == "flat")]
        frames = [member.frame for master in masters for member in master.inputs][:MOST_PAIRS]
        missing.append("read noise: of the overscans, since there are no two bias frames")
        missing.append("noise that rows share, waves along rows: need two bias frames, or darks")
        return _of_overscans(frames, readout, progress)
    pairs = pairs or next((master for master in darks if len(master.inputs) > 1), None)
    if pairs is None:
        missing.append("read noise: needs two bias frames, or two darks of one exposure time")
        return []
    if pairs.kind == "dark":
        missing.append(f"read noise: of {pairs.name}, so that it holds dark current's noise too")
    if any(amplifier.place.shape[1] < FEWEST_COLUMNS for amplifier in readout.amplifiers):
        missing.append(f"waves along rows: need {FEWEST_COLUMNS} columns")
    return _of_pairs(pairs, readout, progress)


def _of_pairs(master: Master, readout: Readout, progress: Progress) -> list[ReadNoise | None]:
    frames = [member.frame for member in master.inputs][: MOST_PAIRS + 1]
    progress.begin("Read noise", len(frames) - 1, "pairs")
    found: list[list[Variance]] = [[] for _ in readout.amplifiers]
    disturbed: list[list[Disturbance]] = [[] for _ in readout.amplifiers]
    before = _raw_parts(frames[0], readout)
    for frame in frames[1:]:
        parts = _raw_parts(frame, readout)
        for which, (first, second) in enumerate(zip(before, parts, strict=True)):
            difference = first - second
            found[which].append(clipped_variance(difference))
            if (variance := found[which][-1].value) > 0:
                disturbed[which].append(disturbance_of(difference, variance))
        before = parts
        progress.advance(1)
    progress.end()
    noises = [
        _noise(variances, readout.step_adu, shared_variance(len(found[0]))) for variances in found
    ]
    return [
        _with_disturbance(noise, variances, disturbances, amplifier.place.shape[1])
        for noise, variances, disturbances, amplifier in zip(
            noises, found, disturbed, readout.amplifiers, strict=True
        )
    ]


def _raw_parts(frame: Frame, readout: Readout) -> list[Any]:
    """Read a frame; return the pixels of each amplifier as they are.

    The level of an overscan has noise of its own, which is none of the pixels beside it.
    """
    images = [read_image(frame.path, image) for image in frame.images]
    return [
        images[amplifier.image][amplifier.data.slices].astype("f8")
        for amplifier in readout.amplifiers
    ]


def _with_disturbance(
    noise: ReadNoise | None,
    variances: Sequence[Variance],
    disturbances: Sequence[Disturbance],
    n_columns: int,
) -> ReadNoise | None:
    """Return a noise with what rows share, and the strongest wave along them."""
    if noise is None or not disturbances:
        return noise
    variance = float(np.nanmean([one.value for one in variances]))
    rows = row_noise(disturbances, variance, n_columns)
    return noise._replace(rows=rows, wave=interference_in(disturbances, n_columns))


def _of_overscans(
    frames: Sequence[Frame], readout: Readout, progress: Progress
) -> list[ReadNoise | None]:
    progress.begin("Read noise", len(frames), "overscans")
    found: list[list[Variance]] = [[] for _ in readout.amplifiers]
    for frame in frames:
        images = [read_image(frame.path, image) for image in frame.images]
        for variances, amplifier in zip(found, readout.amplifiers, strict=True):
            strips = _strips(amplifier, readout)
            rows = images[amplifier.image][slice(*amplifier.data.rows)]
            values = side_by_side(rows, strips)[:, _TRAILING:].astype("f8")
            variance = clipped_variance(values - np.median(values, axis=0))
            variances.append(Variance(2 * variance.value, variance.freedom))  # as of a pair
        progress.advance(1)
    progress.end()
    return [_noise(variances, readout.step_adu, 1.0) for variances in found]


def _strips(amplifier: Amplifier, readout: Readout) -> Any:
    """Return the strips of an overscan that tell read noise; none where they are too narrow."""
    if readout.overscan is None:
        return []
    strips = amplifier.beside
    wide = sum(strip.shape[1] for strip in strips) >= _TRAILING + _FEW_COLUMNS
    return strips if wide else []


def _noise(variances: Sequence[Variance], step: float, shared: float) -> ReadNoise | None:
    """Return the noise that variances of pairs tell together; shared as of `shared_variance`."""
    known = [variance for variance in variances if not math.isnan(variance.value)]
    freedom = sum(variance.freedom for variance in known)
    if not freedom:
        return None
    mean = sum(variance.value * variance.freedom for variance in known) / freedom
    return ReadNoise(unrounded_noise(mean, step), math.sqrt(mean / 2 * shared / (2 * freedom)))
