"""The detector, measured from a night's own calibration frames: a measurement after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.engine.progress import Progress, Silent
from daskred.kernels.covariances import shared_per_e
from daskred.kernels.patterns import Structure
from daskred.kernels.response import response_of
from daskred.kernels.robust import ROUNDING_VARIANCE, robust_limits
from daskred.kernels.transfer import Gain, TransferPoints, fit_gain, transfer_points
from daskred.measure.bias_structure import bias_structures
from daskred.measure.camera_file import check_camera_file, save_camera_file
from daskred.measure.charge_transfer import Transfer, charge_transfer
from daskred.measure.dark_model import dark_model
from daskred.measure.read_noise import MOST_PAIRS, ReadNoise, parts_of, read_noises
from daskred.measure.results import (
    HOT_SIGMA,
    RESULTS,
    AmplifierNumbers,
    Characterization,
    check_ours,
    save,
)
from daskred.model.errors import RequestError
from daskred.model.paths import absolute
from daskred.model.plan import Master, Plan
from daskred.model.readout import Amplifier, Readout
from daskred.night.open import Night, NightOrFolder, as_night
from daskred.night.plan import make_plan
from daskred.options import Options
from daskred.products.names import DARK_MODEL, MEASURED_FOLDER
from daskred.run.files import files_of
from daskred.run.folders import remove_parts
from daskred.run.reduce import plan_memory, reduce_night

# The photon transfer curve is straight well below saturation only.
_STRAIGHT_PART = 0.8
_FEW_TIMES = 3
# What is held of each pixel: two frames, and masters, in double precision.
_PIXEL_BYTES = 80


def characterize(
    night: NightOrFolder,
    out: str | Path,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Characterization:
    """Measure gain, read noise, dark current, hot pixels and linearity of a night's detector.

    Writes ``characterization.json``, ``DarkModel.fits`` (dark rate, and as extension ``BIAS`` the
    level at no exposure) and, in ``measured``, the masters into a folder.

    Parameters
    ----------
    night
        Bias frames, darks and flats of one detector, in ADU; other frames are not used.
    out
        The folder.
    options
        How masters are made.
    progress
        Told how far it is.

    Raises
    ------
    RequestError
        When there is nothing to measure.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> counts = {"n_bias": 4, "n_darks": 3, "n_flats": 4, "n_science": 0}
    >>> _ = simulate(folder.name + "/night", shape=(64, 64), **counts)
    >>> found = characterize(open_night(folder.name + "/night"), folder.name + "/out")
    >>> 1.4 < found.amplifiers[0].gain_e_per_adu < 1.8
    True
    >>> folder.cleanup()
    """
    progress = progress or Silent()
    options = (options or Options()).but(masters_only=True, missing_dark=True)
    night = _calibration_only(as_night(night, options))
    frames = list(night.raw)
    if not frames:
        raise RequestError("no bias frames, darks or flats: there is nothing to measure")
    readout = frames[0].readout
    if readout.unit != "adu":
        raise RequestError("a detector is measured in ADU, not in electrons")
    if any(frame.readout.geometry != readout.geometry for frame in frames):
        raise RequestError("the night has frames of several detectors or readouts; name one's")
    out = absolute(out)
    for name in (RESULTS, DARK_MODEL):
        check_ours(out / name)
    check_camera_file(out)
    plan_memory(make_plan(night, options), options, measured_bytes=_PIXEL_BYTES)
    remove_parts((out,))
    measured = out / MEASURED_FOLDER
    summary = reduce_night(night, measured, options, progress)
    plan = summary.plan
    missing: list[str] = []
    noises = read_noises(plan, readout, missing, progress)
    points, levels = _transfer(plan, readout, measured, missing, progress)
    rates = dark_model(plan, readout, measured, missing, options.sync)
    structures = bias_structures(plan, readout, missing, progress)
    transfers = charge_transfer(plan, readout.amplifiers, missing, progress)
    numbers = []
    for which, amplifier in enumerate(readout.amplifiers):
        name = amplifier.title
        noise = noises[which] if noises else None
        gain = _gain(points[name], noise, amplifier, readout) if points.get(name) else None
        own = _numbers(name, noise, gain, points.get(name, []), levels.get(name, []))
        numbers.append(replace(own, **_beside(structures[which], transfers[which])))
        if rates:
            numbers[-1] = _with_dark(numbers[-1], rates[amplifier.target][amplifier.place.slices])
        if points.get(name) and gain is None:
            missing.append(f"gain of {name}: too few blocks of its flats are evenly lit")
    failed = summary.failed
    found = Characterization(out, tuple(numbers), points, rates, tuple(missing), failed)
    save(found, options.sync)
    save_camera_file(found, night.camera, options.sync)
    return found


def _calibration_only(night: Night) -> Night:
    """Return the night without its science frames, whose shape the others need not have."""
    kinds = ("bias", "dark", "flat")
    frames = tuple(frame for frame in night.frames if frame.kind in kinds)
    others = {frame.path for frame in night.frames} - {frame.path for frame in frames}
    left_out = tuple(entry for entry in night.left_out if entry.path not in others)
    return replace(night, frames=frames, left_out=left_out)


def _transfer(
    plan: Plan, readout: Readout, out: Path, missing: list[str], progress: Progress
) -> tuple[dict[str, list[TransferPoints]], dict[str, list[tuple[float, float]]]]:
    """Return photon transfer points, and pairs of exposure time and level, of each amplifier."""
    names = [amplifier.name or "image" for amplifier in readout.amplifiers]
    points: dict[str, list[TransferPoints]] = {name: [] for name in names}
    levels: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    flats = [master for master in plan.masters if master.kind == "flat"]
    if not any(len(master.inputs) > 1 for master in flats):
        missing.append("gain: needs two flats of one filter")
        return points, levels
    if not readout.is_above_bias and any(not i.correction.masters for m in flats for i in m.inputs):
        text = "its flats have neither overscan, bias nor dark, so that their signal is not known"
        missing.append(f"gain: {text}")
        return points, levels
    most_times = max(flats, key=lambda flat: (len(_times(flat)), len(flat.inputs)))
    progress.begin("Photon transfer", sum(len(flat.inputs) for flat in flats), "flats")
    for master in flats:
        inputs = list(master.inputs)[: 2 * MOST_PAIRS]
        inputs.sort(key=lambda member: member.frame.facts.exptime_s or 0.0)
        parts = []
        for member in inputs:
            files = files_of(out, member.correction)
            parts.append((member.frame.facts.exptime_s, parts_of(member.frame, readout, files)))
            progress.advance(1)
            for name, pixels in zip(names, parts[-1][1], strict=True):
                if parts[-1][0] and master is most_times:
                    levels[name].append((parts[-1][0], float(np.nanmedian(pixels))))
            if len(parts) == 2:
                (first_s, first), (second_s, second) = parts
                if first_s == second_s:
                    for name, a, b in zip(names, first, second, strict=True):
                        points[name].append(transfer_points(a, b))
                parts = [] if first_s == second_s else parts[1:]
    progress.end()
    return points, levels


def _times(master: Master) -> set[float | None]:
    return {member.frame.facts.exptime_s for member in master.inputs}


def _gain(
    points: Sequence[TransferPoints],
    noise: ReadNoise | None,
    amplifier: Amplifier,
    readout: Readout,
) -> Gain | None:
    """Return the gain, from blocks that are well below saturation."""
    limit = _STRAIGHT_PART * (amplifier.saturation_adu or np.inf)
    rounding = readout.step_adu**2 * ROUNDING_VARIANCE
    floor = (noise.adu**2 if noise else 0.0) + rounding
    return fit_gain([pair.below(limit) for pair in points], math.sqrt(floor))


def _numbers(
    name: str,
    noise: ReadNoise | None,
    gain: Gain | None,
    points: Sequence[TransferPoints],
    levels: Sequence[tuple[float, float]],
) -> AmplifierNumbers:
    value = gain.e_per_adu if gain else None
    known = [(time, level) for time, level in levels if level > 0]
    times = sorted({time for time, _ in known})
    response = None
    if len(times) >= _FEW_TIMES:
        means = [float(np.mean([level for t, level in known if t == time])) for time in times]
        response = response_of(times, means)
    pairs = [pair.shared for pair in points if pair.shared]
    shared = shared_per_e(pairs, value) if value and pairs else (None, None, None)
    return AmplifierNumbers(
        name=name,
        read_noise_adu=noise.adu if noise else None,
        read_noise_e=noise.adu * value if noise and value else None,
        read_noise_error_adu=noise.error_adu if noise else None,
        row_noise_adu=noise.rows.adu if noise and noise.rows else None,
        row_noise_error_adu=noise.rows.error_adu if noise and noise.rows else None,
        interference_adu=noise.wave.amplitude_adu if noise and noise.wave else None,
        interference_period_pixels=noise.wave.period_pixels if noise and noise.wave else None,
        gain_e_per_adu=value,
        gain_error=gain.error if gain else None,
        gain_model=gain.model if gain else None,
        bend_per_e=gain.bend if gain else None,
        next_in_row_per_e=shared[0],
        next_in_column_per_e=shared[1],
        next_error_per_e=shared[2],
        highest_signal_adu=max(
            (float(p.signal.max()) for p in points if p.signal.size), default=None
        ),
        full_well_adu=gain.full_well_adu if gain else None,
        linearity=tuple(zip(times, response.deviations, strict=True)) if response else (),
        shutter_delay_s=response.shutter_delay_s if response else None,
    )


def _beside(structure: Structure | None, transfer: Transfer) -> dict[str, Any]:
    """Return what disturbs images beside noise, by the names of numbers."""
    found: dict[str, Any] = {}
    if structure:
        for name, fixed in structure._asdict().items():
            found[f"bias_{name}_adu"], found[f"bias_{name}_error_adu"] = fixed
    for name, measured in transfer._asdict().items():
        if measured:
            found |= {f"{name}_cti": measured.part, f"{name}_cti_error": measured.error}
    return found


def _with_dark(numbers: AmplifierNumbers, rate: NDArray[np.float64]) -> AmplifierNumbers:
    typical = float(np.nanmedian(rate))
    _, limit = robust_limits(rate, HOT_SIGMA)
    gain = numbers.gain_e_per_adu
    return replace(
        numbers,
        dark_adu_per_s=typical,
        dark_e_per_s=typical * gain if gain else None,
        hot_fraction=float(np.mean(rate > limit)),
    )
