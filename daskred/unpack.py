"""Frames that cannot be read band by band are unpacked or prepared once, into files for a while."""

from __future__ import annotations

import contextlib
import gzip
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from daskred.blocks import block_tasks
from daskred.errors import FrameError, FramesError
from daskred.execute import Executor
from daskred.fitsfile import is_gzipped, unpacking
from daskred.fitspixels import read_tiles
from daskred.fitswrite import TEMPORARY_MARK
from daskred.frames import Frame, Image
from daskred.progress import Progress
from daskred.storage import open_file


def is_packed(frame: Frame) -> bool:
    """Whether reading a few rows of a frame means to read it whole."""
    packed = is_gzipped(frame.path) or any(image.compressed for image in frame.images)
    return packed or frame.preparation is not None


@dataclass(frozen=True)
class Readable:
    """Frames that can be read band by band.

    Parameters
    ----------
    frames
        In the order in which they were given.
    prepared
        What is known of those that were prepared, by their number.
    """

    frames: list[Frame]
    prepared: dict[int, RawFacts]


@dataclass(frozen=True)
class RawFacts:
    """What only the raw pixels of a prepared frame tell.

    Parameters
    ----------
    sum
        Of the pixels; see `daskred.fitspixels.pixel_sum`.
    saturated
        What part of those that amplifiers read is saturated.
    """

    sum: int
    saturated: float


def spool(frame: Frame, target: Path, dtype: str) -> tuple[Frame, RawFacts]:
    """Prepare a frame into a file; return the frame that lies there, and what it tells no more.

    Saturated pixels become NaN there.

    Raises
    ------
    FrameError
        When the frame cannot be prepared.
    """
    from daskred.prepared import read_prepared  # few runs need it, and it takes a while

    ready = read_prepared(frame, frame.readout, dtype)
    images = []
    n_read = n_saturated = 0
    with target.open("xb") as plain:
        for (name, shape), pixels, saturated in zip(
            frame.layout, ready.images, ready.saturated, strict=True
        ):
            n_read += int(np.count_nonzero(np.isfinite(pixels)))
            n_saturated += int(np.count_nonzero(saturated))
            pixels[saturated] = np.nan
            bitpix = -8 * pixels.itemsize
            image = Image(name, 0, shape, bitpix, 1.0, 0.0, None, plain.tell(), compressed=False)
            plain.write(pixels.astype(image.disk_dtype).data)
            images.append(image)
    own = replace(frame, path=str(target), images=tuple(images), is_prepared=False)
    return own, RawFacts(ready.raw_sum, n_saturated / max(n_read, 1))


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


def _unpack_block(
    items: Sequence[tuple[int, Frame, Path]], dtype: str
) -> list[tuple[Frame, RawFacts | None] | FrameError]:
    unpacked: list[tuple[Frame, RawFacts | None] | FrameError] = []
    for _, frame, target in items:
        target.unlink(missing_ok=True)  # as a worker leaves it that dies
        try:
            if frame.preparation:
                unpacked.append(spool(frame, target, dtype))
            else:
                unpacked.append((unpack(frame, target), None))
        except FrameError as error:
            unpacked.append(error)
    return unpacked


@contextlib.contextmanager
def unpacked(
    frames: Sequence[Frame], folder: Path, executor: Executor, progress: Progress, dtype: str
) -> Iterator[Readable]:
    """Give frames that can be read band by band, in the same order.

    Parameters
    ----------
    frames
        Packed, to be prepared, or neither; those stay where they are.
    folder
        Where the others are put; they take as much of the disk as they are large, until the
        context ends.
    executor, progress
        Who does it, and who is told.
    dtype
        Of prepared pixels.
    """
    packed = [number for number, frame in enumerate(frames) if is_packed(frame)]
    plain = Readable(list(frames), {})
    if not packed:
        yield plain
        return
    folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / f"{TEMPORARY_MARK}{secrets.token_hex(8)}" for _ in packed]
    preparing = any(frame.preparation for frame in frames)
    progress.begin("Preparing" if preparing else "Unpacking", len(packed), "frames")
    try:
        items = [(n, frames[n], target) for n, target in zip(packed, targets, strict=True)]
        paths = [frames[number].path for number in packed]
        errors = []
        tasks = block_tasks(_unpack_block, items, paths, 1, dtype=dtype)
        for task, (found,) in executor.run(tasks):
            if isinstance(found, FrameError):
                errors.append(found)
            else:
                number = task.items[0][0]
                plain.frames[number], facts = found
                if facts:
                    plain.prepared[number] = facts
            progress.advance(1)
        progress.end()
        if errors:
            raise FramesError(tuple(errors))
        yield plain
    finally:
        for target in targets:
            target.unlink(missing_ok=True)
