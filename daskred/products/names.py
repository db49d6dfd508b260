"""What products are called, and where they lie below the folder of products."""

from __future__ import annotations

import os
from pathlib import Path

from daskred.fits.pack import SUFFIXES, Packing
from daskred.model.errors import RequestError
from daskred.model.paths import absolute
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


def folder_of_products(out: str | Path) -> Path:
    """Return the folder of products; make it where it is missing.

    Raises
    ------
    RequestError
        When it cannot be made or written.
    """
    out = absolute(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise RequestError(f"-o {out}: is, or lies in, a file; name a folder") from error
    except OSError as error:
        raise RequestError(f"-o {out}: cannot be made: {error.strerror}") from error
    for folder in (out, out / MASTERS_FOLDER):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            raise RequestError(f"-o {folder}: no permission to write there; name another folder")
    return out
