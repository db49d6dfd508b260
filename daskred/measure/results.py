"""What was measured of a detector: numbers for each amplifier, as plain data and as a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daskred.fits.parts import write_whole
from daskred.kernels.transfer import TransferPoints
from daskred.model.errors import FrameError, RequestError
from daskred.model.plan import LeftOut
from daskred.options import Options
from daskred.products.provenance import check_own, check_own_text

RESULTS = "characterization.json"
# Frames are measured in double precision.
EXACT = Options(dtype="float64")


# Pixels whose dark rate lies so many robust deviations above the typical one are hot.
HOT_SIGMA = 8.0


@dataclass(frozen=True)
class AmplifierNumbers:
    """What was measured of one amplifier; None where the night does not tell.

    Parameters
    ----------
    name
        The amplifier.
    read_noise_adu, read_noise_e
        Noise of a pixel without signal, from pairs of bias frames (or of overscans, or of the
        shortest darks), without what rounding to whole numbers adds.
    read_noise_error_adu
        One standard deviation of it.
    row_noise_adu, row_noise_error_adu
        What the pixels of a row of one frame share beside it, as slow noise makes it.
    interference_adu, interference_period_pixels
        Amplitude and period of the strongest wave along rows of bias frames.
    bias_pixels_adu, bias_rows_adu, bias_columns_adu
        Structure of the bias, which all its frames have: standard deviations from pixel to pixel,
        from row to row and from column to column.
    bias_pixels_error_adu, bias_rows_error_adu, bias_columns_error_adu
        One standard deviation of each.
    gain_e_per_adu, gain_error
        From pairs of flats; see `daskred.kernels.transfer.Gain`.
    gain_model
        ``curve``, ``covariances`` or ``line``.
    bend_per_e
        By what part the variance lags behind for each electron of signal; not of lines.
    next_in_row_per_e, next_in_column_per_e, next_error_per_e
        What part of its variance a pixel shares with the next one, for each electron of signal, and
        one standard deviation of either.
    serial_cti, serial_cti_error, parallel_cti, parallel_cti_error
        What part of the charge is left behind in each transfer along rows, and along columns, from
        the overscans next to flats.
    highest_signal_adu, full_well_adu
        Of all flats; and where the variance falls behind the signal.
    dark_adu_per_s, dark_e_per_s
        Typical dark current.
    hot_fraction
        Part of the pixels whose dark current lies 8 robust deviations above the typical one.
    linearity
        Pairs of exposure time and the deviation of the flats' level from the line through zero that
        faint levels follow, parts.
    shutter_delay_s
        By how much longer exposures are than they say; where at least four times tell it.
    """

    name: str
    read_noise_adu: float | None = None
    read_noise_e: float | None = None
    read_noise_error_adu: float | None = None
    row_noise_adu: float | None = None
    row_noise_error_adu: float | None = None
    interference_adu: float | None = None
    interference_period_pixels: float | None = None
    bias_pixels_adu: float | None = None
    bias_pixels_error_adu: float | None = None
    bias_rows_adu: float | None = None
    bias_rows_error_adu: float | None = None
    bias_columns_adu: float | None = None
    bias_columns_error_adu: float | None = None
    gain_e_per_adu: float | None = None
    gain_error: float | None = None
    gain_model: str | None = None
    bend_per_e: float | None = None
    next_in_row_per_e: float | None = None
    next_in_column_per_e: float | None = None
    next_error_per_e: float | None = None
    serial_cti: float | None = None
    serial_cti_error: float | None = None
    parallel_cti: float | None = None
    parallel_cti_error: float | None = None
    highest_signal_adu: float | None = None
    full_well_adu: float | None = None
    dark_adu_per_s: float | None = None
    dark_e_per_s: float | None = None
    hot_fraction: float | None = None
    linearity: tuple[tuple[float, float], ...] = ()
    shutter_delay_s: float | None = None


@dataclass(frozen=True, eq=False)
class Characterization:
    """A detector's numbers, and what the pictures show.

    Parameters
    ----------
    out
        The folder of the results.
    amplifiers
        The numbers.
    points
        Of each amplifier its photon transfer curve.
    rates
        Dark rates of each image, ADU per second; empty where darks do not tell.
    missing
        What could not be measured, and why.
    failed
        Frames that could not be used.

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name + "/night", shape=(64, 64), n_bias=4, n_flats=6, n_darks=3)
    >>> found = daskred.characterize(folder.name + "/night", folder.name + "/out")
    >>> [amplifier.name for amplifier in found.amplifiers]
    ['image']
    >>> folder.cleanup()
    """

    out: Path
    amplifiers: tuple[AmplifierNumbers, ...]
    points: dict[str, list[TransferPoints]]
    rates: list[NDArray[np.float64]]
    missing: tuple[str, ...]
    failed: tuple[LeftOut, ...] = ()


def check_ours(path: Path) -> None:
    """Raise RequestError where somebody else's file has the name of a result."""
    if path.suffix == ".json":
        check_own_text(path, '"amplifiers"')
        return
    try:
        check_own(path)
    except FrameError as error:
        raise RequestError(str(error)) from error


def as_json(found: Characterization) -> str:
    """Return the numbers as JSON."""
    known = {
        "amplifiers": [asdict(amplifier) for amplifier in found.amplifiers],
        "missing": list(found.missing),
        "hot_sigma": HOT_SIGMA,
    }
    return json.dumps(known, indent=1, allow_nan=False)


def save(found: Characterization, sync: bool) -> None:
    """Write the numbers as JSON, whole or not at all."""
    write_whole(found.out / RESULTS, f"{as_json(found)}\n".encode(), sync)
