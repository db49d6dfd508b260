"""The same steps in float32 with bottleneck's median; flats scaled by their median."""

from __future__ import annotations

import sys
from pathlib import Path

import bottleneck as bn
import numpy as np
from astropy.io import fits

night, out = map(Path, sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)


def stacked(pattern):
    names = sorted(night.glob(pattern))
    stack = np.empty((len(names), *fits.getdata(names[0]).shape), "f4")
    for frame, name in zip(stack, names, strict=True):
        frame[...] = fits.getdata(name)
    return stack


dark_10s = bn.median(stacked("dark/dark_10s-*.fits"), axis=0)
dark_3s = bn.median(stacked("dark/dark_3s-*.fits"), axis=0)
flats = stacked("flat/*.fits")
for frame in flats:
    frame -= dark_3s
    frame /= bn.median(frame)
flat = bn.median(flats, axis=0)
flat /= bn.median(flat)
del flats
for name, pixels in (
    ("MasterDark_10s", dark_10s),
    ("MasterDark_3s", dark_3s),
    ("MasterFlat", flat),
):
    fits.writeto(out / f"{name}.fits", pixels, overwrite=True)
for name in sorted(night.glob("ktwo220274129/*.fits")):
    with fits.open(name) as hdus:
        pixels = (hdus[0].data - dark_10s) / flat
        fits.writeto(out / f"{name.stem}c.fits", pixels, hdus[0].header, overwrite=True)
