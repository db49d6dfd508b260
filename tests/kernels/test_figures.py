"""What a sample says of a science frame, whatever its shape."""

from __future__ import annotations

import numpy as np
import pytest

from daskred.kernels.figures import science_figures, without_parity


@pytest.mark.parametrize("width", [1, 2, 3, 16])
def test_pieces_may_be_narrow(width: int) -> None:
    raw = np.random.default_rng(1).normal(1000, 5, (width, 40)).astype("f4")
    pattern = without_parity(raw)
    assert pattern.shape == raw.shape
    frames = raw[:, np.newaxis]
    (found,) = science_figures(frames, frames - 900, pattern=(pattern, 9))
    assert found["level"] == pytest.approx(100, abs=5)
    assert found["residue"] == 0.0
