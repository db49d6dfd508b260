"""A mask of bad pixels, from a night's darks and flats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.masterfiles import read_images
from daskred.arrays.prepared import read_frame
from daskred.engine.progress import Progress, Silent
from daskred.fits.header import Header, commentary, format_card
from daskred.fits.write import as_bands, write_atomically
from daskred.kernels.agreement import largest_variance
from daskred.kernels.neighbours import deviations, local_median
from daskred.kernels.robust import ROUNDING_VARIANCE, robust_limits, robust_sigma
from daskred.measure.results import EXACT, HOT_SIGMA
from daskred.model.errors import FrameError, RequestError
from daskred.model.frame import Frame
from daskred.model.mask import BAD, HOT, LEGEND, NONLINEAR, UNSTABLE
from daskred.model.plan import Input, LeftOut, Master
from daskred.night.open import Night
from daskred.night.plan import make_plan
from daskred.options import Options
from daskred.products.extensions import legend_cards
from daskred.products.names import MASK_FILE, MEASURED_FOLDER, master_path
from daskred.products.provenance import KEY_CARD, check_own
from daskred.run.files import files_of
from daskred.run.reduce import plan_memory, reduce_night

# Limits, in robust deviations; and what part of the response of its neighbours a pixel has that is
# dead, if that is no noise.
UNSTABLE_SIGMA = 5.0
NONLINEAR_SIGMA = 5.0
DEAD_SIGMA = 8.0
DEAD_RESPONSE = 0.8
NO_RESPONSE = 0.1
# Two flats are of unlike level, and tell of linearity, where one is so much brighter.
_UNLIKE = 1.3
_N_LEVELS, _FEW_FOR_LINE = 12, 400
Images = list[NDArray[Any]]
# What is held of each pixel: sums over frames, and what follows from them, in double precision.
_PIXEL_BYTES = 130


@dataclass(frozen=True, eq=False)
class BadPixels:
    """A mask of bad pixels.

    Parameters
    ----------
    path
        The file.
    masks
        The bits of each image.
    missing
        What could not be told, and why.
    failed
        Frames that could not be used.
    """

    path: Path
    masks: list[NDArray[np.uint8]]
    missing: tuple[str, ...]
    failed: tuple[LeftOut, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many pixels there are of each kind."""
        return {
            meaning: sum(int(np.count_nonzero(mask & bit)) for mask in self.masks)
            for bit, meaning in LEGEND.items()
            if bit in (BAD, HOT, UNSTABLE, NONLINEAR)
        }

    @property
    def n_pixels(self) -> int:
        """How many pixels there are."""
        return sum(mask.size for mask in self.masks)


def find_bad_pixels(
    night: Night,
    out: str | Path,
    options: Options | None = None,
    progress: Progress | None = None,
) -> BadPixels:
    """Find hot, unstable, dead and non-linear pixels, and write them as a mask.

    Hot: the longest master dark is far above that of the pixels around. Unstable: the scatter of
    these darks is larger than their own signal's noise makes it. Dead: the master flat is below
    four fifths of the response of the pixels around, or has no value. Not linear: bright flats over
    faint ones are far from those of other pixels. Amplifiers are judged each by itself.

    Parameters
    ----------
    night
        Darks and flats of one detector.
    out
        The folder of the mask, ``BadPixels.fits``, and in ``measured`` of the masters.
    options
        How masters are made.
    progress
        Told how far it is.

    Raises
    ------
    RequestError
        When there are neither darks nor flats.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name + "/night", shape=(64, 64), n_darks=5, n_flats=5, n_science=0)
    >>> found = find_bad_pixels(open_night(folder.name + "/night"), folder.name + "/out")
    >>> 0 < found.counts["hot"] < 40
    True
    >>> folder.cleanup()
    """
    progress = progress or Silent()
    out = Path(out)
    try:
        check_own(out / MASK_FILE)
    except FrameError as error:
        raise RequestError(str(error)) from error
    if not night.select("dark") and not night.select("flat"):
        raise RequestError("a mask of bad pixels needs darks or flats, and there are none")
    options = (options or Options()).but(masters_only=True, missing_dark=True)
    plan_memory(make_plan(night, options), options, measured_bytes=_PIXEL_BYTES)
    path, out = out / MASK_FILE, out / MEASURED_FOLDER
    summary = reduce_night(night, out, options, progress)
    plan = summary.plan
    darks = [master for master in plan.masters if master.kind == "dark"]
    flats = [master for master in plan.masters if master.kind == "flat"]
    layouts = {master.layout for master in (*darks, *flats)}
    if len(layouts) > 1:
        raise RequestError("the darks and flats are of several detectors; name those of one")
    masks = [np.zeros(shape, "u1") for _, shape in layouts.pop()]
    missing: list[str] = []
    if darks:
        longest = max(darks, key=lambda master: master.facts.exptime_s or 0.0)
        _mark_hot(masks, longest, out)
        _mark_unstable(masks, longest, missing, progress)
    else:
        missing.append("hot and unstable pixels: there are no darks")
    if flats:
        best = max(flats, key=lambda master: len(master.inputs))
        _mark_dead(masks, best, out)
        _mark_nonlinear(masks, best, out, missing, progress)
    else:
        missing.append("dead and non-linear pixels: there are no flats")
    _write(path, masks, options.sync)
    return BadPixels(path, masks, tuple(missing), summary.failed)


