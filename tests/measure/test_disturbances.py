"""What a detector adds beside noise: slow noise, waves, structure, charge that goes astray."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from daskred import open_night, read_camera
from daskred.kernels.patterns import disturbance_of, interference_in, row_noise, structure_of
from daskred.kernels.transfer import fit_gain, transfer_points
from daskred.measure.characterization import characterize

GAIN, READ_NOISE_ADU = 1.6, 4.0
SHAPE, N_BESIDE, N_ABOVE = (240, 300), 24, 20
ROW_NOISE, WAVE, PERIOD, COLUMNS, FIXED = 1.2, 0.9, 11.5, 2.0, 3.0
SERIAL, PARALLEL = 2e-5, 1e-5
Pixels = NDArray[np.float64]


def driven_aside(electrons: Pixels, strength: float) -> Pixels:
    """Return charge that has driven charge into neighbours: none of it is lost."""
    moved = electrons.copy()
    for axis, part in ((0, 1.0), (1, 0.6)):
        lines, left = np.moveaxis(electrons, axis, 0), np.moveaxis(moved, axis, 0)
        for lag, share in ((1, 1.0), (2, 0.2)):
            first, second = lines[:-lag], lines[lag:]
            flow = strength * part * share * (first + second) / 2 * (first - second)
            left[:-lag] -= flow
            left[lag:] += flow
    return moved


def flat(rng: np.random.Generator, level: float, side: int, strength: float) -> Pixels:
    electrons = driven_aside(rng.poisson(level * GAIN, (side, side)).astype("f8"), strength)
    return np.round(electrons / GAIN + rng.normal(0, READ_NOISE_ADU, electrons.shape))


def test_neighbours_tell_the_gain_of_one_level() -> None:
    found, by_line = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        points = [
            transfer_points(*(flat(rng, 25000, 512, 3e-7) for _ in range(2))) for _ in range(3)
        ]
        found.append(fit_gain(points, float(np.hypot(READ_NOISE_ADU, np.sqrt(1 / 12)))))
        variance = np.average(points[0].variance) - READ_NOISE_ADU**2
        by_line.append(np.mean(points[0].signal) / variance)
    gains = [gain for gain in found if gain]
    assert {gain.model for gain in gains} == {"covariances"}
    lag = 1 - GAIN / np.mean(by_line)  # by so much a line alone would be wrong
    assert lag > 0.05
    pulls = [(gain.e_per_adu - GAIN) / gain.error for gain in gains]
    assert abs(np.mean(pulls)) < 0.8
    assert np.std(pulls) < 1.5
    assert np.mean([gain.e_per_adu for gain in gains]) == pytest.approx(GAIN, rel=float(0.2 * lag))
    bends = np.array([gain.bend for gain in gains], float)
    assert np.mean(bends) == pytest.approx(-lag / (25000 * GAIN), rel=0.25)


def test_neighbours_that_share_nothing_leave_the_line_and_its_error() -> None:
    rng = np.random.default_rng(1)
    points = [transfer_points(flat(rng, 25000, 256, 0), flat(rng, 25000, 256, 0))]
    found = fit_gain(points, READ_NOISE_ADU)
    assert found
    assert found.model == "line"
    assert abs(found.e_per_adu - GAIN) < found.error


def test_white_noise_has_neither_rows_nor_waves() -> None:
    for seed in range(30):
        noise = np.random.default_rng(seed).normal(0, 5, (300, 256))
        found = [disturbance_of(noise, 25.0)]
        assert interference_in(found, 256) is None
        rows = row_noise(found, 25.0, 256)
        assert rows.adu < 3.5 * rows.error_adu + 0.05


def test_slopes_and_slow_noise_are_no_waves() -> None:
    x = np.linspace(-1, 1, 256)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        noise = rng.normal(0, 5, (300, 256))
        found = [disturbance_of(noise + 3 * x, 25.0)]
        assert interference_in(found, 256) is None
        slow = np.cumsum(rng.normal(0, 0.05, (300, 256)), axis=1)
        assert interference_in([disturbance_of(noise + slow, 25.0)], 256) is None


@pytest.mark.parametrize("period", [2, 3, 8])
def test_a_wave_is_as_strong_as_it_is_whatever_its_period(period: int) -> None:
    rng = np.random.default_rng(1)
    phases = rng.uniform(0, 2 * np.pi, (600, 1))
    wave = 2 * np.sin(2 * np.pi * np.arange(240) / period + phases)
    found = interference_in([disturbance_of(rng.normal(0, 3, wave.shape) + wave, 9.0)], 240)
    assert found
    assert found.period_pixels == pytest.approx(period)
    assert found.amplitude_adu * np.sqrt(2) == pytest.approx(2, rel=0.05)


def test_the_error_of_row_noise_covers_it() -> None:
    pulls = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        frames = [rng.normal(0, 1, (200, 1)) + rng.normal(0, 4, (200, 128)) for _ in range(12)]
        found = [disturbance_of(one - other, 32.0) for one, other in itertools.pairwise(frames)]
        rows = row_noise(found, 32.0, 128)
        pulls.append((rows.adu - 1) / rows.error_adu)
    assert abs(np.mean(pulls)) < 0.5
    assert 0.8 < np.std(pulls) < 1.15


@pytest.mark.parametrize("n_frames", [4, 5, 9])
def test_structure_is_told_of_few_frames_and_beside_noise_of_rows(n_frames: int) -> None:
    rng = np.random.default_rng(n_frames)
    pixels, rows = rng.normal(0, 2, (200, 300)), rng.normal(0, 1, (200, 1))
    frames = [
        pixels + rows + rng.normal(0, 1.5, (200, 1)) + rng.normal(0, 4, pixels.shape)
        for _ in range(n_frames)
    ]
    found = structure_of(np.mean(frames[::2], axis=0), np.mean(frames[1::2], axis=0))
    assert found.pixels.adu == pytest.approx(2, rel=0.05)
    assert found.rows.adu == pytest.approx(1, rel=0.2)
    assert found.columns.adu < 0.3


def test_structure_is_as_uncertain_as_it_says() -> None:
    """Of 300 detectors: also from row to row, and beside noise as large."""
    rng = np.random.default_rng(7)
    pulls = []
    for _ in range(300):
        pixels, rows = rng.normal(0, 2, (40, 60)), rng.normal(0, 1.5, (40, 1))
        halves = [
            pixels + rows + rng.normal(0, 0.7, (40, 1)) + rng.normal(0, 2, pixels.shape)
            for _ in range(2)
        ]
        found = structure_of(*halves)
        # What stands for a row is a median over its pixels, which has their structure too.
        of_rows = np.hypot(1.5, 2 * np.sqrt(np.pi / 2 / 60))
        # Rows and columns that are subtracted take their share of the pixels' structure.
        of_pixels = 2 * np.sqrt((1 - 1 / 40) * (1 - 1 / 60))
        pulls.append(
            [
                (found.pixels.adu - of_pixels) / found.pixels.error_adu,
                (found.rows.adu - of_rows) / found.rows.error_adu,
            ]
        )
    assert np.std(pulls, axis=0) == pytest.approx([1, 1], abs=0.15)
    assert abs(np.mean(pulls, axis=0)).max() < 0.35


def expose(path: Path, rng: np.random.Generator, kind: str, light_e: float) -> None:
    """Write a frame of a detector that is disturbed in every way, with overscans on two sides."""
    height, width = SHAPE[0] + N_ABOVE, SHAPE[1] + N_BESIDE
    fixed = np.random.default_rng(99)
    columns, pixels = fixed.normal(0, COLUMNS, width), fixed.normal(0, FIXED, (height, width))
    electrons = np.zeros((height, width))
    electrons[: SHAPE[0], : SHAPE[1]] = rng.poisson(light_e, SHAPE)
    electrons[: SHAPE[0], SHAPE[1]] += electrons[: SHAPE[0], SHAPE[1] - 1] * SERIAL * SHAPE[1]
    electrons[SHAPE[0], :] += electrons[SHAPE[0] - 1, :] * PARALLEL * SHAPE[0]
    image = 500.3 + columns + pixels + electrons / GAIN
    image += rng.normal(0, ROW_NOISE, (height, 1))
    phase = rng.uniform(0, 2 * np.pi, (height, 1))
    image += WAVE * np.sin(2 * np.pi * np.arange(width) / PERIOD + phase)
    image = np.round(image + rng.normal(0, READ_NOISE_ADU, image.shape))
    header = fits.Header({"IMAGETYP": kind, "EXPTIME": 0.0 if kind == "bias" else 5.0})
    header["FILTER"] = "V"
    header["DATE-OBS"] = f"2026-01-01T01:{int(path.stem.split('-')[1]):02d}:00"
    fits.PrimaryHDU(image.astype("u2"), header).writeto(path)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("disturbed") / "night", np.random.default_rng(5)
    folder.mkdir()
    for number in range(12):
        kind = "bias" if number < 8 else "flat"
        expose(folder / f"{kind}-{number}.fits", rng, kind, 30000 * (kind == "flat"))
    return folder


def measured(night: Path, folder: Path, overscan: str) -> dict[str, Any]:
    camera, (height, width) = folder / "camera.toml", SHAPE
    strips = f"[{width + 1}:{width + N_BESIDE},1:{height}]", f"[1:{width},{height + 1}:"
    camera.write_text(
        f"""name = "disturbed"
