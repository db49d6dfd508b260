"""The same steps with ccdproc in float32, without its map of uncertainties."""

from __future__ import annotations

import sys
from pathlib import Path

import ccdproc
import numpy as np
from astropy import units
from astropy.nddata import CCDData

night, out = map(Path, sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)
options = {
    "method": "median",
    "dtype": "float32",
    "mem_limit": 16e9,
    "combine_uncertainty_function": lambda data, axis: np.zeros(data.shape[1:], "f4"),
}


def read(path):
    frame = CCDData.read(path, unit="adu")
    frame.data = frame.data.astype("f4")
    return frame


def subtract(frame, dark, seconds):
    time = seconds * units.s
    return ccdproc.subtract_dark(frame, dark, dark_exposure=time, data_exposure=time)


darks = {}
for seconds in (10, 3):
    frames = [read(path) for path in sorted(night.glob(f"dark/dark_{seconds}s-*.fits"))]
    darks[seconds] = ccdproc.combine(frames, **options)
    darks[seconds].uncertainty = None
    darks[seconds].write(out / f"MasterDark_{seconds}s.fits", overwrite=True)
flats = [subtract(read(path), darks[3], 3) for path in sorted(night.glob("flat/*.fits"))]
flat = ccdproc.combine(flats, scale=lambda data: np.float32(1 / np.median(data)), **options)
flat.uncertainty = None
del flats, frames
flat.write(out / "MasterFlat.fits", overwrite=True)
level = np.float32(np.median(flat.data))
for path in sorted(night.glob("ktwo220274129/*.fits")):
    frame = ccdproc.flat_correct(subtract(read(path), darks[10], 10), flat, norm_value=level)
    frame.write(out / f"{path.stem}c.fits", overwrite=True)
