"""What a sample says of a science frame, whatever its shape."""

from __future__ import annotations

import numpy as np
import pytest

from daskred.kernels.figures import science_figures, without_parity
from daskred.kernels.witness import lit_verdicts


@pytest.mark.parametrize("width", [1, 2, 3, 16])
def test_pieces_may_be_narrow(width: int) -> None:
    raw = np.random.default_rng(1).normal(1000, 5, (width, 40)).astype("f4")
    pattern = without_parity(raw)
    assert pattern.shape == raw.shape
    frames = raw[:, np.newaxis]
    (found,) = science_figures(frames, frames - 900, pattern=(pattern, 9))
    assert found["level"] == pytest.approx(100, abs=5)
    assert found["residue"] == 0.0


@pytest.mark.parametrize("read_noise", [0.0, 30.0])
@pytest.mark.parametrize("n_bright", [2, 3, 4])
def test_flats_may_be_of_unlike_brightness(n_bright: int, read_noise: float) -> None:
    """Noise is judged by what photons, or the noise of reading, let it be at each brightness."""
    rng = np.random.default_rng(n_bright)
    levels = np.array([32000.0] * n_bright + [2000.0] * (6 - n_bright))
    light = rng.poisson(levels[:, np.newaxis, np.newaxis, np.newaxis], (6, 12, 24, 16))
    noise = rng.normal(0, read_noise, light.shape)
    flats = ((light + noise) / levels[:, np.newaxis, np.newaxis, np.newaxis]).astype("f4")
    (verdict,) = lit_verdicts(flats, levels.tolist(), {"scatter": 1.5})
    assert verdict.parts == ((0, 1, 2, 3, 4, 5),)
    flats[1] += rng.normal(0, 3 * flats[1].std(), flats[1].shape)
    (verdict,) = lit_verdicts(flats, levels.tolist(), {"scatter": 1.5})
    assert verdict.parts == ((0, 2, 3, 4, 5), (1,))
