"""A night with known truth: raw frames like a small CCD camera's, and what they were made of.

It is one file, longer than others, so that the whole of the truth is read in one place; `simulate`
has a parameter for the number of frames of each kind.

Everything random is drawn from generators that are seeded by the night's seed and the frame's
number, so the same request gives the same bytes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.engine.progress import Progress, Silent
from daskred.fits.header import Header, format_card
from daskred.fits.write import as_bands, write_atomically
from daskred.model.errors import RequestError
from daskred.model.paths import absolute

TARGET = "ktwo220274129"
TRUTH_FILE = "truth.npz"
CAMERA_FILE = "camera.toml"
SCIENCE_EXPTIME_S = 10
FLAT_EXPTIME_S = 3
GAIN_E_PER_ADU = 1.6
READ_NOISE_E = 8.0
# The star that pulsates, in the middle of the frame: ADU per second, and seconds.
STAR_FLUX, STAR_PERIOD_S = 12000.0, 200.0
_STAR_REACH, _STAR_SIGMA = 8, 1.6  # pixels
_FULL_SCALE = 2**16 - 1
Pixels = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Truth:
    """What a simulated night was made of.

    Parameters
    ----------
    bias
        Shape ``(y, x)``, ADU.
    dark_rate
        Shape ``(y, x)``, ADU per second.
    flat
        Response to light, shape ``(y, x)``; 1 for the average pixel.
    scene
        Sky and stars, shape ``(y, x)``, ADU per second before the response.

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name + "/night", shape=(16, 16), n_darks=3, n_flats=2)
    >>> Truth.load(folder.name + "/night").scene.shape
    (16, 16)
    >>> folder.cleanup()
    """

    bias: Pixels
    dark_rate: Pixels
    flat: Pixels
    scene: Pixels

    @classmethod
    def load(cls, night: str | Path) -> Truth:
        """Read the truth of a simulated night.

        Raises
        ------
        RequestError
            When it is not there, or damaged.
        """
        path = Path(night) / TRUTH_FILE
        try:
            with np.load(path) as stored:
                return cls(**stored)
        except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
            raise RequestError(f"{path}: is not the truth of a simulated night") from error

    def save(self, night: Path) -> None:
        """Write the truth beside the frames; it is no FITS file, so no frame either."""
        np.savez(night / TRUTH_FILE, **vars(self))


def _grid(shape: tuple[int, int]) -> tuple[Pixels, Pixels]:
    """Return y and x of each pixel, from -0.5 to 0.5 of the longer side."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype("f8")
    longer = max(shape)
    return (y - (shape[0] - 1) / 2) / longer, (x - (shape[1] - 1) / 2) / longer


