"""Frames that are prepared band by band are those that are prepared whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daskred import Options
from daskred.arrays.frames import measure_source
from daskred.arrays.looks import look_at
from daskred.arrays.masterfiles import MasterArrays
from daskred.arrays.prepared import PreparedSource, read_frame
from daskred.fits.pixels import pixel_sum
from daskred.model.readout import Amplifier, Overscan, Readout, Section
from tests.frames import frame_of

HEIGHT, WIDTH = 31, 20


def four_amplifiers(overscan: Overscan, **more: Any) -> Readout:
    """Return a detector of two files' images, each of two amplifiers, of all four orientations."""
    amplifiers = []
    for number in range(4):
        image, right = divmod(number, 2)
        data = Section(
            (2, 2 + HEIGHT), (right * 28 + 4, right * 28 + 4 + WIDTH), (False, bool(right))
        )
        strip = Section((0, HEIGHT + 5), (right * 28 + 24, right * 28 + 28))
        place = Section(
            (image * HEIGHT, (image + 1) * HEIGHT),
            (right * WIDTH, (right + 1) * WIDTH),
            (bool(image), False),
        )
        amplifiers.append(
            Amplifier(
                f"A{number}",
                image,
                data,
                (strip,),
                0,
                place,
                gain_e_per_adu=1.0 + number,
                saturation_adu=4000.0,
                linearity=(1.0, 1e-6),
            )
        )
    matrix = tuple(tuple(0.001 * (i - j) for j in range(4)) for i in range(4))
    shape = (2 * HEIGHT, 2 * WIDTH)
    return Readout(
        tuple(amplifiers), ("",), (shape,), overscan, "electron", matrix, bleed_rows=2, **more
    )


def by_hand(raw: list[Any], readout: Readout, levels: list[Any]) -> Any:
    """Return the assembled image in plain numpy, whole; levels of each amplifier's rows."""
    signals = []
    for one, level in zip(readout.amplifiers, levels, strict=True):
        signal = raw[one.image][one.data.slices].astype("f8") - level[:, np.newaxis]
        signals.append(signal[:, ::-1] if one.data.flips[1] else signal)
    out = np.full(readout.shapes[0], np.nan)
    for victim, one in enumerate(readout.amplifiers):
        signal = signals[victim].copy()
        for source in range(4):
            signal -= readout.crosstalk[victim][source] * signals[source]
        signal = signal[:, ::-1] if one.data.flips[1] else signal
        signal = (signal + 1e-6 * signal**2) * (one.gain_e_per_adu or 0)
        out[one.place.slices] = signal[::-1] if one.place.flips[0] else signal
    return out


@pytest.fixture
def raw() -> list[Any]:
    rng = np.random.default_rng(8)
    images = list(rng.integers(900, 3000, (2, HEIGHT + 5, 56)).astype("u2"))
    images[0][9, 11] = images[1][20, 40] = 5000
    return images


def test_four_amplifiers_are_those_of_plain_numpy(raw: list[Any], tmp_path: Path) -> None:
    readout = four_amplifiers(Overscan("median"))
    frame = frame_of(tmp_path / "raw.fits", raw, readout)
    (found,), (full,), total = read_frame(frame, Options(dtype="float64"))
    levels = [
        np.median(raw[a.image][slice(*a.data.rows), slice(*a.overscan[0].columns)], axis=1)
        for a in readout.amplifiers
    ]
    np.testing.assert_allclose(found, by_hand(raw, readout, levels), rtol=1e-12)
    assert total == pixel_sum(frame.path, frame.images)
    # Two rows to either side of a saturated pixel, along its column, at the flipped end too.
    assert np.argwhere(full)[:, 0].tolist() == [*range(5, 10), *range(41, 46)]


@pytest.mark.parametrize("cut", [1, 5, 7, 30, 62])
@pytest.mark.parametrize("fit", ["none", "constant", "legendre", "chebyshev", "spline"])
def test_bands_of_any_height_are_the_same(
    raw: list[Any], tmp_path: Path, cut: int, fit: Any
) -> None:
    readout = four_amplifiers(Overscan("mean", fit, 2))
    frame = frame_of(tmp_path / "raw.fits", raw, readout)
    options = Options()
    (whole,), (full,), _ = read_frame(frame, options)
    look = look_at(frame)
    for start in range(0, 2 * HEIGHT, cut):
        n_rows = min(cut, 2 * HEIGHT - start)
        pixels, saturated = np.empty((n_rows, 2 * WIDTH), "f4"), np.empty((n_rows, 2 * WIDTH), "?")
        PreparedSource(frame, options, look).read(0, start, pixels, saturated)
        np.testing.assert_array_equal(pixels, whole[start : start + n_rows])
        np.testing.assert_array_equal(saturated, full[start : start + n_rows])


@pytest.mark.parametrize("every", [2, 3, 7, 40])
def test_every_so_many_rows_are_rows_of_the_whole(
    raw: list[Any], tmp_path: Path, every: int
) -> None:
    frame = frame_of(tmp_path / "raw.fits", raw, four_amplifiers(Overscan("mean", "legendre")))
    (whole,), (full,), _ = read_frame(frame, Options())
    found = [
        (pixels.copy(), saturated.copy())
        for _, pixels, saturated in PreparedSource(frame, Options()).bands(0, True, every)
        if saturated is not None
    ]
    np.testing.assert_array_equal(np.concatenate([one for one, _ in found]), whole[::every])
    np.testing.assert_array_equal(np.concatenate([one for _, one in found]), full[::every])


def test_levels_and_sums_of_a_flat_pass_over_what_is_saturated(
    raw: list[Any], tmp_path: Path
) -> None:
    frame = frame_of(tmp_path / "raw.fits", raw, four_amplifiers(Overscan("median")))
    options = Options(normalize="median")
    source = PreparedSource(frame, options)
    measured = measure_source(source, MasterArrays(), "median", lit=False)
    (image,), (full,), _ = read_frame(frame, options)
    assert measured.light.level == pytest.approx(np.median(image[~full]))
    assert measured.saturated == full.sum() / (4 * HEIGHT * WIDTH)


def test_rows_that_stay_in_place_need_no_look(tmp_path: Path) -> None:
    raw = [np.random.default_rng(4).integers(900, 3000, (HEIGHT, 40)).astype("u2")]
    data, strip = Section((0, HEIGHT), (0, 30)), Section((0, HEIGHT), (30, 40))
    amplifier = Amplifier("", 0, data, (strip,), 0, data)
    readout = Readout((amplifier,), ("",), ((HEIGHT, 30),), Overscan("median"))
    frame = frame_of(tmp_path / "raw.fits", raw, readout)
    assert not frame.readout.needs_look
    (found,), _, total = read_frame(frame, Options(dtype="float64"))
    levels = np.median(raw[0][:, 30:], axis=1, keepdims=True)
    np.testing.assert_array_equal(found, raw[0][:, :30] - levels)
    assert total == pixel_sum(frame.path, frame.images)
