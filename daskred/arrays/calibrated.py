"""A frame on its way through the steps: band by band, with or without what stands beside pixels.

Nothing is read before the pixels are wanted. A writer takes the bands one after the other, in
memory that stays in the cache; a notebook takes the images whole.

What is asked of a frame on its way stands together, which makes the file a little longer than
others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.loaded import LoadedMasters
from daskred.arrays.masterfiles import Masters, part_of, read_images
from daskred.arrays.samples import Samples
from daskred.arrays.sources import Source, check_unchanged, source_of
from daskred.fits.hdus import read_first_header
from daskred.fits.pixels import band_rows
from daskred.fits.storage import state_of
from daskred.fits.write import Bands, as_bands
from daskred.kernels.robust import any_floats
from daskred.kernels.scratch import scratch
from daskred.model.errors import FrameError, RequestError
from daskred.model.frame import Frame
from daskred.model.mask import BAD, INTERPOLATED, NO_DATA, SATURATED
from daskred.products.coordinates import WHOLE, Grid
from daskred.products.extensions import Extension
from daskred.products.provenance import content_of
from daskred.steps import steps_of, whole_steps
from daskred.steps.step import Band, Recipe, Whole

if TYPE_CHECKING:
    from daskred.options import Options


# Of frames that are only compared: bands of pixels, no more.
_BARE: Any = {"mask": False, "uncertainty": False, "cosmics": "no", "interpolate": False}


class Calibrated:
    """One frame, calibrated when its pixels are wanted.

    Parameters
    ----------
    source
        Its pixels.
    masters
        What calibrates it.
    recipe
        How.
    frame
        The frame; None for pixels that are in memory, of which nobody knows the file.
    beside
        Frames of the same field, by which cosmic rays are told.
    memory
        What its working memory is called, where another frame has some at the same time.
    """

    def __init__(
        self,
        source: Source,
        masters: Masters,
        recipe: Recipe,
        frame: Frame | None = None,
        beside: Sequence[Frame] = (),
        memory: str = "",
    ) -> None:
        self._memory = memory
        self._source, self._masters, self._recipe, self._frame = source, masters, recipe, frame
        self._band_steps = steps_of(recipe, "band")
        self._frame_steps = steps_of(recipe, "frame")
        self._counts: dict[str, float] = {}
        self.samples = Samples(source.shapes)
        self._beside = [_bare(other, masters, recipe) for other in beside]

    @property
    def has_figures(self) -> bool:
        """Whether a sample of its pixels will say something of it."""
        return True

    @property
    def figures(self) -> dict[str, float]:
        """What a sample of its pixels says of it, once that has been asked; see `CHECKS`."""
        found = self.samples.figures
        oddities = {"wrapped": 0.0, "clipped": 0.0, **self._source.oddities}
        return {**found, **oddities, **self.samples.of_stars} if found else {}

    @property
    def light(self) -> bytes:
        """Where the light of its stars lies, once that has been asked; or nothing."""
        return self.samples.light

    @property
    def grids(self) -> Sequence[tuple[Grid, Grid]]:
        """Of each image, which columns and rows it has: none but whole images are calibrated."""
        return [(WHOLE, WHOLE)] * len(self._source.shapes)

    @property
    def counts(self) -> Mapping[str, float]:
        """How many pixels each step that counts them has touched, and what else they have found."""
        return self._counts

    @property
    def shared_errors(self) -> Mapping[str, float]:
        """What no uncertainty of single pixels can tell: errors that many pixels, or frames, share.

        Of the master dark (``dark``) and flat (``flat``, relative), the same in all frames that
        they calibrate, and of the overscan's level (``overscan``), the same in a row.
        """
        recipe = self._recipe
        if not (recipe.options.uncertainty and self._noise_is_known):
            return {}
        from daskred.kernels.noise import overscan_error

        found: dict[str, float] = {}
        for masters in self._loaded:
            for name, error in masters.shared_errors.items():
                found[name] = max(error, found.get(name, 0.0))
        if error := overscan_error(recipe.readout):
            found["overscan"] = error
        return found

    @property
    def content(self) -> str:
        """A digest of all pixels that it is made from, once they have been read."""
        sources = [self._source, *(other._source for other in self._beside)]
        return content_of([source.raw_sum or 0 for source in sources], self._masters.contents)

    @property
    def knows_content(self) -> bool:
        """Whether there is such a digest: of raw frames, and masters that are files."""
        return len(self._masters.contents) >= len(self._recipe.correction.masters) and (
            self._frame is not None
        )

    @property
    def has_planes(self) -> bool:
        """Whether anything but bands of pixels is wanted."""
        options = self._recipe.options
        return bool(options.mask or options.uncertainty or self._frame_steps)

    @cached_property
    def _loaded(self) -> tuple[LoadedMasters, ...]:
        return self._masters.load(len(self._source.shapes), self._recipe.options.wants_noise)

    @property
    def _noise_is_known(self) -> bool:
        """Whether gain and read noise are."""
        from daskred.kernels.noise import knows_noise  # few runs need it

        return knows_noise(self._recipe.readout)

    def images(self) -> tuple[list[Bands], list[Extension]]:
        """Return the images as they are written, and what stands beside them.

        Raises
        ------
        FrameError
            When the frame cannot be read or prepared, or bad pixels are of another shape; where
            nothing stands beside the pixels, it is raised by the bands.
        """
        shapes, dtype = self._source.shapes, np.dtype(self._recipe.options.dtype)
        if not self.has_planes:
            return [
                Bands(shape, dtype, self._streamed(number)) for number, shape in enumerate(shapes)
            ], []
        images, planes = [], []
        for number in range(len(shapes)):
            whole = self.whole(number)
            images.append(as_bands(whole.value))
            if whole.sigma is not None and self._recipe.options.uncertainty:
                planes.append(Extension("UNCERT", number, as_bands(whole.sigma, is_data=False)))
            if self._recipe.options.mask:
                planes.append(Extension("MASK", number, as_bands(whole.mask, is_data=False)))
        if self._frame:
            check_unchanged(self._frame)
        return images, planes

    @any_floats
    def arrays(self, number: int) -> dict[str, NDArray[Any]]:
        """Return an image, and what stands beside it, in memory of their own."""
        options = self._recipe.options
        if not self.has_planes:
            pixels = np.empty(self._source.shapes[number], options.dtype)
            start = 0
            for band in self._streamed(number):
                pixels[start : start + len(band)] = band
                start += len(band)
            return {"pixels": pixels}
        whole = self.whole(number)
        found = {"pixels": whole.value.copy(), "mask": whole.mask.copy()}
        if whole.sigma is not None and options.uncertainty:
            found["uncertainty"] = whole.sigma.copy()
        return found

    def _streamed(self, number: int) -> Iterator[NDArray[Any]]:
        for _, band in self._bands(number, None):
            yield band.out
        if self._frame:
            check_unchanged(self._frame)

    def whole(self, number: int) -> Whole:
        """Return an image whole, in memory that the next frame's overwrites."""
        shape, options = self._source.shapes[number], self._recipe.options
        has_sigma = options.wants_noise and self._noise_is_known
        whole = Whole(
            number,
            scratch(f"calibrated image {number}{self._memory}", shape, options.dtype),
            scratch(f"mask {number}{self._memory}", shape, "u1"),
            scratch(f"uncertainty {number}", shape, "f4") if has_sigma else None,
            self._loaded[number],
            partial(self._pixels_beside, number),
        )
        bad = self._bad_pixels(number)
        for rows, band in self._bands(number, whole):
            assert band.mask is not None
            if bad is not None:
                band.mask |= bad[rows]
            if not self._frame_steps:
                _mark_no_data(band.mask, band.out)
        if whole.sigma is not None:
            self._find_uncertainty(whole, whole.sigma)
        for step in self._frame_steps:
            self._count(step.name, step.work(whole, self._recipe))
        if self._frame_steps:
            _mark_no_data(whole.mask, whole.value)
        return whole

    def _pixels_beside(self, number: int) -> list[NDArray[Any]]:
        """Return an image of the frames of the same field, as far as they can be read."""
        found, bad = [], self._bad_pixels(number) if self._beside else None
        for other in self._beside:
            with suppress(FrameError):  # it is told where that frame is calibrated
                pixels = other.arrays(number)["pixels"]
                if bad is not None:
                    pixels[bad != 0] = np.nan
                found.append(pixels)
        return found

    def _count(self, name: str, found: int | Mapping[str, float] | None) -> None:
        """Add to what a step has counted; most count nothing."""
        numbers = {name: found} if isinstance(found, int) else found or {}
        for counted, number in numbers.items():
            self._counts[counted] = self._counts.get(counted, 0) + number

    def _bands(self, number: int, whole: Whole | None) -> Iterator[tuple[slice, Band]]:
        """Yield the bands of an image as they have passed the steps that reach a band."""
        recipe, masters = self._recipe, self._loaded[number]
        wanted = whole is not None
        source = self._source.bands(number, saturated=wanted, piles=wanted)
        for start, pixels, saturated in source:
            rows = slice(start, start + len(pixels))
            if whole is None:
                out = scratch("calibrated band", pixels.shape, recipe.options.dtype)
            else:
                out = whole.value[rows]
            band = Band(pixels, out, masters.rows(rows))
            if whole is not None and saturated is not None:
                band.mask = whole.mask[rows]
                np.multiply(saturated, np.uint8(SATURATED), out=band.mask)
            for step in self._band_steps:
                self._count(step.name, step.work(band, recipe))
            if band.pixels is not out:
                out[...] = band.pixels
            self.samples.add(number, start, pixels, out, masters)
            yield rows, band

    def _find_uncertainty(self, whole: Whole, sigma: NDArray[np.float32]) -> None:
        """Write what read noise, light and masters are wrong by, of an image that is calibrated."""
        from daskred.kernels.background import Background
        from daskred.kernels.noise import sigma_of

        recipe, masters = self._recipe, self._loaded[whole.number]
        own = recipe.options.photon_noise == "pixel"
        background = None if own else Background(whole.value, whole.mask != 0)
        height = len(whole.value)
        n_rows = max(1, band_rows(whole.value.shape) // 2)  # several planes share the cache
        for start in range(0, height, n_rows):
            rows = slice(start, min(start + n_rows, height))
            light = whole.value[rows]
            if background is not None:
                light = background.expected(whole.value, rows.start, rows.stop)
            band = Band(light, light, masters.rows(rows))
            band.variance = _variance(band, recipe, whole.number, start)
            for step in self._band_steps:
                if step.variance:
                    step.variance(band)
            sigma_of(band.variance, band.masters.divisor, sigma[rows])

    def _bad_pixels(self, number: int) -> NDArray[np.uint8] | None:
        path = self._recipe.options.bad_pixels
        if path is None:
            return None
        window = self._recipe.correction.window
        masks = tuple(part_of(m, window) for m in _read_bad_pixels(path, _state_of(path)))
        shapes = tuple(mask.shape for mask in masks)
        known = self._source.shapes if self._frame else (self._source.shapes[number],)
        if shapes != known:
            theirs, ours = (", ".join(f"{y}x{x}" for y, x in some) for some in (shapes, known))
            text = f"its images are {ours}, and the bad pixels of {path} are for {theirs}"
            raise FrameError(self._frame.path if self._frame else path, text)
        return masks[number if self._frame else 0]


def _bare(frame: Frame, masters: Masters, recipe: Recipe) -> Calibrated:
    """Return a frame that others are compared with: its bands, and nothing beside them."""
    options = recipe.options.but(**_BARE)
    own = Recipe(frame.readout, recipe.correction, options)
    return Calibrated(source_of(frame, options), masters, own, frame, memory=" beside")


def _variance(band: Band, recipe: Recipe, number: int, first_row: int) -> NDArray[Any]:
    """Return the variance of the pixels of a band before they passed the steps.

    The light that they hold is the calibrated one, in front of the flat, and the dark current.
    """
    from daskred.kernels.noise import add_above_levels, signal_variance

    light, masters = band.out, band.masters
    above = scratch("signal above bias", light.shape, light.dtype)
    if masters.divisor is None:
        above[...] = light
    else:
        np.multiply(light, masters.divisor, out=above)
    # Where nobody tells the level without dark current, that is left out.
    told = len(masters.levels) == len(recipe.readout.amplifiers)
    if masters.dark is not None and told:
        add_above_levels(above, masters.dark, masters.levels, recipe.readout, number, first_row)
    elif masters.dark is not None and (masters.zero is not None or recipe.readout.is_above_bias):
        above += masters.dark
        if masters.zero is not None:
            above -= masters.zero
    out = scratch("variance", above.shape, light.dtype)
    return signal_variance(above, recipe.readout, number, first_row, out=out)


def _mark_no_data(mask: NDArray[np.uint8], value: NDArray[Any]) -> None:
    finite = np.isfinite(value, out=scratch("finite", value.shape, "?"))
    if not finite.all():
        mask[~finite] |= NO_DATA


@lru_cache(maxsize=1)
def _read_bad_pixels(path: str, state: str) -> tuple[NDArray[np.uint8], ...]:
    """Read the bits of bad pixels of each image, once in each process and state of the file."""
    masks = read_images(path)
    if "BIT0" in read_first_header(path):  # one of ours: its bits are kept
        # What was filled in another image is not filled in this one.
        return tuple(mask.astype("u1") & np.uint8(0xFF ^ INTERPOLATED) for mask in masks)
    return tuple(np.where(mask != 0, BAD, 0).astype("u1") for mask in masks)


def _state_of(path: str) -> str:
    try:
        return state_of(path)
    except OSError as error:
        raise FrameError(path, f"cannot be read: {error.strerror}") from error


def check_science_options(options: Options) -> None:
    """Raise RequestError where what is wanted of science frames cannot be had."""
    if options.cosmics_frames and options.cosmics == "no":
        raise RequestError("--cosmics-frames goes with --cosmics flag, or clean")
    if options.cosmics_frames == 1:
        raise RequestError("--cosmics-frames 1: two others at least tell which of them is hit")
    if options.cosmics != "no" and find_spec("astroscrappy") is None:
        raise RequestError("cosmic rays are found by astroscrappy: pip install 'daskred[cosmics]'")
    path = options.bad_pixels
    if path is None:
        return
    if not (options.mask or options.uncertainty or whole_steps(options)):
        raise RequestError(
            "--bad-pixels goes with --mask, or with --interpolate or --cosmics, which it guides"
        )
    try:
        found = read_images(path)
    except FrameError as error:
        raise RequestError(f"--bad-pixels {error}") from error
    if not found:
        raise RequestError(f"--bad-pixels {path}: has no image that is no extension of a product")
