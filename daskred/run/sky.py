"""Whether a master of the sky shows the sky, or stars that its frames have in common."""

from __future__ import annotations

from daskred.arrays.sky import SAME_STARS, shows_stars
from daskred.model.errors import FrameError, NoSkyError
from daskred.model.plan import Master
from daskred.run.combined import Combined


def check_sky(master: Master, combined: Combined) -> None:
    """Raise NoSkyError, naming all frames of a master, where it shows their stars."""
    bands = (band for number in range(len(combined.rasters)) for band in combined.divided(number))
    if shows_stars(bands):
        raise NoSkyError(tuple(FrameError(m.frame.path, SAME_STARS) for m in master.inputs))
