"""A frame calibrated whole: prepared, its mask and uncertainties beside it, cosmic rays found.

Frames that need none of this are calibrated band by band, in `daskred.tasks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.checksum import sum_of_rows
from daskred.correction import LoadedMasters, MasterFiles, read_images
from daskred.detector import Preparation
from daskred.errors import FrameError, RequestError
from daskred.fitsfile import read_first_header
from daskred.fitspixels import band_rows, bands_of
from daskred.fitswrite import as_bands
from daskred.frames import Frame
from daskred.kernels.correct import calibrate
from daskred.kernels.flat import mark_saturated
from daskred.kernels.noise import calibrated_sigma, knows_noise, signal_variance
from daskred.kernels.scratch import scratch
from daskred.planes import BAD, COSMIC, INTERPOLATED, NO_DATA, SATURATED, Extras, Plane
from daskred.prepared import read_prepared

# What is assumed where a header does not tell it, in electrons: rays stand far above any noise.
_USUAL_READ_NOISE_E = 6.5


@dataclass(frozen=True, eq=False)
class Calibrated:
    """The calibrated pixels of a frame, and what stands beside them.

    Parameters
    ----------
    images
        Shape ``(y, x)`` each.
    planes
        Masks and uncertainties.
    raw_sum
        The sum of the raw pixels; see `daskred.fitspixels.pixel_sum`.
    n_cosmics
        How many pixels cosmic rays have hit; None where nobody looked.
    """

    images: list[NDArray[Any]]
    planes: list[Plane]
    raw_sum: int
    n_cosmics: int | None = None


def calibrate_frame(frame: Frame, files: MasterFiles, dtype: str, extras: Extras) -> Calibrated:
    """Read, prepare and calibrate a frame.

    Raises
    ------
    FrameError
        When it cannot be read or prepared, or the bad pixels are of another shape.
    """
    how = frame.readout
    bad = _bad_pixels(extras.bad_pixels, frame) if extras.bad_pixels else None
    source = _Source(frame, dtype)
    images: list[NDArray[Any]] = []
    planes: list[Plane] = []
    n_cosmics = 0
    for number, own in enumerate(files.load(len(how.shapes), extras.uncertainty)):
        shape = how.shapes[number]
        value = scratch(f"calibrated image {number}", shape, dtype)
        mask = scratch(f"mask {number}", shape, "u1")
        sigma = scratch(f"uncertainty {number}", shape, "f4") if extras.uncertainty else None
        for first_row, signal, full in source.bands(number):
            rows = slice(first_row, first_row + len(signal))
            masters = own.rows(rows)
            calibrate(signal, masters.dark, masters.divisor, value[rows])
            np.multiply(full, np.uint8(SATURATED), out=mask[rows])
            if sigma is not None:
                _uncertainty(signal, value[rows], how, (number, first_row), masters, sigma[rows])
            if extras.cosmics == "no":
                _mark_no_data(mask[rows], value[rows])
        if bad is not None:
            mask |= bad[number]
        if extras.cosmics != "no":
            hit, cleaned = find_cosmics(value, mask != 0, how, number)
            n_cosmics += int(np.count_nonzero(hit))
            mask[hit] |= COSMIC
            if extras.cosmics == "clean":
                np.copyto(value, cleaned, where=hit, casting="same_kind")
                mask[hit] |= INTERPOLATED
            _mark_no_data(mask, value)
        if sigma is not None:
            planes.append(Plane("UNCERT", number, as_bands(sigma, is_data=False)))
        if extras.mask:
            planes.append(Plane("MASK", number, as_bands(mask, is_data=False)))
        images.append(value)
    looked = None if extras.cosmics == "no" else n_cosmics
    return Calibrated(images, planes, source.raw_sum, looked)


def _mark_no_data(mask: NDArray[np.uint8], value: NDArray[Any]) -> None:
    finite = np.isfinite(value, out=scratch("finite", value.shape, "?"))
    if not finite.all():
        mask[~finite] |= NO_DATA


class _Source:
    """The pixels of a frame ready to be calibrated, in bands of rows that fit the cache."""

    def __init__(self, frame: Frame, dtype: str) -> None:
        self._frame = frame
        self._how = frame.readout
        self._ready = read_prepared(frame, self._how, dtype) if frame.is_prepared else None
        self.raw_sum = self._ready.raw_sum if self._ready else 0

    def bands(self, number: int) -> Iterator[tuple[int, NDArray[Any], NDArray[np.bool_]]]:
        """Yield first row, pixels, and where they are saturated, of each band of an image."""
        if self._ready:
            pixels, full = self._ready.images[number], self._ready.saturated[number]
            step = band_rows(pixels.shape)
            for start in range(0, len(pixels), step):
                yield start, pixels[start : start + step], full[start : start + step]
            return
        image = self._frame.images[number]
        first = sum(one.shape[0] for one in self._frame.images[:number])
        # Where nothing is prepared, one amplifier is all of an image.
        (limit,) = (a.saturation_adu for a in self._how.amplifiers if a.target == number)
        start = 0
        for raw in bands_of(self._frame.path, image):
            self.raw_sum = (self.raw_sum + sum_of_rows(raw, first + start)) % 2**64
            full = scratch("saturated", raw.shape, "?")
            mark_saturated(raw, limit, full)
            yield start, raw, full
            start += len(raw)


def _uncertainty(
    signal: NDArray[Any],
    value: NDArray[Any],
    how: Preparation,
    place: tuple[int, int],
    masters: LoadedMasters,
    out: NDArray[np.float32],
) -> None:
    """Write one standard deviation of each calibrated pixel of a band; place is image and row."""
    above = signal
    if masters.zero is not None:
        above = scratch("signal above bias", signal.shape, value.dtype)
        np.subtract(signal, masters.zero, out=above, casting="same_kind")
    own = scratch("variance", signal.shape, value.dtype)
    variance = signal_variance(above, how, *place, out=own)
    calibrated_sigma(
        value, variance, masters.dark_variance, masters.divisor, masters.flat_variance, out
    )


def _bad_pixels(path: str, frame: Frame) -> list[NDArray[np.uint8]]:
    """Return the bits of bad pixels of each image."""
    masks = read_images(path)
    shapes = [shape for _, shape in frame.layout]
    if [mask.shape for mask in masks] != shapes:
        theirs, ours = (
            ", ".join(f"{y}x{x}" for y, x in some) for some in ([m.shape for m in masks], shapes)
        )
        text = f"its images are {ours}, and the bad pixels of {path} are for {theirs}"
        raise FrameError(frame.path, text)
    if "BIT0" in read_first_header(path):  # one of ours: its bits are kept
        return [mask.astype("u1") for mask in masks]
    return [np.where(mask != 0, BAD, 0).astype("u1") for mask in masks]


def find_cosmics(
    value: NDArray[Any], masked: NDArray[np.bool_], how: Preparation, number: int
) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Return where cosmic rays have hit, and the pixels with those replaced by their neighbours'.

    L.A.Cosmic (van Dokkum 2001, PASP 113, 1420) as astroscrappy has it.

    Parameters
    ----------
    value
        Calibrated pixels.
    masked
        Pixels that are not looked at.
    how, number
        Tell gain and read noise; which image.
    """
    from astroscrappy import detect_cosmics

    own = [one for one in how.amplifiers if one.target == number]
    noise = float(np.median([one.read_noise_e or _USUAL_READ_NOISE_E for one in own]))
    gain = float(np.median([one.gain_e_per_adu or 1.0 for one in own]))
    no_value = ~np.isfinite(value)
    gain = 1.0 if how.unit == "electron" else gain
    electrons = np.where(no_value, 0.0, value * gain).astype("f4")
    hit, cleaned = detect_cosmics(
        electrons, inmask=masked | no_value, gain=1.0, readnoise=noise, satlevel=np.inf
    )
    return hit.astype(bool), cleaned / gain


def check_extras(extras: Extras) -> None:
    """Raise RequestError where what is wanted beside the pixels cannot be had."""
    if extras.cosmics != "no" and find_spec("astroscrappy") is None:
        raise RequestError("cosmic rays are found by astroscrappy: pip install 'daskred[cosmics]'")
    path = extras.bad_pixels
    if path is None:
        return
    if not extras:
        raise RequestError("--bad-pixels goes with --mask, or with --cosmics, which it guides")
    try:
        found = read_images(path)
    except FrameError as error:
        raise RequestError(f"--bad-pixels {error}") from error
    if not found:
        raise RequestError(f"--bad-pixels {path}: has no image that is no extension of a product")


def first_of_unknown_noise(frames: Sequence[Frame]) -> Frame | None:
    """Return the first frame whose gain or read noise nobody tells, or None."""
    return next((one for one in frames if not knows_noise(one.readout)), None)