def _mark_hot(masks: Images, dark: Master, out: Path) -> None:
    for mask, level in _amplifiers(masks, dark, out):
        mask[deviations(level, local_median(level)) > HOT_SIGMA] |= HOT


def _amplifiers(
    masks: Images, master: Master, out: Path
) -> Iterator[tuple[NDArray[np.uint8], NDArray[Any]]]:
    """Yield mask and pixels of a master, amplifier by amplifier: each has a level of its own."""
    images = read_images(str(master_path(out, master.name)))
    for amplifier in master.inputs[0].frame.readout.amplifiers:
        where = amplifier.place.slices
        yield masks[amplifier.target][where], images[amplifier.target][where]


def _mark_unstable(masks: Images, dark: Master, missing: list[str], progress: Progress) -> None:
    """Mark pixels whose scatter over darks is larger than that of pixels of their level."""
    frames = [member.frame for member in dark.inputs]
    if len(frames) < 5:
        missing.append(f"unstable pixels: {dark.name} has {len(frames)} frames, 5 would do")
        return
    progress.begin("Unstable pixels", len(frames), "frames")
    first: Images = []
    sums: Images = []
    squares: Images = []
    highest: Images = []
    for number, images in enumerate(_read(frames, progress)):
        if number == 0:
            first = [image.copy() for image in images]
            sums = [np.zeros_like(image) for image in images]
            squares = [np.zeros_like(image) for image in images]
            highest = [np.zeros_like(image) for image in images]
        for total, square, most, image, origin in zip(
            sums, squares, highest, images, first, strict=True
        ):
            step = image - origin
            total += step
            square += step**2
            np.maximum(most, step, out=most)
    progress.end()
    # The highest value of each pixel does not count: a cosmic ray makes no pixel unstable.
    n = len(frames) - 1
    for mask, total, square, most, origin in zip(masks, sums, squares, highest, first, strict=True):
        total -= most
        square -= most**2
        variance = np.maximum(square / n - (total / n) ** 2, 0.0)
        mean = origin + total / n
        # Noise grows with the signal: a straight line through medians of variance over level.
        typical, slope = _noise_line(mean, variance)
        expected = np.maximum(typical + slope * (mean - np.nanmedian(mean)), typical)
        ratio = variance / expected
        limit = largest_variance(float(np.nanmedian(ratio)), n, UNSTABLE_SIGMA)
        # Whole numbers of little noise scatter more than that.
        _, found = robust_limits(np.sqrt(ratio), UNSTABLE_SIGMA)
        mask[ratio > max(limit, found**2)] |= UNSTABLE


