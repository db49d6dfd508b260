"""A frame calibrated whole: prepared, its mask and uncertainties beside it, cosmic rays found.

Frames that need none of this are calibrated band by band, in `daskred.tasks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from daskred.correction import LoadedMasters, MasterFiles, read_images
from daskred.detector import Preparation
from daskred.errors import FrameError, RequestError
from daskred.fitsfile import read_first_header
from daskred.fitswrite import as_bands
from daskred.frames import Frame
from daskred.kernels.correct import calibrate
from daskred.kernels.noise import calibrated_sigma, knows_noise, signal_variance
from daskred.planes import BAD, COSMIC, INTERPOLATED, NO_DATA, SATURATED, Plane
from daskred.prepared import read_prepared

Cosmics = Literal["no", "flag", "clean"]
COSMICS: tuple[Cosmics, ...] = get_args(Cosmics)
# What is assumed where a header does not tell it, in electrons: rays stand far above any noise.
_USUAL_READ_NOISE_E = 6.5


@dataclass(frozen=True)
class Extras:
    """What is wanted beside the calibrated pixels.

    Parameters
    ----------
    mask, uncertainty
        Extensions MASK and UNCERT.
    bad_pixels
        A file of bad pixels, anything but zero being bad; bits of a mask of ours are kept.
    cosmics
        Whether cosmic rays are looked for, flagged, and cleaned.
    """

    mask: bool = False
    uncertainty: bool = False
    bad_pixels: str | None = None
    cosmics: Cosmics = "no"

    def __bool__(self) -> bool:
        return self.mask or self.uncertainty or self.cosmics != "no"


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


def readout_of(frame: Frame) -> Preparation:
    """Return how a frame was read out, also where nothing is done to its pixels."""
    if frame.detector is None:
        raise FrameError(frame.path, "nobody has told how it was read out")
    return frame.detector


def calibrate_frame(frame: Frame, files: MasterFiles, dtype: str, extras: Extras) -> Calibrated:
    """Read, prepare and calibrate a frame.

    Raises
    ------
    FrameError
        When it cannot be read or prepared, or the bad pixels are of another shape.
    """
    how = readout_of(frame)
    ready = read_prepared(frame, how, dtype)
    bad = _bad_pixels(extras.bad_pixels, frame) if extras.bad_pixels else None
    images: list[NDArray[Any]] = []
    planes: list[Plane] = []
    n_cosmics = 0
    for number, own in enumerate(files.load(len(how.shapes), extras.uncertainty)):
        signal = ready.images[number]
        value = calibrate(signal, own.dark, own.divisor, np.empty(signal.shape, dtype))
        mask = ready.saturated[number].astype("u1") * np.uint8(SATURATED)
        if bad is not None:
            mask |= bad[number]
        if extras.cosmics != "no":
            hit, cleaned = find_cosmics(value, mask != 0, how, number)
            n_cosmics += int(np.count_nonzero(hit))
            mask[hit] |= COSMIC
            if extras.cosmics == "clean":
                value = np.where(hit, cleaned, value).astype(dtype)
                mask[hit] |= INTERPOLATED
        mask[~np.isfinite(value)] |= NO_DATA
        if extras.uncertainty:
            sigma = _uncertainty(signal, value, how, number, own)
            planes.append(Plane("UNCERT", number, as_bands(sigma, is_data=False)))
        if extras.mask:
            planes.append(Plane("MASK", number, as_bands(mask, is_data=False)))
        images.append(value)
    looked = None if extras.cosmics == "no" else n_cosmics
    return Calibrated(images, planes, ready.raw_sum, looked)


def _uncertainty(
    signal: NDArray[Any],
    value: NDArray[Any],
    how: Preparation,
    number: int,
    masters: LoadedMasters,
) -> NDArray[np.float32]:
    """Return one standard deviation of each calibrated pixel."""
    above = signal if masters.zero is None else signal - masters.zero
    variance = signal_variance(above, how, number)
    return calibrated_sigma(
        value, variance, masters.dark_sigma, masters.divisor, masters.flat_sigma
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
    try:
        from astroscrappy import detect_cosmics
    except ImportError as error:
        raise RequestError(
            "cosmic rays are found by astroscrappy: pip install 'daskred[cosmics]'"
        ) from error
    own = [one for one in how.amplifiers if one.target == number]
    noise = float(np.median([one.read_noise_e or _USUAL_READ_NOISE_E for one in own]))
    gain = float(np.median([one.gain_e_per_adu or 1.0 for one in own]))
    no_value = ~np.isfinite(value)
    filled = np.where(no_value, 0.0, value).astype("f4")
    hit, cleaned = detect_cosmics(
        filled,
        inmask=masked | no_value,
        gain=1.0 if how.unit == "electron" else gain,
        readnoise=noise,
        satlevel=np.inf,
    )
    if how.unit != "electron":
        cleaned = cleaned / gain  # it returns electrons
    return hit.astype(bool), cleaned


def check_bad_pixels(path: str | None) -> None:
    """Raise RequestError where bad pixels cannot be read."""
    if path is None:
        return
    try:
        read_images(path)
    except FrameError as error:
        raise RequestError(f"--bad-pixels {error}") from error


def first_of_unknown_noise(frames: Sequence[Frame]) -> Frame | None:
    """Return the first frame whose gain or read noise nobody tells, or None."""
    return next((one for one in frames if not knows_noise(readout_of(one))), None)
