"""The steps of the lab's notebook, as it has them, on frames sorted by name."""

from __future__ import annotations

from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from scipy.stats import mode as scipy_mode


def mode(a: Any) -> Any:
    return scipy_mode(a.flatten())[0]


def masters(night: Path) -> dict[str, Any]:
    """Return the notebook's master darks and flat."""

    def dark(pattern: str) -> Any:
        names = sorted(glob(str(night / pattern)))  # noqa: PTH207
        stack = np.zeros((len(names), *fits.getdata(names[0]).shape))
        for i, name in enumerate(names):
            stack[i] = fits.getdata(name)
        return np.median(stack, axis=0)

    dark_10s, dark_3s = dark("dark/dark_10s-*.fits"), dark("dark/dark_3s-*.fits")
    names = sorted(glob(str(night / "flat/*.fits")))  # noqa: PTH207
    stack = np.zeros((len(names), *dark_3s.shape))
    for i, name in enumerate(names):
        x = fits.getdata(name) - dark_3s
        x /= mode(x)
        stack[i] = x
    flat = np.median(stack, axis=0)
    flat /= mode(flat)
    return {"MasterDark_10s": dark_10s, "MasterDark_3s": dark_3s, "MasterFlat_BG40": flat}


def science(night: Path, made: dict[str, Any]) -> dict[str, Any]:
    """Return the notebook's calibrated frames by the name of their product."""
    calibrated = {}
    for path in sorted((night / "ktwo220274129").glob("*.fits")):
        x = (fits.getdata(path) - made["MasterDark_10s"]) / made["MasterFlat_BG40"]
        calibrated[path.name[:-5] + "c.fits"] = x
    return calibrated
