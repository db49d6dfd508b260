"""Whether a master of the sky shows the sky, or stars that its frames have in common."""

from __future__ import annotations

import numpy as np

from daskred.kernels.robust import any_floats
from daskred.kernels.stars import light_of_stars, strips_of
from daskred.model.errors import FrameError, NoSkyError
from daskred.model.plan import Master
from daskred.run.combined import Combined

# Fringes are as often dark as bright; stars are bright. What part of the pixels they may have.
_MUCH_MORE, _FEW = 3.0, 2e-4
_TEXT = "shows the same stars as the others, from which the telescope has not moved away"


@any_floats
def check_sky(master: Master, combined: Combined) -> None:
    """Raise NoSkyError, naming all frames of a master, where it shows their stars."""
    bright = dark = 0.0
    for number, raster in enumerate(combined.rasters):
        strips = strips_of(raster.shape, len(combined.rasters))
        pixels = np.empty(strips.shape, "f4")
        row = 0
        for band in combined.divided(number):
            strips.copy(band, row, pixels)
            row += len(band)
        for light in light_of_stars(np.stack([pixels]), strips):
            bright += light.part
        for light in light_of_stars(np.stack([-pixels]), strips):
            dark += light.part
    if bright > _MUCH_MORE * dark + _FEW * len(combined.rasters):
        raise NoSkyError(tuple(FrameError(m.frame.path, _TEXT) for m in master.inputs))
