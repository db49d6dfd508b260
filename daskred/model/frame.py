"""A frame and its images: the facts of its header and where its pixels lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from daskred.model.errors import RequestError
from daskred.model.readout import Readout

if TYPE_CHECKING:
    from astropy.nddata import CCDData

Kind = Literal["bias", "dark", "flat", "science", "unknown"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# FITS 4.0, table 8 (BITPIX) and table 11 (offsets that make integers unsigned, bytes signed).
_DISK_DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
# A detector this near to the temperature asked for has reached it.
REACHED_C = 3.0
_OFFSETS = {(8, -128.0): "i1", (16, 2.0**15): "u2", (32, 2.0**31): "u4", (64, 2.0**63): "u8"}


def number_in(names: Sequence[str], image: int | str) -> int | None:
    """Return the number of an image that is given by number or name; None where there is none.

    Examples
    --------
    >>> number_in(["A", "B"], "B"), number_in(["A", "B"], 0), number_in(["A", "B"], 2)
    (1, 0, None)
    """
    if isinstance(image, str):
        return names.index(image) if image in names else None
    return image if 0 <= image < len(names) else None


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a frame: a detector, an amplifier, or all there is.

    Parameters
    ----------
    name
        ``EXTNAME,EXTVER`` of an extension, ``HDU n`` where it has none, empty for a primary image.
    hdu
        Its place in the file; the primary is 0.
    shape
        Rows and columns, ``(y, x)``.
    bitpix
        The type on disk.
    bscale, bzero
        ``physical = bzero + bscale * stored``.
    blank
        The stored integer that means "no value", or None.
    offset
        Where the pixels begin, in bytes of the uncompressed file.
    compressed
        Whether the pixels are tile-compressed.
    packing
        How the whole file is packed, as ``gzip``; empty where it is not.

    Examples
    --------
    >>> image = Image("", 0, (20, 30), 16, 1.0, 32768.0, None, 2880, False)
    >>> image.dtype.name, image.n_pixels
    ('uint16', 600)
    """

    name: str
    hdu: int
    shape: tuple[int, int]
    bitpix: int
    bscale: float
    bzero: float
    blank: int | None
    offset: int
    compressed: bool
    packing: str = ""

    @property
    def disk_dtype(self) -> np.dtype[Any]:
        """The type of the stored pixels, big-endian as FITS has it."""
        return np.dtype(_DISK_DTYPES[self.bitpix])

    @property
    def offset_dtype(self) -> np.dtype[Any] | None:
        """The integer type that BZERO stands for, where scaling is only a change of sign."""
        if self.bscale != 1 or self.blank is not None:
            return None
        name = _OFFSETS.get((self.bitpix, self.bzero))
        return np.dtype(name) if name else None

    @property
    def is_scaled(self) -> bool:
        """Whether pixels must be multiplied, shifted or blanked, which makes them floats."""
        plain = self.bscale == 1 and self.bzero == 0 and self.blank is None
        return not plain and self.offset_dtype is None

    @property
    def step(self) -> float:
        """Physical values are whole multiples of it; 0 for floating-point numbers."""
        return abs(self.bscale) if self.bitpix > 0 else 0.0

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the physical pixels, in this machine's byte order.

        Scaled integers of up to 16 bits become float32, others float64, as in astropy.
        """
        if self.offset_dtype is not None:
            return self.offset_dtype
        if self.is_scaled and self.bitpix > 0:
            return np.dtype("f4" if self.bitpix <= 16 else "f8")
        return self.disk_dtype.newbyteorder("=")

    @property
    def largest(self) -> float | None:
        """The largest value that the stored integers can tell; None of floats."""
        if self.bitpix < 0:
            return None
        top = 255 if self.bitpix == 8 else 2 ** (self.bitpix - 1) - 1
        return self.bzero + self.bscale * top

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return self.shape[0] * self.shape[1]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a frame's header says that matters to calibration; None where it says nothing.

    Parameters
    ----------
    exptime_s
        Exposure time, seconds.
    filter
        The filter's name, of all wheels together.
    binning
        As ``(x, y)``.
    time_obs
        Start of the exposure, as the header writes it.
    gain_e_per_adu
        Gain, electrons per ADU.
    set_temp_c, ccd_temp_c
        Temperature asked for and reached, degrees Celsius.
    camera
        Which detector.
    object
        What was observed, in the observer's words.
    saturation_adu
        The level above which pixels are saturated, ADU.
    read_noise_e
        Electrons.
    dark_time_s
        How long dark current has gathered, seconds: the exposure time, unless the header tells
        that it was much longer.
    settings
        What else the camera's criteria ask for: name and value, as ``("offset", "50")``.

    Examples
    --------
    >>> Facts(exptime_s=10.0, filter="V").value("filter")
    'V'
    """

    exptime_s: float | None = None
    filter: str | None = None
    binning: tuple[int, int] | None = None
    time_obs: str | None = None
    gain_e_per_adu: float | None = None
    set_temp_c: float | None = None
    ccd_temp_c: float | None = None
    camera: str | None = None
    object: str | None = None
    saturation_adu: float | None = None
    read_noise_e: float | None = None
    dark_time_s: float | None = None
    settings: tuple[tuple[str, str], ...] = ()

    def value(self, name: str) -> Any:
        """Return a fact, or a setting, by its name; None where the header does not tell it."""
        for setting, text in self.settings:
            if setting == name:
                return text
        return getattr(self, name, None)

    @property
    def dark_exposure_s(self) -> float | None:
        """How long dark current has gathered, seconds; the exposure time where no card tells it."""
        return self.exptime_s if self.dark_time_s is None else self.dark_time_s

    @property
    def set_temperature(self) -> float | None:
        """The temperature asked for, where it was reached; degrees Celsius."""
        if self.set_temp_c is None or self.ccd_temp_c is None:
            return self.set_temp_c
        return self.set_temp_c if abs(self.set_temp_c - self.ccd_temp_c) <= REACHED_C else None

    @property
    def temperature(self) -> float | None:
        """The detector's temperature: the one asked for where it was reached, else the measured."""
        set_temperature = self.set_temperature
        return self.ccd_temp_c if set_temperature is None else set_temperature


