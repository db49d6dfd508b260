"""The lab's notebook as a script: its steps, its types, its order."""

from __future__ import annotations

import sys
from glob import glob
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy.stats import mode as spmode

night, out = map(Path, sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)


def mode(a):
    return spmode(a.flatten())[0]


def master_dark(pattern, target):
    filenames = sorted(glob(str(night / pattern)))
    datastack = np.zeros((len(filenames), *fits.getdata(filenames[0]).shape))
    for i, filename in enumerate(filenames):
        datastack[i] = fits.getdata(filename)
    dark = np.median(datastack, axis=0)
    fits.writeto(out / target, dark, fits.getheader(filenames[0]), overwrite=True)
    return dark


masterdark_10s = master_dark("dark/dark_10s-*.fits", "MasterDark_10s.fits")
masterdark_3s = master_dark("dark/dark_3s-*.fits", "MasterDark_3s.fits")
filenames = sorted(glob(str(night / "flat/*.fits")))
datastack = np.zeros((len(filenames), *masterdark_3s.shape))
for i, filename in enumerate(filenames):
    x = fits.getdata(filename) - masterdark_3s
    x /= mode(x)
    datastack[i] = x
masterflat = np.median(datastack, axis=0)
masterflat /= mode(masterflat)
fits.writeto(out / "MasterFlat.fits", masterflat, fits.getheader(filenames[0]), overwrite=True)
del datastack
for filename in sorted(glob(str(night / "ktwo220274129/*.fits"))):
    x = (fits.getdata(filename) - masterdark_10s) / masterflat
    header = fits.getheader(filename)
    fits.writeto(out / (Path(filename).stem + "c.fits"), x, header, overwrite=True)
