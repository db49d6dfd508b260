"""A night like the lab's: simulated, reduced, compared with the truth, and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from daskred.arrays.masterfiles import read_images
from daskred.engine.progress import Progress
from daskred.model.errors import RequestError
from daskred.night.open import open_night
from daskred.report.pictures import picture, save_picture, whole
from daskred.run.reduce import reduce_night
from daskred.run.summary import Summary
from daskred.simulation import (
    GAIN_E_PER_ADU,
    READ_NOISE_E,
    SCIENCE_EXPTIME_S,
    TRUTH_FILE,
    Truth,
    simulate,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURE = "demo.png"


@dataclass(frozen=True)
class Accuracy:
    """How close a reduced night comes to its truth: scatter of the error over all pixels.

    Parameters
    ----------
    dark_adu
        Of the master dark, ADU.
    flat
        Of the master flat, relative.
    science
        Of the first calibrated frame, in units of its expected noise; 1 is what photons allow.
    """

    dark_adu: float
    flat: float
    science: float


def _spread(values: NDArray[np.floating]) -> float:
    """Return the standard deviation as the central 68 % tell it: cosmic rays do not count."""
    low, high = np.nanpercentile(values, [15.865, 84.135])
    return float(high - low) / 2


def accuracy(truth: Truth, out: Path, product: str) -> Accuracy:
    """Compare products with what the frames were made of."""
    dark = read_images(str(out / "masters" / "MasterDark_10s.fits"))[0].astype("f8")
    flat = read_images(str(out / "masters" / "MasterFlat_BG40.fits"))[0].astype("f8")
    science = read_images(str(out / product))[0].astype("f8")
    t = SCIENCE_EXPTIME_S
    flat_error = flat / truth.flat
    scale = np.median(flat_error)
    # A master flat has its most typical pixel at 1, the truth its average; science follows.
    expected = truth.scene * t / scale
    variance = (truth.scene * truth.flat + truth.dark_rate) * t / GAIN_E_PER_ADU
    noise = np.sqrt(variance + (READ_NOISE_E / GAIN_E_PER_ADU) ** 2) / (truth.flat * scale)
    return Accuracy(
        dark_adu=_spread(dark - truth.bias - truth.dark_rate * t),
        flat=_spread(flat_error / scale - 1),
        science=_spread((science - expected) / noise),
    )


def _draw(night: Path, summary: Summary, target: Path) -> None:
    """Draw a raw frame, the masters, and the frame calibrated, side by side."""
    first = summary.science[0]
    panels = [whole("raw", read_images(str(night / first.source))[0])]
    for receipt in summary.masters:
        title = f"{receipt.source} of {receipt.n_inputs}"
        panels.append(whole(title, read_images(str(summary.out / receipt.product))[0]))
    panels.append(whole("calibrated", read_images(str(summary.out / first.product))[0]))
    save_picture(picture(panels, columns=len(panels)), target)


def run_demo(folder: Path, progress: Progress) -> tuple[Summary, Accuracy]:
    """Simulate a night, reduce it, compare and draw it, all below one folder.

    Raises
    ------
    RequestError
        When the folder holds something else.
    """
    night = folder / "night"
    if not (night / TRUTH_FILE).exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise RequestError(f"{folder}: holds something else already; name a new folder")
        simulate(night, progress=progress)
    truth = Truth.load(night)
    summary = reduce_night(open_night(night), folder / "reduced", progress=progress)
    _draw(night, summary, folder / PICTURE)
    return summary, accuracy(truth, summary.out, summary.science[0].product)
