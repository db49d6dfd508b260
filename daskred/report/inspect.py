"""Frames in numbers, as a table of astropy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daskred.engine.progress import Progress, Silent
from daskred.measure.table import measured, row_of
from daskred.model.errors import RequestError
from daskred.model.frame import Frame
from daskred.night.open import Night, open_night

if TYPE_CHECKING:
    from astropy.table import Table


def inspect(
    frames: Night | Iterable[Frame] | str | Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Table:
    """Measure raw frames: level, noise, saturated and negative parts, stars, shifts.

    Parameters
    ----------
    frames
        Frames, the night that they are of, or its folder.
    workers
        How many are measured at once; None for one for each processor.
    progress
        Told how far it is.

    Returns
    -------
    astropy.table.Table
        A row for each frame; levels and noises in ADU, widths and shifts in pixels; masked where
        nothing is known. ``stands_out`` says in what a frame differs from others of its kind.

    Raises
    ------
    RequestError
        When there are no frames.

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name, shape=(32, 32), n_darks=2, n_flats=2, n_science=1)
    >>> table = inspect(folder.name)
    >>> [str(kind) for kind in table["kind"][table["level"] > 5000]]
    ['flat', 'flat']
    >>> folder.cleanup()
    """
    from astropy.table import MaskedColumn, Table

    night = open_night(frames) if isinstance(frames, str | Path) else frames
    chosen = list(night.raw if isinstance(night, Night) else night)
    if not all(isinstance(frame, Frame) for frame in chosen):
        raise RequestError("only frames are measured: open_night(...) gives those of folders")
    if not chosen:
        raise RequestError("no frames to measure")
    rows, _ = measured([row_of(frame) for frame in chosen], workers, progress or Silent())
    numbers = [row.numbers for row in rows]
    columns: dict[str, Any] = {}
    for name in numbers[0]:
        values = [row[name] for row in numbers]
        if name == "stands_out":
            values = ["; ".join(texts.values()) for texts in values]
        elif name == "columns":
            values = [" ".join(map(str, odd)) for odd in values]
        known = [value for value in values if value is not None]
        filling = known[0] if known else np.nan
        filled = [filling if value is None else value for value in values]
        columns[name] = MaskedColumn(filled, mask=[value is None for value in values])
    return Table(columns)
