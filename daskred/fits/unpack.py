"""Frames that are packed, as plain files: bands of rows can be read of those alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from daskred.fits.hdus import frame_errors
from daskred.fits.packing import packing_of, unpacked
from daskred.fits.pixels import read_tiles
from daskred.fits.storage import open_file
from daskred.model.frame import Frame


def is_packed(frame: Frame) -> bool:
    """Whether reading a few rows of a frame means to read it whole."""
    return any(image.compressed or image.packing for image in frame.images)


def unpack(frame: Frame, target: Path) -> Frame:
    """Unpack a frame's pixels into a file, as they are stored; return the frame that lies there.

    Raises
    ------
    FrameError
        When the frame cannot be unpacked.
    """
    if frame.images[0].packing and not any(image.compressed for image in frame.images):
        with target.open("xb") as plain:
            for piece in _pieces(frame.path):
                plain.write(piece)
        images = [replace(image, packing="") for image in frame.images]
        return replace(frame, path=str(target), images=tuple(images))
    images = []
    with target.open("xb") as plain:
        for image in frame.images:
            images.append(replace(image, compressed=False, packing="", offset=plain.tell()))
            stored = read_tiles(frame.path, image, 0, image.shape[0])
            plain.write(stored.astype(image.disk_dtype).tobytes())
    return replace(frame, path=str(target), images=tuple(images))


def _pieces(path: str) -> Iterator[bytes]:
    """Yield a packed file's content; only what fails in reading is the frame's fault."""
    with contextlib.ExitStack() as stack:
        with frame_errors(path):
            file = stack.enter_context(open_file(path))
            packed = stack.enter_context(unpacked(file, packing_of(file)))
        while True:
            with frame_errors(path):
                piece = packed.read(2**20)
            if not piece:
                return
            yield piece