def _flat(shape: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Draw vignetting, the response of single pixels, and rings of dust out of focus."""
    y, x = _grid(shape)
    flat = 1 - 0.35 * (y**2 + x**2)
    flat *= rng.normal(1, 0.01, shape)
    for _ in range(6):
        centre_y, centre_x = rng.uniform(-0.45, 0.45, 2)
        outer = rng.uniform(0.03, 0.06)
        distance = np.hypot(y - centre_y, x - centre_x)
        flat *= 1 - rng.uniform(0.03, 0.08) * ((distance < outer) & (distance > 0.45 * outer))
    flat /= flat.mean()
    return flat


def _scene(shape: tuple[int, int], rng: np.random.Generator, n_stars: int) -> Pixels:
    """Draw a level sky and stars of two-dimensional Gaussian shape, ADU per second."""
    scene = np.full(shape, 40.0)
    for _ in range(n_stars):
        row, column = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        _add_star(scene, row, column, 300 * rng.pareto(1.2) + 300)
    return scene


def _add_star(scene: Pixels, row: float, column: float, flux: float) -> None:
    reach, variance = _STAR_REACH, _STAR_SIGMA**2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    rows, columns = y + int(row), x + int(column)
    star = flux * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * variance))
    height, width = scene.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    scene[rows[inside], columns[inside]] += star[inside] / (2 * np.pi * variance)


def make_truth(shape: tuple[int, int], seed: int, n_stars: int = 60) -> Truth:
    """Draw a detector and a scene."""
    rng = np.random.default_rng([seed, 0])
    y, x = _grid(shape)
    bias = 1000 + 6 * x + 4 * y + rng.normal(0, 2, shape[1])
    dark_rate = rng.normal(8, 0.4, shape).clip(0)
    hot = rng.random(shape) < 0.002
    dark_rate[hot] += rng.exponential(400, np.count_nonzero(hot))
    return Truth(bias, dark_rate, _flat(shape, rng), _scene(shape, rng, n_stars))


@dataclass(frozen=True)
class SimulatedReadout:
    """How the detector is read out, where it is not as plainly as the lab's.

    Two amplifiers side by side, of unlike gain, noise and bias level, whose overscans stand at the
    right end of each row, the left amplifier's first.

    Parameters
    ----------
    n_overscan
        Columns of each overscan.
    nonlinearity
        ``linear = measured + nonlinearity * measured**2``, in ADU above the bias.
    gains_e_per_adu, read_noises_e, bias_adu
        Of each amplifier.
    """

    n_overscan: int = 32
    nonlinearity: float = 0.0
    gains_e_per_adu: tuple[float, float] = (1.6, 1.9)
    read_noises_e: tuple[float, float] = (8.0, 6.0)
    bias_adu: tuple[float, float] = (1000.0, 1300.0)

    def digitised(self, electrons: Pixels, bias: Pixels, rng: np.random.Generator) -> Any:
        """Return the raw frame of so many electrons, uint16."""
        n_rows, n_columns = electrons.shape
        half = n_columns // 2
        # The level drifts while a frame is read out, and from frame to frame.
        drift = rng.normal(0, 3) + rng.normal(0, 2) * np.linspace(-1, 1, n_rows)[:, np.newaxis]
        data, strips = [], []
        for which, columns in enumerate((slice(0, half), slice(half, n_columns))):
            gain, noise = self.gains_e_per_adu[which], self.read_noises_e[which]
            linear = electrons[:, columns] / gain
            measured = linear
            if self.nonlinearity:
                root = np.sqrt(1 + 4 * self.nonlinearity * linear)
                measured = (root - 1) / (2 * self.nonlinearity)
            level = self.bias_adu[which] + drift
            structure = bias[:, columns] - bias.mean()
            noisy = measured + rng.normal(0, noise / gain, measured.shape)
            data.append(noisy + structure + level)
            strips.append(level + rng.normal(0, noise / gain, (n_rows, self.n_overscan)))
        adu = np.rint(np.concatenate([*data, *strips], axis=1))
        return adu.clip(0, _FULL_SCALE).astype("u2")

    def camera_file(self) -> str:
        """Return the rules of this camera, as a camera file has them."""
        lines = ["# A simulated camera with two amplifiers.", 'name = "simulated, two amplifiers"']
        for which, name in enumerate(("left", "right")):
            first = f"NAXIS1-{2 * self.n_overscan}"
            data = (
                f"[1:({first})/2,1:NAXIS2]" if which == 0 else f"[({first})/2+1:{first},1:NAXIS2]"
            )
            start = f"{first}+{which * self.n_overscan}"
            lines += [
                "",
                "[[amplifier]]",
                f'name = "{name}"',
                f'data = "{data}"',
                f'overscan = ["[{start}+1:{start}+{self.n_overscan},1:NAXIS2]"]',
                f"gain_e_per_adu = {self.gains_e_per_adu[which]}",
                f"read_noise_e = {self.read_noises_e[which]}",
                f"saturation_adu = {_FULL_SCALE}",
            ]
            if self.nonlinearity:
                lines.append(f"linearity = [1.0, {self.nonlinearity}]")
        return "\n".join(lines) + "\n"


def _expose(
    truth: Truth,
    light: Pixels | float,
    exptime_s: float,
    rng: np.random.Generator,
    readout: SimulatedReadout | None,
) -> Any:
    """Return one raw frame, uint16: photon and dark noise, cosmic rays, read noise, bias.

    Parameters
    ----------
    light
        What falls on the detector before the response, ADU per second.
    """
    shape = truth.bias.shape
    expected_adu = (light * truth.flat + truth.dark_rate) * exptime_s
    electrons = rng.poisson(expected_adu * GAIN_E_PER_ADU).astype("f8")
    for _ in range(rng.poisson(exptime_s * truth.bias.size / 2.5e6)):
        row, column = rng.integers(shape[0]), rng.integers(shape[1])
        length = rng.integers(1, 8)
        rows = np.clip(row + np.arange(length) // 2, 0, shape[0] - 1)
        columns = np.clip(column + np.arange(length), 0, shape[1] - 1)
        electrons[rows, columns] += rng.exponential(3000)
    if readout:
        return readout.digitised(electrons, truth.bias, rng)
    electrons += rng.normal(0, READ_NOISE_E, shape)
    adu = np.rint(electrons / GAIN_E_PER_ADU + truth.bias)
    return adu.clip(0, _FULL_SCALE).astype("u2")


def _cards(obj: str, exptime_s: int, filter_name: str, shutter: str, time: datetime) -> list[str]:
    """Return the cards that the camera of the lab writes, and no others."""
    return [
        format_card("EXPTIME", exptime_s, "exposure time"),
        format_card("DATE-OBS", time.isoformat(), "date of the observation"),
        format_card("OBJECT", obj, "name of observed object"),
        format_card("RA_OBJ", "", "R.A. of the observation"),
        format_card("DEC_OBJ", "", "declination of the observed object"),
        format_card("OBSERVER", "daskred", "observer who acquired the data"),
        format_card("TELESCOP", "simulated", "name of telescope"),
        format_card("INSTRUME", "simulated CCD", "name of instrument"),
        format_card("FILTER", filter_name, "name of filter used during the observation"),
        format_card("SHUTTER", shutter, "shutter status during the observation"),
        format_card("XBIN", 4, "binning in x pixels"),
        format_card("YBIN", 4, "binning in y pixels"),
    ]


@dataclass(frozen=True)
class _Series:
    """Frames of one kind: their names, their number, and how they are exposed."""

    name: str
    number: int
    obj: str
    exptime_s: int
    filter_name: str
    shutter: str


def _frames(
    truth: Truth,
    series: _Series,
    which: int,
    seed: int,
    time: datetime,
    readout: SimulatedReadout | None,
    pulsation: float,
) -> Iterator[tuple[str, list[str], Any]]:
    """Yield name, cards and pixels of each frame of a series."""
    lit = series.shutter == "open"
    star = np.zeros_like(truth.scene)
    if pulsation:
        _add_star(star, star.shape[0] / 2, star.shape[1] / 2, STAR_FLUX)
    for number in range(1, series.number + 1):
        rng = np.random.default_rng([seed, which, number])
        elapsed_s = number * (series.exptime_s + 2)
        light: Pixels | float = 0.0
        if lit and series.obj == "flat":
            # The lamp warms up and flickers.
            light = rng.uniform(0.94, 1.06) * 20000 / FLAT_EXPTIME_S
        elif lit:
            light = truth.scene
            if pulsation:
                phase = 2 * np.pi * elapsed_s / STAR_PERIOD_S
                light = light + star * (1 + pulsation * np.sin(phase))
        pixels = _expose(truth, light, series.exptime_s, rng, readout)
        started = time + timedelta(seconds=elapsed_s)
        cards = _cards(series.obj, series.exptime_s, series.filter_name, series.shutter, started)
        yield series.name.format(number), cards, pixels


def simulate(
    folder: str | Path,
    *,
    shape: tuple[int, int] = (256, 256),
    n_bias: int = 0,
    n_darks: int = 61,
    n_flats: int = 61,
    n_science: int = 60,
    seed: int = 1,
    readout: SimulatedReadout | None = None,
    pulsation: float = 0.0,
    progress: Progress | None = None,
) -> Truth:
    """Write a synthetic night: darks of 10 s and of 3 s, flats of 3 s, science frames of 10 s.

    Its parameters are many: one for each thing of which a night has more or less.

    Parameters
    ----------
    folder
        Where to; it must not hold anything yet.
    shape
        Rows and columns of a frame.
    n_bias, n_darks, n_flats, n_science
        How many frames; of darks so many for each of the two exposure times.
    seed
        Of the random numbers; the same gives the same bytes.
    readout
        Two amplifiers with overscans; their rules are written as ``camera.toml``. Electrons are
        those of the truth, which is in units of `GAIN_E_PER_ADU` electrons.
    pulsation
        By what part of its light a star in the middle of the science frames gets brighter and
        fainter, every 200 s; 0 for no such star.
    progress
        Told how far it is.

    Returns
    -------
    Truth
        What the frames were made of; also written, as ``truth.npz``.

    Raises
    ------
    RequestError
        When a size or count makes no sense, or the folder holds something.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     truth = simulate(folder, shape=(16, 24), n_darks=1, n_flats=1, n_science=1)
    >>> truth.flat.shape
    (16, 24)
    """
    folder = absolute(folder)
    counts = (n_bias, n_darks, n_flats, n_science)
    odd = readout is not None and shape[1] % 2
    if not 0 <= pulsation < 1:
        raise RequestError(f"a star cannot pulsate by {pulsation:g} of its light; 0.03 is usual")
    if min(shape) < 1 or min(counts) < 0 or sum(counts) == 0 or odd:
        raise RequestError(f"cannot simulate {counts} frames of {shape[0]}x{shape[1]} pixels")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RequestError(f"{folder}: holds something already; name a new folder")
    progress = progress or Silent()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        truth = make_truth(shape, seed)
    except OSError as error:
        raise RequestError(f"{folder}: cannot be made: {error.strerror}") from error
    except MemoryError as error:
        raise RequestError(f"{shape[0]}x{shape[1]} pixels are more than memory holds") from error
    all_series = (
        _Series("bias/bias-{:02d}.fits", n_bias, "bias", 0, "blocking", "closed"),
        _Series("dark/dark_10s-{:02d}.fits", n_darks, "Dark", 10, "blocking", "closed"),
        _Series("dark/dark_3s-{:02d}.fits", n_darks, "Dark", 3, "blocking", "closed"),
        _Series("flat/flat-{:02d}.fits", n_flats, "flat", FLAT_EXPTIME_S, "BG40", "open"),
        _Series(f"{TARGET}/{TARGET}-{{:04d}}.fits", n_science, TARGET, 10, "BG40", "open"),
    )
    progress.begin("Simulating", sum(series.number for series in all_series), "frames")
    time = datetime(2016, 10, 31, 22, 4, 0)
    for which, series in enumerate(all_series, start=1):
        frames = _frames(truth, series, which, seed, time, readout, pulsation)
        for name, cards, pixels in frames:
            (folder / name).parent.mkdir(exist_ok=True)
            units = [(Header(tuple(cards)), as_bands(pixels))]
            # As most cameras write them.
            write_atomically(folder / name, units, summed=False, sync=False)
            progress.advance(1)
        time += timedelta(hours=2)
    progress.end()
    truth.save(folder)
    if readout:
        (folder / CAMERA_FILE).write_text(readout.camera_file())
    return truth