@dataclass(frozen=True, slots=True, repr=False)
class Frame:
    """One exposure: one FITS file, what its header says, and its images.

    Parameters
    ----------
    path
        The file, absolute.
    name
        Its path below the night, with forward slashes.
    images
        One or more; a mosaic has one per detector or amplifier.
    facts
        What the header says.
    kind, reason
        What it is an exposure of, and the signs that say so.
    digest
        Hexadecimal digest of the file's size, headers and first pixels.
    n_cards
        Number of header cards that say something, and not only how the pixels lie.
    readout
        How it is read out, and what is done to its pixels before they are calibrated.
    state
        What would change if the file were written or replaced; see `daskred.fits.storage.state_of`.
    is_prepared
        Whether anything is done to them.
    has_sums
        Whether its header tells sums of its bytes.

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name + "/night", shape=(16, 16), n_darks=3, n_flats=2)
    >>> frame = daskred.open_night(folder.name).select("science")[0]
    >>> frame.basename, frame.facts.exptime_s, frame.n_pixels
    ('ktwo220274129-0001.fits', 10.0, 256)
    >>> folder.cleanup()
    """

    path: str
    name: str
    images: tuple[Image, ...]
    facts: Facts
    kind: Kind
    reason: str
    digest: str
    n_cards: int
    readout: Readout
    state: str = ""
    is_prepared: bool = False
    has_sums: bool = False

    def __repr__(self) -> str:
        exptime_s, shapes = self.facts.exptime_s, sorted({image.shape for image in self.images})
        told = [self.kind, "" if exptime_s is None else f"{exptime_s:g} s", self.facts.filter or ""]
        told += ["x".join(map(str, shape)) for shape in shapes]
        return f"Frame({self.name!r}: {', '.join(text for text in told if text)})"

    def to_ccddata(self, image: int | str = 0) -> CCDData:
        """Read the frame as astropy, ccdproc and photutils take it: raw, with its header.

        Parameters
        ----------
        image
            Which of its images, by number or by name.

        Returns
        -------
        astropy.nddata.CCDData
            Pixels as they are in the file, masked where they have no value, in the file's unit.

        Raises
        ------
        FrameError
            When it cannot be read.
        RequestError
            When it has no such image.
        """
        names = [known.name for known in self.images]
        number = number_in(names, image)
        if number is None:
            raise RequestError(f"no image {image!r}; there are {', '.join(map(repr, names))}")
        return import_module("daskred.fits.ccddata").ccddata_of(self.path, self.images[number])

    @property
    def preparation(self) -> Readout | None:
        """What is done to its pixels; None where they are taken as they are."""
        return self.readout if self.is_prepared else None

    def of_kind(self, kind: Kind, reason: str) -> Frame:
        """Return this frame, taken for another kind."""
        return replace(self, kind=kind, reason=reason)

    @property
    def n_pixels(self) -> int:
        """Number of raw pixels of all images."""
        return sum(image.n_pixels for image in self.images)

    @property
    def basename(self) -> str:
        """The file's name without its folder."""
        return PurePath(self.path).name

    @property
    def layout(self) -> tuple[tuple[str, tuple[int, int]], ...]:
        """Names and shapes of the prepared images: what frames that are combined must share.

        One image alone needs no name: it may lie in the primary unit, or in an extension.
        """
        prepared, names = self.preparation, self.image_names
        shapes = prepared.shapes if prepared else tuple(image.shape for image in self.images)
        return tuple(zip(names if len(names) > 1 else ("",), shapes, strict=True))

    @property
    def image_names(self) -> tuple[str, ...]:
        """Names of the prepared images."""
        if self.preparation:
            return tuple(self.preparation.names)
        return tuple(image.name for image in self.images)
