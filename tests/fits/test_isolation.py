"""Foreign code that crashes, hangs or asks for everything: it costs a process, and not the run."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import FrameError, open_night
from daskred.fits.hdus import read_hdus
from daskred.fits.images import images_of
from daskred.fits.isolation import isolated
from daskred.fits.pixels import _section, read_rows

INTEGERS = np.dtype("i4")


def end_myself(sent: int) -> Any:
    os.kill(os.getpid(), sent)
    time.sleep(60)


def take_memory(n_bytes: int) -> Any:
    return np.ones(n_bytes, "u1")[:3].astype("i4")


def as_integer(text: str) -> Any:
    return int(text)


def lack_files() -> Any:
    raise OSError(errno.EMFILE, "no more")


@pytest.fixture(params=["forked", "with threads"])
def beside_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have this process have a thread, and another without."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    if request.param == "with threads":
        thread.start()
    yield
    over.set()
    if thread.ident:
        thread.join()


@pytest.mark.usefixtures("beside_threads")
def test_a_crash_is_an_error_and_the_next_work_is_done() -> None:
    for sent in (signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE):
        with pytest.raises(RuntimeError, match=signal.Signals(sent).name):
            isolated(partial(end_myself, sent), (3,), INTEGERS)
    assert isolated(partial(np.arange, 3), (3,), INTEGERS).tolist() == [0, 1, 2]


@pytest.mark.usefixtures("beside_threads")
def test_what_work_raises_is_told() -> None:
    with pytest.raises(RuntimeError, match="invalid literal"):
        isolated(partial(as_integer, "x"), (3,), INTEGERS)


@pytest.mark.usefixtures("beside_threads")
def test_what_the_machine_lacks_is_no_fault_of_the_work() -> None:
    with pytest.raises(OSError, match="Too many open files"):
        isolated(lack_files, (3,), INTEGERS)


@pytest.mark.usefixtures("beside_threads")
def test_memory_that_no_pixels_justify_is_not_given() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with pytest.raises(RuntimeError, match="allocate"):
        isolated(partial(take_memory, 2**31), (3,), INTEGERS)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < before + 2**20


def talk() -> Any:
    os.write(1, b"a word")
    return np.arange(3)


@pytest.mark.usefixtures("beside_threads")
def test_what_foreign_code_prints_is_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert isolated(talk, (3,), INTEGERS).tolist() == [0, 1, 2]
    assert capfd.readouterr().out == ""


def test_threads_have_a_helper_each() -> None:
    with ThreadPoolExecutor(4) as pool:
        works = [partial(np.full, (2,), number) for number in range(40)]
        found = pool.map(lambda work: isolated(work, (2,), INTEGERS).tolist(), works)
        assert list(found) == [[number, number] for number in range(40)]


def compressed(path: Path, pixels: Any, **options: Any) -> tuple[bytearray, int, int]:
    """Write a compressed image; return its bytes, where its table begins, and its heap."""
    with warnings.catch_warnings(action="ignore"):
        fits.CompImageHDU(pixels, **options).writeto(path, overwrite=True)
    with fits.open(path, disable_image_compression=True) as hdus:
        start = hdus[1].fileinfo()["datLoc"]
        heap = hdus[1].header["NAXIS1"] * hdus[1].header["NAXIS2"]
    return bytearray(path.read_bytes()), start, start + heap


def pixels_of(path: Path) -> Any:
    (image,) = images_of(str(path), read_hdus(str(path)))
    out = np.empty(image.shape, image.dtype)
    read_rows(str(path), image, 0, image.shape[0], out)
    return out


@pytest.mark.parametrize("less", [1, 2, 4, 8, 16])
def test_a_stream_that_ends_early_gives_no_pixels(tmp_path: Path, less: int) -> None:
    """HCOMPRESS reads on behind its end: whatever lies there would become pixels."""
    pixels = np.random.default_rng(1).normal(1000, 30, (16, 40)).astype("i2")
    path = tmp_path / "a.fits"
    content, start, _ = compressed(
        path, pixels, compression_type="HCOMPRESS_1", tile_shape=(16, 40)
    )
    np.testing.assert_array_equal(pixels_of(path), pixels)
    (n_bytes,) = struct.unpack(">i", content[start : start + 4])
    content[start : start + 4] = struct.pack(">i", n_bytes - less)
    path.write_bytes(content)
    with pytest.raises(FrameError, match="broken: a stream ends"):
        pixels_of(path)


@pytest.mark.parametrize("odd", [np.nan, 5.0])
def test_tiles_that_could_not_be_compressed_are_read(tmp_path: Path, odd: float) -> None:
    pixels = np.random.default_rng(1).normal(1000, 30, (64, 64)).astype("f4")
    pixels[:16] = odd
    path = tmp_path / "a.fits"
    compressed(path, pixels, compression_type="HCOMPRESS_1", tile_shape=(16, 64))
    np.testing.assert_array_equal(pixels_of(path), fits.getdata(path))


def test_a_frame_whose_pixels_are_all_alike_is_read(tmp_path: Path) -> None:
    pixels = np.full((512, 512), 7, "i4")
    path = tmp_path / "a.fits"
    compressed(path, pixels, compression_type="HCOMPRESS_1", tile_shape=(512, 512))
    np.testing.assert_array_equal(pixels_of(path), pixels)


CLAIMS: dict[str, Callable[[fits.Header], None]] = {
    "more exposures than tiles": lambda header: header.set("ZNAXIS3", 3000),
    "more exposures than memory": lambda header: header.set("ZNAXIS3", 2**31 - 1),
    "smaller tiles": lambda header: header.set("ZTILE2", 1),
}


@pytest.mark.parametrize("claim", list(CLAIMS))
def test_a_cube_that_claims_more_than_it_holds_is_refused(tmp_path: Path, claim: str) -> None:
    path = tmp_path / "cube.fits"
    pixels = np.random.default_rng(1).integers(0, 999, (2, 16, 40), "i4")
    compressed(path, pixels, compression_type="RICE_1", tile_shape=(1, 16, 40))
    assert len(open_night(tmp_path).frames) == 2
    with fits.open(path, disable_image_compression=True, mode="update") as hdus:
        CLAIMS[claim](hdus[1].header)
    night = open_night(tmp_path)
    assert not night.frames
    assert "damaged" in night.left_out[0].reason


def test_a_long_header_is_read_in_time_that_grows_with_it(tmp_path: Path) -> None:
    path = tmp_path / "long.fits"
    fits.PrimaryHDU(np.zeros((4, 4), "u2")).writeto(path)
    content = path.read_bytes()
    end = content.index(b"END" + b" " * 77)
    n_cards = 36 * 4000  # of which a block holds 36
    long = content[:end] + b"COMMENT".ljust(80) * n_cards + content[end:]
    path.write_bytes(long)
    code = f"from daskred.fits.hdus import read_hdus; read_hdus({str(path)!r})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_hierarchical_cards_do_not_tell_where_pixels_lie(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    pixels = np.arange(12, dtype="u2").reshape(3, 4)
    fits.PrimaryHDU(pixels).writeto(path)
    content = path.read_bytes()
    end = content.index(b"END" + b" " * 77)
    cards = b"".join(
        text.ljust(80).encode() for text in ("HIERARCH BZERO = 5", "HIERARCH NAXIS2 = 1")
    )
    path.write_bytes(content[:end] + cards + content[end : 2880 - len(cards)] + content[2880:])
    np.testing.assert_array_equal(pixels_of(path), pixels)


def test_a_signalling_nan_warns_nobody(tmp_path: Path) -> None:
    pixels = np.full((4, 5), 0x7FA00000, ">u4").view(">f4")
    fits.PrimaryHDU(pixels, fits.Header({"IMAGETYP": "dark"})).writeto(tmp_path / "a.fits")
    fits.PrimaryHDU(pixels, fits.Header({"IMAGETYP": "dark"})).writeto(tmp_path / "b.fits")
    open_night(tmp_path)


def after_damaged_streams(content: bytes, start: int, size: int) -> Any:
    """Decompress many damaged copies; return a sound one, less one where memory has changed."""
    choose, n_noticed = random.Random(size), 0
    guards = [np.full(size, 7, "u1") for size in (64, 160, 1280, 3840, 7680)] * 20
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(choose.choice((1, 5, 60))):
            damaged[choose.randrange(start, start + size)] = choose.randrange(256)
        try:
            _section(bytes(damaged), 1, 0, slice(0, 48))
        except Exception:
            n_noticed += 1
    assert n_noticed > 20
    whole = all((guard == 7).all() for guard in guards)
    return _section(content, 1, 0, slice(0, 48)) - (0 if whole else 1)


@pytest.mark.parametrize("tile_rows", [1, 16])
@pytest.mark.parametrize("dtype", ["i2", "i4"])
def test_damaged_rice_overwrites_nothing(tmp_path: Path, dtype: str, tile_rows: int) -> None:
    """Workers decompress it themselves: what follows a damaged stream must be as it was."""
    pixels = np.random.default_rng(1).normal(1000, 20, (48, 80)).astype(dtype)
    path = tmp_path / "sound.fits"
    compressed(path, pixels, compression_type="RICE_1", tile_shape=(tile_rows, 80))
    hdu = read_hdus(str(path))[1]
    work = partial(after_damaged_streams, path.read_bytes(), hdu.data_start, hdu.data_size)
    np.testing.assert_array_equal(isolated(work, pixels.shape, pixels.dtype), pixels)
