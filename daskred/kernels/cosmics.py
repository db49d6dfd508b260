"""Cosmic rays, by L.A.Cosmic (van Dokkum 2001, PASP 113, 1420) as astroscrappy has it.

A ray is told from a star by its contrast: how much more of its light is in single pixels than a
smooth image has. Stars that are narrow have much contrast themselves, so that more is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.kernels.robust import robust_sigma
from daskred.kernels.widths import width_of_stars

# A narrower image has no place for the windows of the search, which does not look for its edges.
_LEAST = 7
_USUAL_CONTRAST = 5.0
# Stars as wide as this, pixels, have less contrast than that; it grows with the power below, so
# that simulated stars of 1.7 to 2.5 pixels were left alone.
_WIDE, _POWER = 2.5, 3.5
_LEAST_WIDTH = 1.6  # narrower stars look like rays


@dataclass(frozen=True)
class Search:
    """How cosmic rays are looked for.

    Parameters
    ----------
    gain_e_per_adu
        1 where pixels are electrons already.
    read_noise_e
        Electrons.
    contrast
        What a ray has at least (``objlim`` of L.A.Cosmic).
    clip_sigma
        By how many deviations it stands out at least (``sigclip``).
    psf
        The shape of stars that a ray is compared with (``psfmodel``): ``none`` for a median filter.
    width
        Of stars, pixels; NaN where it is not known.
    """

    gain_e_per_adu: float
    read_noise_e: float
    contrast: float = _USUAL_CONTRAST
    clip_sigma: float = 4.5
    psf: str = "none"
    width: float = math.nan


def star_width(value: NDArray[Any], masked: NDArray[np.bool_], sigma: NDArray[Any] | None) -> float:
    """Return how wide the stars of an image are, pixels; NaN where there are too few.

    Parameters
    ----------
    value, masked, sigma
        As of `find_cosmics`.
    """
    known = ~masked & np.isfinite(value)
    if not known.any():
        return math.nan
    middle, noise = robust_sigma(value[known][:: known.sum() // 2**16 | 1])
    return width_of_stars(np.where(known, value, np.nan), middle, noise if sigma is None else sigma)


def contrast_of(width: float) -> float | None:
    """Return the contrast that a ray has among stars of a width; None where none tells it.

    Examples
    --------
    >>> contrast_of(3.0), round(contrast_of(1.8) or 0.0, 1), contrast_of(1.2)
    (5.0, 15.8, None)
    """
    if width < _LEAST_WIDTH:
        return None
    return _USUAL_CONTRAST * max(_WIDE / width, 1.0) ** _POWER if width > 0 else _USUAL_CONTRAST


def find_cosmics(
    value: NDArray[Any],
    masked: NDArray[np.bool_],
    search: Search,
    sigma: NDArray[np.float32] | None = None,
) -> NDArray[np.bool_]:
    """Return where cosmic rays have hit.

    Parameters
    ----------
    value
        Calibrated pixels, shape ``(y, x)``.
    masked
        Pixels that are not looked at.
    search
        How they are looked for.
    sigma
        One standard deviation of each pixel, in its unit; None where read noise and the light of
        the pixel are all that is known.
    """
    from astroscrappy import detect_cosmics

    if min(value.shape) < _LEAST:
        return np.zeros(value.shape, bool)
    gain = search.gain_e_per_adu
    no_value = ~np.isfinite(value)
    electrons = np.where(no_value, 0.0, value * gain).astype("f4")
    masked = masked | no_value
    variance = None
    if sigma is not None:
        variance = np.square(sigma * np.float32(gain))
        unknown = ~np.isfinite(variance)
        variance[unknown] = np.median(variance[~unknown]) if not unknown.all() else 1.0
        masked |= unknown
    shape: dict[str, Any] = {}
    if search.psf != "none":
        width = search.width if search.width > 0 else _WIDE
        shape = {"fsmode": "convolve", "psfmodel": search.psf, "psffwhm": width}
    hit, _ = detect_cosmics(
        electrons,
        inmask=masked,
        invar=variance,
        gain=1.0,
        readnoise=search.read_noise_e,
        satlevel=np.inf,
        objlim=search.contrast,
        sigclip=search.clip_sigma,
        **shape,
    )
    return np.asarray(hit, bool)
