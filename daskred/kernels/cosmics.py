"""Cosmic rays, by L.A.Cosmic (van Dokkum 2001, PASP 113, 1420) as astroscrappy has it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# A narrower image has no place for the windows of the search, which does not look for its edges.
_LEAST = 7


def find_cosmics(
    value: NDArray[Any],
    masked: NDArray[np.bool_],
    gain_e_per_adu: float,
    read_noise_e: float,
    sigma: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Return where cosmic rays have hit, and the pixels with those replaced by their neighbours'.

    Parameters
    ----------
    value
        Calibrated pixels, shape ``(y, x)``.
    masked
        Pixels that are not looked at.
    gain_e_per_adu
        1 where pixels are electrons already.
    read_noise_e
        Electrons.
    sigma
        One standard deviation of each pixel, in its unit; None where read noise and the light of
        the pixel are all that is known.
    """
    from astroscrappy import detect_cosmics

    if min(value.shape) < _LEAST:
        return np.zeros(value.shape, bool), value
    no_value = ~np.isfinite(value)
    electrons = np.where(no_value, 0.0, value * gain_e_per_adu).astype("f4")
    masked = masked | no_value
    variance = None
    if sigma is not None:
        variance = np.square(sigma * np.float32(gain_e_per_adu))
        unknown = ~np.isfinite(variance)
        variance[unknown] = np.median(variance[~unknown]) if not unknown.all() else 1.0
        masked |= unknown
    hit, cleaned = detect_cosmics(
        electrons,
        inmask=masked,
        invar=variance,
        gain=1.0,
        readnoise=read_noise_e,
        satlevel=np.inf,
    )
    return hit.astype(bool), cleaned / gain_e_per_adu
