"""Frames that are another frame again, told by all their pixels."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from daskred.cameras.rules import Camera
from daskred.fits.header import Value
from daskred.fits.pixels import read_rows
from daskred.kernels.robust import any_floats
from daskred.model.errors import FrameError
from daskred.model.frame import Frame
from daskred.model.plan import LeftOut
from daskred.night.describe import telling_cards


@any_floats
def _pixels_digest(frame: Frame) -> str:
    """Read all pixels of a frame, and return a digest of their values."""
    digest = hashlib.sha256()
    for image in frame.images:
        step = max(1, 2**20 // image.shape[1])
        for start in range(0, image.shape[0], step):
            stop = min(start + step, image.shape[0])
            pixels = np.empty((stop - start, image.shape[1]), image.dtype)
            read_rows(frame.path, image, start, stop, pixels)
            digest.update(pixels.astype("f8").tobytes())
    return digest.hexdigest()


def _cards_of(frame: Frame, camera: Camera) -> dict[str, Value]:
    """Return what a frame's cards say of the exposure, without those of the file."""
    unsaid = {*camera.kind_cards["name"], "DATE", "EXTNAME", "EXTVER", "CONTINUE"}
    return {card: value for card, value in telling_cards(frame.path).items() if card not in unsaid}


def _same_exposure(first: Mapping[str, Value], second: Mapping[str, Value]) -> bool:
    """Whether no card that both have speaks against one exposure."""
    return all(first[keyword] == second[keyword] for keyword in first.keys() & second.keys())


def _series_of(frame: Frame) -> str:
    """Return a frame's name without the numbers that count: alike for frames of one series."""
    return re.sub(r"\d+", "#", frame.name)


def duplicates(frames: Sequence[tuple[Frame, bytes]], camera: Camera) -> Iterator[LeftOut]:
    """Yield the frames that are another one again: the same pixels, and no card against it.

    The frame whose kind is known is kept, whose name belongs to the longest series of the night, in
    the folder of the most frames, with the most cards: not a stray copy. Only frames whose first
    pixels are the same are read whole.
    """
    series = Counter(_series_of(frame) for frame, _ in frames)
    folders = Counter(PurePosixPath(frame.name).parent for frame, _ in frames)

    def strayness(frame: Frame) -> tuple[bool, int, int, int, int, int, str]:
        folder = PurePosixPath(frame.name).parent
        return (
            frame.kind == "unknown",
            -series[_series_of(frame)],
            -folders[folder],
            len(folder.parts),
            -frame.n_cards,
            len(frame.name),
            frame.name,
        )

    alike: dict[tuple[object, bytes], list[Frame]] = {}
    for frame, sample in frames:
        shapes = tuple(image.shape for image in frame.images)
        alike.setdefault((shapes, sample), []).append(frame)
    for candidates in alike.values():
        if len(candidates) == 1:
            continue
        kept: dict[str, list[tuple[Frame, dict[str, Value]]]] = {}
        for frame in sorted(candidates, key=strayness):
            try:
                digest, cards = _pixels_digest(frame), _cards_of(frame, camera)
            except FrameError as error:
                yield LeftOut(frame.path, frame.name, error.reason, failed=True)
                continue
            earlier = kept.setdefault(digest, [])
            original = next((f for f, known in earlier if _same_exposure(cards, known)), None)
            if original is None:
                earlier.append((frame, cards))
            else:
                text = f"is a duplicate: the same exposure as {original.name}"
                yield LeftOut(frame.path, frame.name, text, failed=False)
