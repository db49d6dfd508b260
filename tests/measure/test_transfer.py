"""Gain, read noise and linearity against known truth: quoted errors cover it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from daskred import open_night
from daskred.kernels.pairs import clipped_variance, unrounded_noise
from daskred.kernels.response import response_of
from daskred.kernels.transfer import Gain, fit_gain, transfer_points
from daskred.measure.characterization import characterize

GAIN, READ_NOISE_ADU = 1.6, 4.0
LEVELS = np.geomspace(1000, 40000, 8).tolist()
Pixels = NDArray[np.float64]


def flat(
    rng: np.random.Generator,
    level: float,
    shape: tuple[int, int],
    a00: float = 0.0,
    slope: float = 0.0,
    largest: float = np.inf,
) -> Pixels:
    """Return a flat whose variance lags as charge drives charge aside, or that is cut off."""
    electrons = level * GAIN * (1 + slope * np.linspace(-0.5, 0.5, shape[1])) * np.ones(shape)
    variance = np.expm1(2 * a00 * electrons) / (2 * a00) if a00 else electrons
    pixels = (electrons + rng.normal(0, np.sqrt(variance))) / GAIN
    pixels = pixels + rng.normal(0, READ_NOISE_ADU, shape)
    return np.asarray(np.round(np.minimum(pixels, largest)), "f8")


def measured(
    seed: int, levels: Sequence[float], n_pairs: int, shape: tuple[int, int], **more: Any
) -> Gain:
    rng = np.random.default_rng(seed)
    slope = more.pop("slope", 0.0)
    points = []
    for level in levels:
        for _ in range(n_pairs):
            first = flat(rng, level, shape, **more)
            points.append(transfer_points(first, flat(rng, level, shape, slope=slope, **more)))
    found = fit_gain(points, float(np.hypot(READ_NOISE_ADU, np.sqrt(1 / 12))))
    assert found
    return found


@pytest.mark.parametrize("a00", [0.0, -0.8e-6, -1.6e-6])
def test_the_curve_tells_the_gain_however_the_variance_lags(a00: float) -> None:
    found = [measured(seed, LEVELS, 2, (64, 64), a00=a00) for seed in range(16)]
    pulls = [(gain.e_per_adu - GAIN) / gain.error for gain in found]
    assert {gain.model for gain in found} == {"curve"}
    assert abs(np.mean(pulls)) < 0.8
    assert 0.5 < np.std(pulls) < 1.6
    assert np.mean([gain.error for gain in found]) < 0.02 * GAIN
    bends = [gain.bend for gain in found]
    assert np.mean(np.array(bends, float)) == pytest.approx(a00, abs=3e-7)


@pytest.mark.parametrize("a00", [0.0, -1.6e-6])
def test_one_level_does_not_tell_how_the_curve_bends_and_the_error_says_so(a00: float) -> None:
    found = [measured(seed, [20000], 6, (96, 96), a00=a00) for seed in range(6)]
    for gain in found:
        assert gain.model == "line"
        assert abs(gain.e_per_adu - GAIN) < 2 * gain.error
        assert gain.error > 0.03 * GAIN


@pytest.mark.parametrize("shape", [(64, 64), (128, 128)])
def test_illumination_that_changes_within_a_pair_is_no_noise(shape: tuple[int, int]) -> None:
    found = [measured(seed, [12500], 6, shape, slope=0.03) for seed in range(8)]
    assert np.mean([gain.e_per_adu for gain in found]) == pytest.approx(GAIN, rel=0.006)


@pytest.mark.parametrize("levels", [[2000, 5000, 10000, 20000, 40000], [5000, 15000, 30100]])
def test_what_is_cut_off_does_not_count(levels: list[float]) -> None:
    found = [measured(seed, levels, 3, (96, 96), largest=30000) for seed in range(6)]
    assert np.mean([gain.e_per_adu for gain in found]) == pytest.approx(GAIN, rel=0.01)


@pytest.mark.parametrize(
    ("noise", "step", "n_rays"),
    [(4.0, 1.0, 0), (4.0, 1.0, 30), (1.0, 1.0, 0), (0.33, 1.0, 0), (0.2, 1.0, 3), (0.5, 0.0, 0)],
)
def test_read_noise_is_that_before_rounding_and_without_rays(
    noise: float, step: float, n_rays: int
) -> None:
    rng = np.random.default_rng(7)
    level = rng.uniform(0, 50, (256, 256))
    frames = []
    for _ in range(2):
        pixels = level + rng.normal(0, noise, level.shape)
        for row, column in rng.integers(0, 240, (n_rays, 2)):
            pixels[row, column : column + rng.integers(1, 12)] += rng.exponential(800)
        frames.append(np.round(pixels) if step else pixels)
    variance = clipped_variance(frames[0] - frames[1]).value
    assert unrounded_noise(variance, step) == pytest.approx(noise, rel=0.02)


@pytest.mark.parametrize("bend", [0.0, -1e-6, 5e-7])
@pytest.mark.parametrize("delay", [0.0, 0.03, -0.02])
def test_a_shutter_and_a_bent_response_are_told_apart(bend: float, delay: float) -> None:
    times = np.array([0.5, 1, 2, 4, 8, 16])
    linear = 2000 * (times + delay)
    noise = np.random.default_rng(2).normal(1, 1e-4, len(times))
    found = response_of(times.tolist(), (linear * (1 + bend * linear) * noise).tolist())
    assert found.shutter_delay_s == pytest.approx(delay, abs=0.002)
    np.testing.assert_allclose(found.deviations, bend * linear, atol=0.001)


def test_overscans_tell_read_noise_where_there_are_no_bias_frames(tmp_path: Path) -> None:
    folder, rng = tmp_path / "night", np.random.default_rng(3)
    folder.mkdir()
    for number in range(8):
        kind = "dark" if number < 4 else "flat"
        light = 900 if kind == "dark" else 20000
        pixels = np.hstack([rng.poisson(light, (64, 96)), np.zeros((64, 16), int)]) / GAIN
        pixels = np.round(pixels + 500.3 + rng.normal(0, READ_NOISE_ADU, pixels.shape))
        header = fits.Header({"IMAGETYP": kind, "EXPTIME": 30.0, "FILTER": "V"})
        header["TRIMSEC"], header["BIASSEC"] = "[1:96,1:64]", "[97:112,1:64]"
        header["DATE-OBS"] = f"2026-01-01T01:{number:02d}:00"
        fits.PrimaryHDU(pixels.astype("u2"), header).writeto(folder / f"{kind}-{number}.fits")
    found = characterize(open_night(folder), tmp_path / "out")
    (one,) = found.amplifiers
    assert one.read_noise_adu == pytest.approx(READ_NOISE_ADU, rel=0.03)
    expected = READ_NOISE_ADU / np.sqrt(2 * 8 * 64 * 13)
    assert one.read_noise_error_adu == pytest.approx(expected, rel=0.1)
    assert any("overscans" in text for text in found.missing)
