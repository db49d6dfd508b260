"""The same steps as one writes them in twenty lines of dask."""

from __future__ import annotations

import sys
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from astropy.io import fits

night, out = map(Path, sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)


def stacked(pattern):
    names = sorted(night.glob(pattern))
    first = fits.getdata(names[0])
    lazy = [dask.delayed(fits.getdata)(name) for name in names]
    frames = [da.from_delayed(one, first.shape, first.dtype) for one in lazy]
    return da.stack(frames).astype("f4"), names


def median(stack):
    return da.median(stack.rechunk({0: -1, 1: "auto", 2: "auto"}), axis=0).compute()


dark_10s = median(stacked("dark/dark_10s-*.fits")[0])
dark_3s = median(stacked("dark/dark_3s-*.fits")[0])
flats = stacked("flat/*.fits")[0] - dark_3s
levels = flats.map_blocks(lambda one: np.median(one, keepdims=True), chunks=(1, 1, 1)).compute()
flat = median(flats / levels)
flat /= np.median(flat)
for name, pixels in (
    ("MasterDark_10s", dark_10s),
    ("MasterDark_3s", dark_3s),
    ("MasterFlat", flat),
):
    fits.writeto(out / f"{name}.fits", pixels, overwrite=True)
science, names = stacked("ktwo220274129/*.fits")


@dask.delayed
def write(pixels, name):
    header = fits.getheader(name)
    fits.writeto(out / f"{name.stem}c.fits", pixels[0], header, overwrite=True)


calibrated = ((science - dark_10s) / flat).to_delayed().ravel()
dask.compute([write(pixels, name) for pixels, name in zip(calibrated, names, strict=True)])
