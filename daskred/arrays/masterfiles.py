"""The masters that calibrate frames: files that each process reads once, or arrays.

In a run masters are files, named in a small `MasterFiles` that travels with the tasks. In a
notebook they are arrays, and `MasterArrays` stands in the same place.

Files and arrays answer to the same questions, and stand together for it, which makes the file a
little longer than others.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.loaded import LoadedMasters, divided_by, with_sky
from daskred.fits.hdus import Hdu, read_first_header, read_hdus
from daskred.fits.header import Header
from daskred.fits.images import images_of, planes_of
from daskred.fits.pixels import read_image, read_rows
from daskred.kernels.calibrate import divisor, effective_dark, effective_sigma, sum_of_terms
from daskred.kernels.robust import medians
from daskred.kernels.shutter import exposure_factors
from daskred.model.frame import Image
from daskred.products.extensions import is_extension
from daskred.products.provenance import KEY_CARD, LEVEL_CARD

_loading = threading.Lock()
_loaded: dict[tuple[MasterFiles, int, bool], tuple[LoadedMasters, ...]] = {}  # the last ones


class Masters(Protocol):
    """What calibrates some frames, wherever it is."""

    @property
    def contents(self) -> tuple[str, ...]:
        """For each master the digest of what it was made from, where that is known."""

    def load(self, n_images: int, sigmas: bool = False) -> tuple[LoadedMasters, ...]:
        """Return the masters of each image; on request with their uncertainties."""

    def rows(
        self, number: int, shape: tuple[int, int], rows: slice, plane: str = ""
    ) -> NDArray[np.float64]:
        """Return rows of what is subtracted from an image, or of its variance (``UNCERT``).

        They are zero where nothing is subtracted, or its variance is not known.
        """

    def divisor_rows(self, number: int, rows: slice) -> NDArray[Any] | None:
        """Return rows of what an image is divided by; None where it is not."""

    def exposure_rows(self, number: int, rows: slice) -> NDArray[Any] | None:
        """Return rows of by what factor pixels are exposed longer than typical ones; or None."""

    def zero_levels(self) -> tuple[float, ...]:
        """Return the levels without dark current that a dark tells, where nothing else does."""


@dataclass(frozen=True)
class MasterFiles:
    """The files of the masters that calibrate some frames.

    Parameters
    ----------
    dark, bias, flat
        Paths, or None.
    illumination, fringe
        The file of the sky by whose smooth part frames are divided, and whose fringes are
        subtracted; or None.
    shutter
        The file of the shutter, and the exposure time of the frames, seconds; or None.
    scale
        The factor for the dark current.
    terms
        Instead of dark and bias: paths and factors whose sum is subtracted.
    written_ns
        When the files were written: files made anew are read anew.
    zero
        The file of the master above which a pixel's signal makes noise; None where that is zero,
        or told by the next.
    zero_terms
        Paths and factors whose sum is that level.
    contents
        For each of the masters used the digest of what it was made from.
    window
        Which part of larger masters is used: first row and column, rows and columns.
    """

    dark: str | None = None
    bias: str | None = None
    flat: str | None = None
    scale: float = 1.0
    terms: tuple[tuple[str, float], ...] = ()
    written_ns: tuple[int, ...] = ()
    zero: str | None = None
    zero_terms: tuple[tuple[str, float], ...] = ()
    contents: tuple[str, ...] = ()
    window: tuple[int, int, int, int] | None = None
    illumination: str | None = None
    fringe: str | None = None
    shutter: tuple[str, float] | None = None

    @property
    def sky(self) -> str | None:
        """The file of the sky, or None."""
        return self.illumination or self.fringe

    def load(self, n_images: int, sigmas: bool = False) -> tuple[LoadedMasters, ...]:
        """Read the masters, once in each process; one entry for each image.

        Their uncertainties come along on request.
        """
        key = self, n_images, sigmas
        with _loading:
            if key not in _loaded:
                _loaded.clear()  # first, since two of them would take twice the memory
                _loaded[key] = _load(self, n_images, sigmas)
            return _loaded[key]

    def subtract_from(self, images: Sequence[NDArray[Any]]) -> None:
        """Subtract the dark from the images of one frame, in place."""
        for image, masters in zip(images, self.load(len(images)), strict=True):
            if masters.dark is not None:
                image -= masters.dark

    def rows(
        self, number: int, shape: tuple[int, int], rows: slice, plane: str = ""
    ) -> NDArray[np.float64]:
        """Read rows of what is subtracted from an image, or of its variance (plane ``UNCERT``)."""
        found = np.zeros((rows.stop - rows.start, shape[1]))
        read = partial(_rows_of, number=number, rows=rows, plane=plane)
        subtracted = self.subtracted(read, variance=bool(plane))
        if subtracted is not None:
            found[...] = subtracted
        return found

    def divisor_rows(self, number: int, rows: slice) -> NDArray[Any] | None:
        """Read rows of what an image is divided by; None where it is not."""
        flat = _rows_of(self.flat, number, rows, "") if self.flat else None
        return None if flat is None else divisor(flat)

    def exposure_rows(self, number: int, rows: slice) -> NDArray[Any] | None:
        """Return rows of by what factor pixels are exposed longer than typical ones; or None."""
        if self.shutter is None:
            return None
        path, exptime_s = self.shutter
        typical_s = _typical_delay(path, self.written_ns)
        factors = exposure_factors(_delays_of(path, self.written_ns)[number][rows], exptime_s)
        return np.asarray(factors / (1 + typical_s / exptime_s))

    def exposure(self, number: int) -> NDArray[Any]:
        """Return by what factor pixels of an image are exposed longer than headers tell."""
        path, exptime_s = self.shutter or ("", 0.0)
        return exposure_factors(_delays_of(path, self.written_ns)[number], exptime_s)

    def zero_levels(self) -> tuple[float, ...]:
        """Return the levels without dark current that a dark tells, where nothing else does."""
        if self.dark is None or self.zero != self.dark or self.terms:
            return ()
        return levels_in(read_first_header(self.dark))

    def subtracted(
        self, read: Callable[[str], NDArray[Any] | None], variance: bool = False
    ) -> NDArray[Any] | None:
        """Return what is subtracted from frames, or its variance; None for nothing.

        Parameters
        ----------
        read
            Returns pixels, or uncertainties, of a master's file; None where it has none.
        variance
            Whether uncertainties are read.
        """
        if self.terms:
            found = [(read(path), factor) for path, factor in self.terms]
            planes = [(plane, factor) for plane, factor in found if plane is not None]
            if not planes:
                return None
            if variance:
                planes = [(np.square(plane, dtype="f8"), factor**2) for plane, factor in planes]
            return sum_of_terms(*zip(*planes, strict=True))
        dark, bias = (read(path) if path else None for path in (self.dark, self.bias))
        if not variance:
            return effective_dark(dark, bias, self.scale)
        sigma = effective_sigma(dark, bias, self.scale)
        return None if sigma is None else np.square(sigma)


def data_images(path: str, plane: str = "") -> list[Image]:
    """Return the images of a file; of a product those that are data, or planes of a name."""
    hdus = read_hdus(path)
    return planes_of(path, hdus, plane) if plane else images_in(path, hdus)


def images_in(path: str, hdus: Sequence[Hdu]) -> list[Image]:
    """Return the same of a file whose headers have been read: images, but no planes beside them."""
    is_ours = KEY_CARD in hdus[0].header
    return [image for image in images_of(path, hdus, is_ours) if not is_extension(image.name)]


def read_images(path: str, plane: str = "") -> list[NDArray[Any]]:
    """Read the images of a file whole; which, as of `data_images`."""
    return [read_image(path, image) for image in data_images(path, plane)]


def part_of(plane: NDArray[Any], window: tuple[int, int, int, int] | None) -> NDArray[Any]:
    """Return the part of a master that lies under a subframe; all of one that is no larger."""
    if window is None or plane.shape == window[2:]:
        return plane
    row, column, height, width = window
    return np.ascontiguousarray(plane[row : row + height, column : column + width])


def _load(files: MasterFiles, n_images: int, sigmas: bool) -> tuple[LoadedMasters, ...]:
    @cache
    def images(path: str, plane: str = "") -> list[NDArray[Any]]:
        return read_images(path, plane)

    def plane_of(path: str | None, number: int, plane: str = "") -> NDArray[Any] | None:
        found = images(path, plane) if path else []
        return part_of(found[number], files.window) if found else None

    loaded = []
    n_frames, levels = _n_frames(files), files.zero_levels() if sigmas else ()
    for number in range(n_images):
        flat = plane_of(files.flat, number)
        sky = plane_of(files.sky, number)
        dark = files.subtracted(partial(plane_of, number=number))
        dark_variance = flat_sigma = zero = None
        if sigmas:
            uncertainty = partial(plane_of, number=number, plane="UNCERT")
            dark_variance = files.subtracted(uncertainty, variance=True)
            flat_sigma = plane_of(files.flat, number, "UNCERT")
            # Where nothing but the dark itself stands for it, no signal is known.
            zero = None if files.zero == files.dark else plane_of(files.zero, number)
            if files.zero_terms:
                at_zero = MasterFiles(terms=files.zero_terms)
                zero = at_zero.subtracted(partial(plane_of, number=number))
        masters = LoadedMasters(
            dark=dark,
            divisor=None if flat is None else divisor(flat, in_place=True),
            dark_variance=dark_variance,
            flat_variance=None if flat_sigma is None else np.square(flat_sigma),
            zero=zero,
            n_frames=n_frames,
            levels=levels,
        )
        if files.shutter:
            masters = divided_by(masters, files.exposure(number))
        if sky is not None:
            parts = bool(files.illumination), bool(files.fringe)
            masters = with_sky(masters, sky, *parts)
        loaded.append(masters)
    return tuple(loaded)


@lru_cache(maxsize=2)
def _delays_of(path: str, states: tuple[int, ...]) -> tuple[NDArray[Any], ...]:
    """Return the smooth part of each image of a master of the shutter, seconds."""
    from daskred.kernels.shutter import smooth_delay  # few runs need it

    return tuple(map(smooth_delay, read_images(path)))


@lru_cache(maxsize=2)
def _typical_delay(path: str, states: tuple[int, ...]) -> float:
    """Return the median delay of all images, whose levels are measured together, seconds."""
    delays = np.concatenate([delay_s.reshape(-1) for delay_s in _delays_of(path, states)])
    known = delays[np.isfinite(delays)]
    return float(medians(known)) if known.size else 0.0


def levels_in(header: Header) -> tuple[float, ...]:
    """Return the levels without dark current that the header of a master dark tells."""
    levels: list[float] = []
    while (level := header.get(f"{LEVEL_CARD}{len(levels) + 1:03d}")) is not None:
        levels.append(float(level) if isinstance(level, int | float) else math.nan)
    return tuple(levels)


def _n_frames(files: MasterFiles) -> int:
    """Return of how many frames a dark, or a bias, is the median; 1 where more is subtracted."""
    path = files.dark or files.bias
    if path is None or files.terms or files.scale != 1:
        return 1
    number = read_first_header(path).get("NCOMBINE")
    return number if isinstance(number, int) and number > 0 else 1


def _rows_of(path: str, number: int, rows: slice, plane: str) -> NDArray[Any] | None:
    """Read rows of an image of a master; None where it has no such plane."""
    images = data_images(path, plane)
    if not images:
        return None
    image = images[number]
    found = np.empty((rows.stop - rows.start, image.shape[1]), image.dtype)
    read_rows(path, image, rows.start, rows.stop, found)
    return found.astype("f8") if plane else found


@dataclass(frozen=True, eq=False)
class MasterArrays:
    """Masters that are in memory: for each number of an image, an array.

    Parameters
    ----------
    dark, flat
        What is subtracted, and what divides.
    dark_sigma, flat_sigma
        Their uncertainties, where they are known.
    zero
        The level above which a pixel's signal makes noise, where it is known.
    levels
        Where there is none, that level of each amplifier, as the dark tells it.
    sky
        What the sky shows.
    illumination, fringe
        Whether its smooth part, and its fringes, are used.
    """

    dark: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    flat: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    dark_sigma: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    flat_sigma: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    zero: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    levels: tuple[float, ...] = ()
    contents: tuple[str, ...] = ()
    sky: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    illumination: bool = False
    fringe: bool = False
    _ready: dict[tuple[int, bool], tuple[LoadedMasters, ...]] = field(
        default_factory=dict, init=False, repr=False
    )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be made again: it does not travel to other workers."""
        return {**vars(self), "_ready": {}}

    def load(self, n_images: int, sigmas: bool = False) -> tuple[LoadedMasters, ...]:
        """Return the masters of each image, the same ones to all frames."""
        with _loading:
            if (n_images, sigmas) not in self._ready:
                self._ready[n_images, sigmas] = self._load(n_images, sigmas)
            return self._ready[n_images, sigmas]

    def _load(self, n_images: int, sigmas: bool) -> tuple[LoadedMasters, ...]:
        def variance(planes: Mapping[int, NDArray[Any]], number: int) -> NDArray[Any] | None:
            plane = planes.get(number) if sigmas else None
            return None if plane is None else np.square(plane)

        def of_image(number: int) -> LoadedMasters:
            masters = LoadedMasters(
                dark=self.dark.get(number),
                divisor=divisor(self.flat[number]) if number in self.flat else None,
                dark_variance=variance(self.dark_sigma, number),
                flat_variance=variance(self.flat_sigma, number),
                zero=self.zero.get(number) if sigmas else None,
                levels=self.zero_levels() if sigmas else (),
            )
            if number not in self.sky:
                return masters
            return with_sky(masters, self.sky[number], self.illumination, self.fringe)

        return tuple(map(of_image, range(n_images)))

    def zero_levels(self) -> tuple[float, ...]:
        """Return the levels without dark current that a dark tells, where nothing else does."""
        return () if self.zero else self.levels

    def rows(
        self, number: int, shape: tuple[int, int], rows: slice, plane: str = ""
    ) -> NDArray[np.float64]:
        """Return rows of what is subtracted from an image, or of its variance."""
        planes = self.dark_sigma if plane else self.dark
        if number not in planes:
            return np.zeros((rows.stop - rows.start, shape[1]))
        found = np.asarray(planes[number][rows], "f8")
        return np.square(found) if plane else found

    def divisor_rows(self, number: int, rows: slice) -> NDArray[Any] | None:
        """Return rows of what an image is divided by; None where it is not."""
        return divisor(self.flat[number][rows]) if number in self.flat else None

    def exposure_rows(self, number: int, rows: slice) -> NDArray[Any] | None:
        """Return None: a notebook has no master of the shutter."""
        return None
