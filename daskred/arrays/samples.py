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
        self.raw: list[NDArray[Any]] = []
        self.calibrated: list[NDArray[Any]] = []
        self.hot_pixels: list[NDArray[Any]] = []
        self.darks: list[SampledDark] = []
        self.strips: list[NDArray[np.float32]] = []
        self._found: list[NDArray[Any]] = []  # of the image whose bands come

    def add(
        self,
        number: int,
        first_row: int,
        raw: NDArray[Any],
        calibrated: NDArray[Any],
        masters: LoadedMasters,
    ) -> None:
        """Take from a band of an image, before and after; bands come in their order."""
        shape, dark = self.shapes[number], masters.sampled
        picked = dark.picked if dark else picked_sample(shape)
        self._found.append(picked.of(raw, first_row))
        self.calibrated.append(picked_sample(shape).of(calibrated, first_row))
        strips = strips_of(shape, len(self.shapes))
        if not first_row:
            self.strips.append(np.empty(strips.shape, "f4"))
        strips.copy(calibrated, first_row, self.strips[number])
        if first_row + len(raw) == shape[0]:
            sample, *hot = picked.apart(self._found)
            self._found = []
            self.raw.append(sample)
            if dark:
                self.hot_pixels.append(above(*hot))
                self.darks.append(dark)

    @property
    def is_whole(self) -> bool:
        """Whether all pixels have come, and nobody has asked yet."""
        return len(self.raw) == len(self.shapes) and not self.figures

    @property
    def likeness(self) -> tuple[Any, ...]:
        """What frames share that can be asked together: images, types, and darks."""
        return self.shapes, self.raw[0].dtype, tuple(map(id, self.darks))


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
    first = samples[0]
    hot_pixels = pattern = None
    if first.darks:
        hot = np.array([np.concatenate(sample.hot_pixels) for sample in samples])
        hot_pixels = hot, np.concatenate([dark.hot for dark in first.darks])
        pattern = np.concatenate([dark.pattern for dark in first.darks]), first.darks[0].n_frames
    raw = _joined([sample.raw for sample in samples], first.shapes[0])
    calibrated = _joined([sample.calibrated for sample in samples], first.shapes[0])
    stars = [
        light_of_stars(
            np.array([sample.strips[number] for sample in samples]),
            strips_of(shape, len(first.shapes)),
        )
        for number, shape in enumerate(first.shapes)
    ]
    figures = science_figures(raw, calibrated, hot_pixels, pattern)
    for sample, found, *light in zip(samples, figures, *stars, strict=True):
        sample.light = b"".join(of_image.bins.tobytes() for of_image in light)
        sample.figures, sample.of_stars = found, _of_light(light)
        sample.strips = []


def _of_light(light: Sequence[Light]) -> dict[str, float]:
    return {
        "stars": float(np.mean([of_image.part for of_image in light])),
        "trail": float(np.mean([of_image.length for of_image in light])),
    }


def _joined(frames: Sequence[Sequence[NDArray[Any]]], shape: tuple[int, int]) -> NDArray[Any]:
    """Return samples as pieces of rows; all images of a frame have pieces of one length."""
    pixels = np.array([np.concatenate(parts) for parts in frames])
    pieces = pixels.reshape(len(frames), -1, places_of(shape).length)
    return pieces if pieces.dtype.kind in "iu" else known_values(pieces)
