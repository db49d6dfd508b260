"""Packed frames are unpacked once, into files for a while, since bands of them are read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from daskred.arrays.frames import frame_tasks
from daskred.engine.executor import Executor
from daskred.engine.progress import Progress
from daskred.fits.parts import check_guard, part_in, remove
from daskred.fits.unpack import is_packed, unpack
from daskred.model.errors import FrameError, FramesError
from daskred.model.frame import Frame


def _unpack_frames(
    folder: Path, guard: Path, items: Sequence[tuple[int, Frame]]
) -> list[Frame | FrameError]:
    unpacked: list[Frame | FrameError] = []
    for _, frame in items:
        target = part_in(folder)
        try:
            check_guard(guard)
            unpacked.append(unpack(frame, target))
            check_guard(guard)
        except BaseException as error:
            remove(target)
            if not isinstance(error, FrameError):
                raise
            unpacked.append(error)
    return unpacked


@contextlib.contextmanager
def unpacked(
    frames: Sequence[Frame], folder: Path, guard: Path, executor: Executor, progress: Progress
) -> Iterator[list[Frame]]:
    """Give frames that can be read band by band, in the same order.

    Parameters
    ----------
    frames
        Packed or not; those that are not stay where they are.
    folder
        Where the others are put; they take as much of the disk as they are large, until the
        context ends.
    guard
        A file that is there as long as the run is.
    executor, progress
        Who does it, and who is told.
    """
    packed = [number for number, frame in enumerate(frames) if is_packed(frame)]
    plain = list(frames)
    if not packed:
        yield plain
        return
    folder.mkdir(parents=True, exist_ok=True)
    targets: list[Path] = []
    progress.begin("Unpacking", len(packed), "frames")
    try:
        items = [(number, frames[number]) for number in packed]
        work = partial(_unpack_frames, folder, guard)
        paths = [frames[number].path for number in packed]
        errors = []
        for task, (found,) in executor.run(frame_tasks("plain", items, paths, 1, work)):
            if isinstance(found, FrameError):
                errors.append(found)
            else:
                plain[task.items[0][0]] = found
                targets.append(Path(found.path))
            progress.advance(1)
        progress.end()
        if errors:
            raise FramesError(tuple(errors))
        originals = {plain[n].path: frames[n].path for n in packed}
        try:
            yield plain
        except (FrameError, FramesError) as error:
            told = error.errors if isinstance(error, FramesError) else (error,)
            raise FramesError(
                tuple(FrameError(originals.get(e.path, e.path), e.reason) for e in told)
            ) from error
    finally:
        for target in targets:
            target.unlink(missing_ok=True)