[detector]
overscan = "{overscan}"
[[amplifier]]
name = "one"
data = "[1:{width},1:{height}]"
overscan = ["{strips[0]}", "{strips[1]}{height + N_ABOVE}]"]
"""
    )
    found = characterize(open_night(night, camera=read_camera(camera)), folder / "out")
    assert not found.failed
    told = json.loads((folder / "out/characterization.json").read_text())
    return dict(told["amplifiers"][0])


@pytest.fixture(scope="module")
def numbers(night: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return measured(night, tmp_path_factory.mktemp("without"), "none")


def test_slow_noise_and_waves_are_told_apart_from_read_noise(numbers: dict[str, Any]) -> None:
    # A wave is noise of single pixels too, and not what rows share.
    whole = np.hypot(READ_NOISE_ADU, WAVE / np.sqrt(2))
    assert numbers["read_noise_adu"] == pytest.approx(whole, rel=0.02)
    off = abs(numbers["row_noise_adu"] - ROW_NOISE)
    assert off < max(4 * numbers["row_noise_error_adu"], 0.1)
    assert numbers["interference_adu"] == pytest.approx(WAVE, rel=0.2)
    assert numbers["interference_period_pixels"] == pytest.approx(PERIOD, rel=0.05)


def test_structure_of_the_bias_is_told_without_its_noise(numbers: dict[str, Any]) -> None:
    assert numbers["bias_pixels_adu"] == pytest.approx(FIXED, rel=0.05)
    assert 0 < numbers["bias_pixels_error_adu"] < 0.05 * FIXED
    assert numbers["bias_columns_adu"] == pytest.approx(COLUMNS, rel=0.2)
    assert numbers["bias_rows_adu"] < 0.3


def test_an_overscan_adds_nothing_to_the_noise_of_rows(night: Path, tmp_path: Path) -> None:
    numbers = measured(night, tmp_path, "median")
    off = abs(numbers["row_noise_adu"] - ROW_NOISE)
    assert off < max(4 * numbers["row_noise_error_adu"], 0.1)


def test_a_strip_that_is_read_before_the_pixels_tells_no_charge_left_behind(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(2)
    folder = tmp_path / "night"
    folder.mkdir()
    for number in range(6):
        image = 300 + rng.normal(0, 4, (200, 220))
        if number > 2:
            image[:, 20:] += rng.poisson(20000, (200, 200))
        header = fits.Header({"IMAGETYP": "bias" if number < 3 else "flat", "FILTER": "V"})
        header.update({"BIASSEC": "[1:20,1:200]", "DATASEC": "[21:220,1:200]"})
        header["EXPTIME"] = 0.0 if number < 3 else 5.0
        header["DATE-OBS"] = f"2026-01-01T01:0{number}:00"
        fits.PrimaryHDU(np.round(image).astype("u2"), header).writeto(folder / f"{number}.fits")
    found = characterize(open_night(folder), tmp_path / "out")
    assert found.amplifiers[0].serial_cti is None
    assert any("may be read before the pixels" in text for text in found.missing)


def test_charge_that_is_left_behind_shows_in_the_overscans(night: Path, tmp_path: Path) -> None:
    numbers = measured(night, tmp_path, "median")
    for name, truth in (("serial", SERIAL), ("parallel", PARALLEL)):
        part, error = numbers[f"{name}_cti"], numbers[f"{name}_cti_error"]
        assert part == pytest.approx(truth, abs=4 * error + 0.1 * truth)
        assert error < 0.2 * truth
