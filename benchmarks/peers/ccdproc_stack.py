"""The median of a folder of frames with ccdproc, in so many bytes: SCRIPT FOLDER OUT BYTES."""

from __future__ import annotations

import sys
from pathlib import Path

import ccdproc

folder, out, limit = sys.argv[1:]
master = ccdproc.combine(
    sorted(map(str, Path(folder).glob("*.fits"))),
    method="median",
    unit="adu",
    dtype="float32",
    mem_limit=float(limit),
)
master.uncertainty = None
master.write(out, overwrite=True)
