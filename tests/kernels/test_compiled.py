"""Compiled kernels give numpy's bits, whatever the type, the number of frames, the rejection."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.kernels import using
from daskred.kernels.compiled import VARIABLE, compiled_kernels, kernels_in_use
from daskred.kernels.flat import flat_tile
from daskred.kernels.median import median_over_frames, network_table
from daskred.kernels.reject import METHODS, Method, Rejection, combine_frames
from daskred.kernels.robust import any_floats
from daskred.model.errors import RequestError
from daskred.model.registry import names_in

SOURCE = Path(sys.modules["daskred"].__file__ or "").parent / "kernels" / "compiled.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")

needs_kernels = pytest.mark.skipif(
    compiled_kernels() is None, reason="no kernels were compiled here"
)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")


@any_floats  # as tasks call them: the mean of two infinite values may be none
def assert_same_bits(work: Callable[[], Any]) -> None:
    """Check that both kernels return the same arrays, to the sign of zero and of NaN alike."""
    with using("compiled"):
        found = work()
    with using("numpy"):
        expected = work()
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
        known = ~np.isnan(one)
        assert np.array_equal(np.signbit(one[known]), np.signbit(other[known]))


@st.composite
def stacks(draw: st.DrawFn, dtypes: tuple[str, ...]) -> np.ndarray[Any, Any]:
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = draw(st.tuples(st.integers(1, 70), st.integers(1, 3), st.integers(1, 40)))
    seed, spread = draw(st.integers(0, 2**32)), draw(st.sampled_from([1, 3, 40, 30000]))
    rng = np.random.default_rng(seed)
    if dtype.kind in "iu":
        info: Any = np.iinfo(dtype.name)
        low, high = max(info.min, -spread), min(info.max, spread)
        return rng.integers(low, high, shape, dtype, endpoint=True)
    stack = np.round(rng.normal(0, spread, shape), draw(st.integers(0, 3))).astype(dtype)
    for value in draw(st.lists(st.sampled_from([np.nan, np.inf, -np.inf, -0.0, 1e300, 1e-320]))):
        with np.errstate(over="ignore"):
            stack[rng.random(shape) < 0.05] = value
    return stack


@needs_kernels
@settings(max_examples=200)
@given(stacks(("u2", "i2", "f4", "f8", "u1", "i4", ">f4")))
@example(np.array([[[-np.inf]], [[np.inf]]], "f4"))
def test_medians(stack: np.ndarray[Any, Any]) -> None:
    assert_same_bits(lambda: (median_over_frames(stack),))


@needs_kernels
@pytest.mark.parametrize("rejection", ["none", *names_in("kernels/rejections")])
@settings(max_examples=60)
@given(data=st.data())
def test_rejections(rejection: str, data: st.DataObject) -> None:
    stack = data.draw(stacks(("u2", "f4", "f8")))
    method: Method = data.draw(st.sampled_from(METHODS))
    limit = st.sampled_from([0.0, 0.5, 1.0])
    rule = Rejection(
        rejection,
        data.draw(limit),
        data.draw(limit),
        data.draw(st.integers(1, 6)),
        data.draw(st.sampled_from(["median", "mean"])),
        data.draw(st.sampled_from(["mad", "std"])),
    )
    weights: list[float] = []
    if method in ("mean", "clipped-mean", "sum") and data.draw(st.booleans()):
        weights = [1.0 + number % 3 for number in range(len(stack))]
    precision = data.draw(st.sampled_from(["f4", "f8"]))

    def work() -> tuple[Any, ...]:
        with np.errstate(all="ignore"):
            found = combine_frames(
                stack, method, rule, weights=weights, noise=(4.0, 0.5, -1.0), precision=precision
            )
        return found.value, found.n_used, found.n_rejected

    assert_same_bits(work)


@needs_kernels
@settings(max_examples=60)
@given(stacks(("u2",)), st.sampled_from(["f4", "f8"]))
def test_flats(stack: np.ndarray[Any, Any], precision: str) -> None:
    rng = np.random.default_rng(len(stack))
    darks = rng.normal(5, 2, (2, *stack.shape[1:]))
    which = [number % 2 for number in range(len(stack))]
    levels = rng.uniform(1, 1e4, len(stack)).tolist()
    assert_same_bits(
        lambda: (flat_tile(stack, darks, which=which, levels=levels, precision=precision),)
    )


@needs_kernels
@pytest.mark.parametrize("rejection", names_in("kernels/rejections"))
def test_pixels_do_not_know_their_neighbours(rejection: str) -> None:
    rng = np.random.default_rng(5)
    stack = rng.normal(100, 9, (21, 5, 67)).astype("f4")
    stack[rng.random(stack.shape) < 0.05] *= 3
    rule = Rejection(rejection, *((0.1, 0.1) if rejection == "percentile" else (2.0, 2.0)))
    noise = (80.0, 0.1, 0.0)
    for name in ("compiled", "numpy"):
        with using(name):
            whole = combine_frames(stack, "mean", rule, noise=noise)
            for row in range(5):
                for column in range(0, 67, 9):
                    single = stack[:, row : row + 1, column : column + 1]
                    found = combine_frames(single, "mean", rule, noise=noise)
                    assert found.value[0, 0] == whole.value[row, column]


@needs_kernels
def test_floats_are_stored_as_numpy_swaps_them() -> None:
    pixels = np.random.default_rng(1).normal(0, 1e30, 1001).astype("f4")
    pixels[[3, 900]] = np.nan
    pixels[7] = -np.inf
    out = np.empty_like(pixels)
    total, n_nan = compiled_kernels().store(pixels.view("u4"), out.view("u4"))
    assert out.tobytes() == pixels.astype(">f4").tobytes()
    assert (total, n_nan) == (int(pixels.view("u4").sum(dtype="u8")), 2)


@needs_kernels
def test_what_does_not_fit_is_refused() -> None:
    compiled = compiled_kernels()
    stack, out = np.zeros((3, 8), "u2"), np.zeros(8)
    network = network_table(3, (1,))
    read_only = out.copy()
    read_only.flags.writeable = False
    for arguments in (
        (stack, network, out[:7]),
        (stack, network, read_only),
        (stack[:, ::2], network, out[:4]),
        (stack, network_table(4, (1,)), out),
        (stack.astype(">u2"), network, out),
        (stack.astype("u4"), network, out),
        (stack[:0], network[:0], out),
        (stack, network),
        (stack, network, None),
    ):
        with pytest.raises((ValueError, TypeError, BufferError, IndexError)):
            compiled.median(*arguments)
    assert not out.any()


def test_the_environment_chooses() -> None:
    with using("numpy"):
        assert kernels_in_use() == "numpy"
    with using("fast"), pytest.raises(RequestError, match="there are compiled and numpy"):
        kernels_in_use()
    for asked, line in (("numpy", "(numpy kernels)"), (kernels_in_use(), f"({kernels_in_use()} ")):
        told = subprocess.run(
            [sys.executable, "-c", "from daskred.cli import main; main()", "--version"],
            env={**os.environ, VARIABLE: asked},
            capture_output=True,
            text=True,
            check=True,
        )
        assert line in told.stdout


@needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="sanitizers are loaded as Linux does it")
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    """Addresses and undefined behaviour are looked after while all kernels work."""
    library = tmp_path / "_compiled.abi3.so"
    flags = ["-O1", "-g", "-shared", "-fPIC", "-ffp-contract=off", "-DWIDE="]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    include = sysconfig.get_paths()["include"]
    assert COMPILER
    made = subprocess.run(
        [COMPILER, *flags, f"-I{include}", str(SOURCE), "-o", str(library), "-lm"],
        capture_output=True,
        text=True,
    )
    if made.returncode and "sanitize" in made.stderr:
        pytest.skip("this compiler has no sanitizers")
    assert made.returncode == 0, made.stderr
    runtime = subprocess.run(
        [COMPILER, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (tmp_path / "work.py").write_text(_WORK)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "work.py"), str(tmp_path)],
        env={**os.environ, "LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "sound"), done.stderr[-2000:]


_WORK = """
import sys
sys.path.insert(0, sys.argv[1])
import _compiled
import numpy as np
from daskred.kernels.median import network_table

