"""Packed frames that are read band by band are unpacked once, into files that go when they did."""

from __future__ import annotations

import contextlib
import gzip
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from daskred.blocks import block_tasks
from daskred.errors import FrameError, FramesError
from daskred.execute import Executor
from daskred.fitsfile import is_gzipped, unpacking
from daskred.fitspixels import read_tiles
from daskred.fitswrite import TEMPORARY_MARK
from daskred.frames import Frame
from daskred.progress import Progress
from daskred.storage import open_file


def is_packed(frame: Frame) -> bool:
    """Whether reading a few rows of a frame means to unpack it."""
    return is_gzipped(frame.path) or any(image.compressed for image in frame.images)


def unpack(frame: Frame, target: Path) -> Frame:
    """Unpack a frame's pixels into a file, as they are stored; return the frame that lies there.

    Raises
    ------
    FrameError
        When the frame cannot be unpacked.
    """
    if is_gzipped(frame.path):
        with target.open("xb") as plain:
            for piece in _pieces(frame.path):
                plain.write(piece)
        return replace(frame, path=str(target))
    images = []
    with target.open("xb") as plain:
        for image in frame.images:
            images.append(replace(image, compressed=False, offset=plain.tell()))
            stored = read_tiles(frame.path, image, 0, image.shape[0])
            plain.write(stored.astype(image.disk_dtype).tobytes())
    return replace(frame, path=str(target), images=tuple(images))


def _pieces(path: str) -> Iterator[bytes]:
    """Yield a gzipped file's content; only what fails in reading is the frame's fault."""
    with contextlib.ExitStack() as stack:
        with unpacking(path):
            packed = stack.enter_context(gzip.open(stack.enter_context(open_file(path))))
        while True:
            with unpacking(path):
                piece = packed.read(2**20)
            if not piece:
                return
            yield piece


def _unpack_block(items: Sequence[tuple[int, Frame, Path]]) -> list[Frame | FrameError]:
    unpacked: list[Frame | FrameError] = []
    for _, frame, target in items:
        target.unlink(missing_ok=True)  # as a worker leaves it that dies
        try:
            unpacked.append(unpack(frame, target))
        except FrameError as error:
            unpacked.append(error)
    return unpacked


@contextlib.contextmanager
def unpacked(
    frames: Sequence[Frame], folder: Path, executor: Executor, progress: Progress
) -> Iterator[list[Frame]]:
    """Give frames that can be read band by band, in the same order.

    Parameters
    ----------
    frames
        Packed or not; those that are not stay where they are.
    folder
        Where the others are unpacked; they take as much of the disk as they are large, until the
        context ends.
    executor, progress
        Who unpacks, and who is told.
    """
    packed = [number for number, frame in enumerate(frames) if is_packed(frame)]
    plain = list(frames)
    if not packed:
        yield plain
        return
    folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / f"{TEMPORARY_MARK}{secrets.token_hex(8)}" for _ in packed]
    progress.begin("Unpacking", len(packed), "frames")
    try:
        items = [(n, frames[n], target) for n, target in zip(packed, targets, strict=True)]
        paths = [frames[number].path for number in packed]
        errors = []
        for task, (found,) in executor.run(block_tasks(_unpack_block, items, paths, 1)):
            if isinstance(found, FrameError):
                errors.append(found)
            else:
                plain[task.items[0][0]] = found
            progress.advance(1)
        progress.end()
        if errors:
            raise FramesError(tuple(errors))
        yield plain
    finally:
        for target in targets:
            target.unlink(missing_ok=True)
