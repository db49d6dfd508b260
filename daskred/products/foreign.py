"""Masters of other programs, given by hand: whether their headers tell that they serve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from daskred.cameras.rules import Camera
from daskred.fits.hdus import Hdu
from daskred.model.errors import FrameError
from daskred.night.describe import telling_headers
from daskred.night.kinds import kind_of
from daskred.night.processed import processed_sign
from daskred.night.signs import signs_of

# Of how many frames, as IRAF, ccdproc, Siril and MaxIm DL tell it.
_COUNTS = ("NCOMBINE", "STACKCNT", "NSTACK", "SNAPSHOT")
# What says that a frame was worked on, and not that a bias or a dark was subtracted.
_WORKED_ON = ("CCDPROC", "PROCTYPE", "PROCSTAT", "PRODTYPE", "ESO PRO CATG", "the ")


def n_combined(hdus: Sequence[Hdu]) -> int:
    """Return of how many frames a master was made; 0 where nobody knows."""
    numbers = (header.get(card) for header in telling_headers(hdus) for card in _COUNTS)
    return next((n for n in numbers if isinstance(n, int) and n > 0), 0)


def check_foreign(path: Path, kind: str, hdus: Sequence[Hdu], camera: Camera) -> None:
    """Raise FrameError where a file is no master of a kind that daskred can take.

    A raw frame belongs into the night; of a master dark nothing may have been subtracted, since
    science frames still have their bias.
    """
    headers, name = telling_headers(hdus), str(path)
    processed = processed_sign(path.name, headers, camera)
    is_whole = not any(str(header.get("BITPIX")).startswith("-") for header in headers)
    if processed is None and is_whole:
        raise FrameError(
            name,
            "nothing tells that it is a master; a frame lies among those of the night, where"
            f" --kind {kind}='{path.name}' tells what it is",
        )
    if processed and processed[0] == "product":
        raise FrameError(name, "is a frame that daskred calibrated, and no master")
    told, reason = kind_of(path.name, signs_of(path.name, headers, None, camera))
    if told not in (kind, "unknown"):
        raise FrameError(name, f"is a {told} frame ({reason})")
    meaning, sign = processed or ("master", "")
    if kind != "flat" and meaning == "calibrated" and not sign.startswith(_WORKED_ON):
        raise FrameError(
            name, f"something was subtracted from it ({sign}); a {kind} with its bias is wanted"
        )
