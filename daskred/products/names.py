"""What products are called, and where they lie below the folder of products."""

from __future__ import annotations

from pathlib import Path

from daskred.fits.pack import SUFFIXES, Packing
from daskred.model.plan import MASTERS_FOLDER

# Files beside the products, which other commands write.
DARK_MODEL = "DarkModel.fits"
MASK_FILE = "BadPixels.fits"
# The folder of their masters: those of a run, which may have more, stay as they are.
MEASURED_FOLDER = "measured"


def master_path(out: Path, name: str) -> Path:
    """Return a master's file."""
    return out / MASTERS_FOLDER / f"{name}.fits"


def packed_name(product: str, packing: Packing) -> str:
    """Return the file of a calibrated frame, of its name in the plan.

    Examples
    --------
    >>> packed_name("a-1c.fits", "rice")
    'a-1c.fits.fz'
    """
    return product + SUFFIXES[packing]
