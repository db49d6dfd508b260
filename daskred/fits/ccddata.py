"""Frames as astropy, ccdproc and photutils take them: `astropy.nddata.CCDData`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from daskred.fits.hdus import read_hdus
from daskred.fits.header import is_structural
from daskred.fits.pack import printable
from daskred.fits.pixels import read_image
from daskred.model.frame import Image


def ccddata_of(path: str, image: Image) -> Any:
    """Read an image with its header, its unit and its coordinates.

    Parameters
    ----------
    path, image
        The file, and where in it the image lies.

    Returns
    -------
    astropy.nddata.CCDData
        Physical pixels of the type that the file holds; masked where there is no value; in the
        unit of ``BUNIT``, also where astropy does not know it; ADU where it tells none.

    Raises
    ------
    FrameError
        When it cannot be read.
    """
    from astropy.nddata import CCDData

    hdus = read_hdus(path)
    header = printable(hdus[0].header.without(is_structural))
    if image.hdu:
        header.update(printable(hdus[image.hdu].header.without(is_structural)))
    pixels = read_image(path, image)
    missing = ~np.isfinite(pixels) if pixels.dtype.kind == "f" else None
    return CCDData(
        pixels,
        unit=_unit_of(header),
        mask=missing if missing is not None and missing.any() else None,
        header=header,
        wcs=_coordinates_of(header),
    )


def _unit_of(header: Any) -> Any:
    """Return the unit that a header tells, as it is written; else as many write it, in capitals."""
    from astropy import units

    told = str(header.get("BUNIT") or "adu").strip()
    unit: Any = units.Unit(told, parse_strict="silent")
    lower = units.Unit(told.lower(), parse_strict="silent")
    if isinstance(unit, units.UnrecognizedUnit) and not isinstance(lower, units.UnrecognizedUnit):
        return lower
    return unit


def _coordinates_of(header: Any) -> Any:
    """Return the coordinates of an image's pixels; None where a header tells none."""
    from astropy.wcs import WCS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of cards that are old, or wrong
        try:
            wcs: Any = WCS(header)
            wcs = wcs.celestial if wcs.naxis > 2 and wcs.has_celestial else wcs  # of a cube
        except Exception:  # what is wrong with coordinates takes many forms
            return None
    return wcs if wcs.naxis == 2 and any(wcs.wcs.ctype) else None