def _noise_line(mean: NDArray[Any], variance: NDArray[Any]) -> tuple[float, float]:
    """Return the variance of a typical pixel, and by how much it grows with the level.

    It grows along a line through the medians of pixels of some levels, and of very bright ones.
    """
    middle = float(np.nanmedian(mean))
    typical = max(float(np.nanmedian(variance)), ROUNDING_VARIANCE)  # the least that there can be
    known = np.isfinite(mean) & np.isfinite(variance)
    levels, noises = mean[known], variance[known]
    if levels.size < _FEW_FOR_LINE:
        return typical, 0.0
    order = np.argsort(levels, kind="stable")
    parts = np.array_split(order, _N_LEVELS)
    _, bright = robust_limits(mean, 10.0)
    parts.append(order[np.searchsorted(levels[order], bright) :])
    points = [(np.median(levels[part]), np.median(noises[part])) for part in parts if part.size > 7]
    x, y = np.array(points).T
    x = x - middle
    slope = float(np.sum(x * (y - typical)) / max(float(np.sum(x * x)), 1e-30))
    return typical, max(slope, 0.0)


def _read(frames: Sequence[Frame], progress: Progress) -> Any:
    """Yield the prepared images of frames, float64, one frame after the other."""
    for frame in frames:
        yield read_frame(frame, EXACT)[0]
        progress.advance(1)


def _mark_dead(masks: Images, flat: Master, out: Path) -> None:
    for mask, level in _amplifiers(masks, flat, out):
        local = local_median(level)
        with np.errstate(invalid="ignore", divide="ignore"):
            response = np.where(local > 0, level / local, np.nan)
        _, sigma = robust_sigma(response[np.isfinite(response)])
        # Of few or faint flats the response scatters; what has hardly any is dead all the same.
        least = np.clip(1 - DEAD_SIGMA * sigma, NO_RESPONSE, DEAD_RESPONSE)
        mask[~(response > least)] |= BAD


def _mark_nonlinear(
    masks: Images,
    flat: Master,
    out: Path,
    missing: list[str],
    progress: Progress,
) -> None:
    """Mark pixels whose response to bright light is not that to faint light.

    Of each pixel a straight line goes through its response, which is its light over the level of
    the flat, against that level; each flat counts as its photons do. One that is not level bends.
    """
    progress.begin("Linearity of pixels", len(flat.inputs), "flats")
    levels: list[float] = []
    sums: Images = []
    moments: Images = []
    for member in flat.inputs:
        images = _lit(member, out)
        level = float(np.nanmedian(images[0]))
        levels.append(level)
        # The response of a flat times its level, which is its weight, is its light.
        if not sums:
            sums, moments = [np.zeros_like(i) for i in images], [np.zeros_like(i) for i in images]
        for total, moment, image in zip(sums, moments, images, strict=True):
            total += image
            moment += level * image
        progress.advance(1)
    progress.end()
    weights = np.array(levels)
    if not (weights > 0).all() or weights.max() < _UNLIKE * weights.min():
        missing.append(f"non-linear pixels: the flats of {flat.name} are all of about one level")
        return
    middle = float((weights**2).sum() / weights.sum())
    spread = float((weights * (weights - middle) ** 2).sum())
    for mask, total, moment in zip(masks, sums, moments, strict=True):
        with np.errstate(invalid="ignore", divide="ignore"):
            response = total / weights.sum()
            slope = (moment - middle * total) / spread / response
            # Pixels with less light have more noise.
            slope *= np.sqrt(np.where(response > 0, response, np.nan))
        least, most = robust_limits(slope, NONLINEAR_SIGMA)
        mask[np.isfinite(slope) & ((slope < least) | (slope > most))] |= NONLINEAR


def _lit(flat: Input, out: Path) -> Images:
    """Read a flat, less its dark."""
    images = read_frame(flat.frame, EXACT)[0]
    files_of(out, flat.correction).subtract_from(images)
    return images


def _write(path: Path, masks: Sequence[NDArray[np.uint8]], sync: bool) -> None:
    units: list[Any] = []
    for number, mask in enumerate(masks):
        cards = [format_card("EXTNAME", "BADPIX"), format_card("EXTVER", number + 1)]
        if number == 0:
            cards = [format_card(KEY_CARD, "bad pixels", "made by daskred"), *legend_cards()]
            cards += commentary("COMMENT", "bad pixels: 0 is good")
        units.append((Header(tuple(cards)), as_bands(mask, is_data=False)))
    write_atomically(path, units, sync=sync)