rng = np.random.default_rng(1)
for n_frames in (1, 2, 3, 5, 8, 61):
    for n_pixels in (1, 31, 32, 33, 100):
        middle = ((n_frames - 1) // 2, n_frames // 2)
        for dtype in ("u2", "i2", "f4", "f8"):
            stack = rng.normal(0, 300, (n_frames, n_pixels)).astype("i2").astype(dtype)
            out = np.empty(n_pixels)
            _compiled.median(stack, network_table(n_frames, middle), out)
            assert (out == np.median(stack.astype("f8"), axis=0)).all()
        for dtype in ("f4", "f8"):
            stack = rng.normal(0, 300, (n_frames, n_pixels)).astype(dtype)
            stack[rng.random(stack.shape) < 0.1] = np.inf
            for rejection in range(6):
                for method in range(4):
                    for mean, std in ((0, 0), (0, 1), (1, 0), (1, 1)):
                        value, bottom, top = np.empty((3, n_pixels))
                        used, rejected = np.empty((2, n_pixels), "u2")
                        rule = (rejection, method, 5, mean, std, 1.0, 1.0, 4.0, 0.1, 0.0)
                        _compiled.combine(
                            stack, network_table(n_frames), value, bottom, top, used, rejected, rule
                        )
                        assert (used + rejected == np.isfinite(stack).sum(axis=0)).all()
        raw, out = rng.integers(0, 65535, n_pixels).astype("u2"), np.empty(n_pixels, "f4")
        _compiled.lit(raw, np.zeros(n_pixels), out, 2.0)
        _compiled.store(out.view("u4"), np.empty_like(out).view("u4"))
print("sound")
"""
