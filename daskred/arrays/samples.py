"""What is kept of science frames' pixels on their way, to see whether they are what they seem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.loaded import LoadedMasters, SampledDark, above
from daskred.kernels.figures import science_figures
from daskred.kernels.robust import any_floats, known_values
from daskred.kernels.sampling import picked_sample, places_of
from daskred.kernels.stars import Light, light_of_stars, strips_of


class Samples:
    """A sparse sample of a frame, before and after it is calibrated, and strips of its rows.

    Parameters
    ----------
    shapes
        Of its images.

    Attributes
    ----------
    figures, of_stars, light
        What they say, once they have been asked by `ask`: of pixels, and of stars, by the names of
        the checks, and where the light of the frame's stars lies. Nothing before.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]]) -> None:
        self.shapes = tuple(shapes)
        self.figures: dict[str, float] = {}
        self.of_stars: dict[str, float] = {}
        self.light = b""
        self.images: list[_Image] = []  # those whose bands have come

    def add(
        self,
        number: int,
        first_row: int,
        raw: NDArray[Any],
        calibrated: NDArray[Any],
        masters: LoadedMasters,
    ) -> None:
        """Take from a band of an image, before and after; bands come in their order."""
        if not first_row:
            image = _Image(self.shapes[number], len(self.shapes), masters.sampled)
            self.images[number:] = [image]  # a frame may be read again
        self.images[number].add(first_row, raw, calibrated)

    @property
    def is_whole(self) -> bool:
        """Whether all pixels have come, and nobody has asked yet."""
        n_images = len(self.images)
        return n_images == len(self.shapes) and self.images[-1].is_whole and not self.figures

    @property
    def likeness(self) -> tuple[Any, ...]:
        """What frames share that can be asked together: images, types, and darks."""
        darks = tuple(id(image.dark) for image in self.images)
        return self.shapes, self.images[0].raw[0].dtype, darks


class _Image:
    """What is kept of one image: of each band some pixels, and the strips.

    Parameters
    ----------
    shape, n_images
        Of the image; and of how many its frame has.
    dark
        What is known of its dark, where it has one.
    """

    def __init__(self, shape: tuple[int, int], n_images: int, dark: SampledDark | None) -> None:
        self.dark = dark
        self.sample = picked_sample(shape)
        self.picked = dark.picked if dark else self.sample
        self.strips = strips_of(shape, n_images)
        self.length = places_of(shape).length
        self.raw: list[NDArray[Any]] = []
        self.calibrated: list[NDArray[Any]] = []
        self.in_strips: list[NDArray[Any]] = []
        self._height, self._stop = shape[0], 0

    def add(self, first_row: int, raw: NDArray[Any], calibrated: NDArray[Any]) -> None:
        """Take from a band."""
        self.raw.append(self.picked.of(raw, first_row))
        self.calibrated.append(self.sample.of(calibrated, first_row))
        self.in_strips.append(self.strips.of(calibrated, first_row))
        self._stop = first_row + len(raw)

    @property
    def is_whole(self) -> bool:
        """Whether all bands have come."""
        return self._stop == self._height


@any_floats
def ask(samples: Sequence[Samples]) -> None:
    """Find out what samples say: of like frames together, which is faster than one by one."""
    groups: dict[tuple[Any, ...], list[Samples]] = {}
    for sample in samples:
        if sample.is_whole:
            groups.setdefault(sample.likeness, []).append(sample)
    for group in groups.values():
        _ask_alike(group)


def _ask_alike(samples: Sequence[Samples]) -> None:
    raw, hot, calibrated, stars = [], [], [], []
    images = list(zip(*(sample.images for sample in samples), strict=True))
    for alike in images:  # of each frame the same
        first = alike[0]
        taken, *pixels = first.picked.apart(_joined([image.raw for image in alike]))
        raw.append(taken)
        if first.dark:
            hot.append(above(*pixels))
        calibrated += first.sample.apart(_joined([image.calibrated for image in alike]))
        in_strips = np.concatenate(_joined([image.in_strips for image in alike]), axis=1)
        stars.append(light_of_stars(in_strips.astype("f4", copy=False), first.strips))
    hot_pixels = pattern = None
    darks = [alike[0].dark for alike in images if alike[0].dark]
    if len(darks) == len(images):
        hot_pixels = np.concatenate(hot, axis=1), np.concatenate([dark.hot for dark in darks])
        pattern = np.concatenate([dark.pattern for dark in darks], axis=1), darks[0].n_frames
    length = images[0][0].length
    figures = science_figures(
        _pieces(raw, length), _pieces(calibrated, length), hot_pixels, pattern
    )
    for sample, found, *light in zip(samples, figures, *stars, strict=True):
        sample.light = b"".join(of_image.bins.tobytes() for of_image in light)
        sample.figures, sample.of_stars = found, _of_light(light)
        sample.images = []


def _of_light(light: Sequence[Light]) -> dict[str, float]:
    return {
        "stars": sum(of_image.part for of_image in light) / len(light),
        "trail": sum(of_image.length for of_image in light) / len(light),
    }


def _joined(frames: Sequence[Sequence[NDArray[Any]]]) -> list[NDArray[Any]]:
    """Return what the bands of an image had, of all frames together: shape ``(frame, n)``."""
    return [np.array(alike) for alike in zip(*frames, strict=True)]


def _pieces(images: Sequence[NDArray[Any]], length: int) -> NDArray[Any]:
    """Return samples as pieces of rows; all images of a frame have pieces of one length."""
    parts = [image.reshape(len(image), length, -1).swapaxes(0, 1) for image in images]
    pieces = np.concatenate(parts, axis=2)
    return pieces if pieces.dtype.kind in "iu" else known_values(pieces)
