"""Broken and hostile FITS files by the thousand: ``python -m tests.fits.fuzz --count 10000``.

Every file is a sound one, mutated. The reader must read of it what astropy reads, or what fitsio
reads where astropy cannot, or raise a `FrameError`: nothing else, in time, and in memory that the
file's size justifies.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import os
import random
import resource
import signal
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
from astropy.io import fits

from daskred.fits.hdus import read_hdus
from daskred.fits.images import images_of
from daskred.fits.isolation import isolated
from daskred.fits.pixels import read_rows
from daskred.model.errors import FrameError
from daskred.model.frame import Image

SECONDS_A_FILE = 20
MORE_MEMORY = 600 * 2**20
HOSTILE = [
    "1000000000",
    "-1",
    "0",
    "7",
    "99999999999999999999",
    "1E400",
    "'16'",
    "T",
    "",
    "NaN",
    "-32",
    "64",
    "3.7",
    "16.0",
    "30.0",
    "1E-320",
    "F",
    "'unclosed",
    "(1,2)",
]
KEYWORDS = [
    *("SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "BZERO", "BSCALE", "BLANK"),
    *("PCOUNT", "GCOUNT", "EXTEND", "XTENSION", "EXTNAME", "TFIELDS", "TFORM1", "THEAP"),
    *("ZIMAGE", "ZBITPIX", "ZNAXIS", "ZNAXIS1", "ZNAXIS2", "ZTILE1", "ZTILE2", "ZCMPTYPE"),
    *("ZBLANK", "ZQUANTIZ", "ZVAL1", "ZNAME1", "END", "CONTINUE", "EXPTIME"),
]


def _file(*hdus: Any) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(buffer)
    return buffer.getvalue()


def seeds() -> dict[str, bytes]:
    """Return sound files of every kind, by name."""
    rng = np.random.default_rng(0)
    unsigned = rng.integers(0, 65536, (24, 30)).astype("u2")
    floats = rng.normal(1000, 30, (24, 30)).astype("f4")
    scaled = fits.PrimaryHDU(rng.integers(-99, 99, (24, 30)).astype("i2"))
    scaled.header["BSCALE"], scaled.header["BZERO"] = 0.5, 100.0
    scaled.header["BLANK"] = 7
    plain = _file(fits.PrimaryHDU(unsigned))
    table = fits.BinTableHDU.from_columns([fits.Column("T", "D", array=np.arange(3.0))])
    mosaic = _file(
        fits.PrimaryHDU(), fits.ImageHDU(unsigned, name="A"), fits.ImageHDU(floats), table
    )
    packed = {
        f"{kind}.fits.fz": _file(
            fits.PrimaryHDU(), fits.CompImageHDU(pixels, compression_type=kind)
        )
        for kind, pixels in (
            ("RICE_1", unsigned),
            ("GZIP_1", unsigned),
            ("GZIP_2", floats),
            ("HCOMPRESS_1", unsigned.astype("i4")),
        )
    }
    return {
        "plain.fits": plain,
        "floats.fits": _file(fits.PrimaryHDU(floats)),
        "scaled.fits": _file(scaled),
        "mosaic.fits": mosaic,
        "plain.fits.gz": gzip.compress(plain, mtime=0),
        **packed,
    }


def _with_bytes(data: bytearray, rng: random.Random, first: int, last: int) -> None:
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        data[rng.randrange(first, max(first + 1, last))] = rng.randrange(256)


def _cards(data: bytes) -> list[int]:
    """Return where the cards of all headers begin, more or less."""
    names = tuple(f"{keyword:<8}".encode() for keyword in KEYWORDS)
    return [place for place in range(0, len(data) - 80, 80) if data[place : place + 8] in names]


def mutated(sound: bytes, rng: random.Random) -> bytes:
    """Return a file with something wrong in it."""
    data = bytearray(sound)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        how = rng.randrange(8)
        cards = _cards(bytes(data))
        if how == 0 or not cards:
            _with_bytes(data, rng, 0, len(data))
        elif how == 1:
            _with_bytes(data, rng, 0, min(2880, len(data)))
        elif how in (2, 3, 4):
            place = rng.choice(cards)
            keyword = rng.choice([data[place : place + 8].decode("latin-1"), rng.choice(KEYWORDS)])
            keyword = rng.choice([keyword] * 7 + [keyword.lower()])
            text = f"{keyword:<8}= {rng.choice(HOSTILE):>20}".ljust(80)[:80]
            data[place : place + 80] = text.encode("latin-1")
        elif how == 5:
            place = rng.choice(cards)
            other = rng.choice(cards)
            data[place : place + 80] = data[other : other + 80]
        elif how == 6:
            del data[rng.randrange(len(data)) :]
        else:
            place = rng.randrange(0, len(data), 80)
            data[place:place] = data[place : place + rng.choice([80, 2880])]
        if len(data) < 200:
            break
    return bytes(data)


def ours(path: str) -> list[tuple[Image, Any]]:
    """Read all images of a file."""
    hdus = read_hdus(path)
    found = []
    for image in images_of(path, hdus):
        out = np.empty(image.shape, image.dtype)
        read_rows(path, image, 0, image.shape[0], out)
        found.append((image, out))
    return found


def theirs(path: str, image: Any) -> Any:
    """Read an image with astropy; None where it cannot."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            with fits.open(path, memmap=False) as hdus:
                pixels = hdus[image.hdu].data
                return None if pixels is None else np.array(pixels)
    except Exception:
        return None


def of_fitsio(path: str, image: Image) -> Any:
    """Read an image with fitsio, in a process of its own; None where it cannot."""
    dtype = np.dtype("f8")

    def read() -> Any:
        with fitsio.FITS(path) as file:
            return np.asarray(file[image.hdu].read(), dtype)

    try:
        return isolated(read, image.shape, dtype)
    except RuntimeError:
        return None


def judge(path: str) -> str:
    """Return what became of a file; or what went wrong.

    ``refused``, ``read`` as astropy does it, ``read with fitsio`` where astropy cannot, ``read
    alone`` where neither can.
    """
    try:
        found = ours(path)
    except FrameError:
        return "refused"
    outcome = "read"
    for image, pixels in found:
        reader, expected = "astropy", theirs(path, image)
        if expected is None:
            reader, expected = "fitsio", of_fitsio(path, image)
        if expected is None:
            outcome = "read alone"
            continue
        if reader == "fitsio" and outcome == "read":
            outcome = "read with fitsio"
        if expected.shape != pixels.shape:
            return f"wrong: shape {pixels.shape}, {reader} {expected.shape}"
        blank = np.isnan(pixels) if pixels.dtype.kind == "f" else np.zeros(pixels.shape, bool)
        same = np.isclose(pixels, expected, rtol=1e-6, atol=0, equal_nan=True) | blank
        if image.blank is None and not same.all():
            return f"wrong: {np.count_nonzero(~same)} pixels differ from {reader}'s"
    return outcome


def files(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of mutated files."""
    rng = random.Random(seed)
    sound = seeds()
    names = sorted(sound)
    for number in range(count):
        name = rng.choice(names)
        data = mutated(sound[name], rng)
        if name.endswith(".gz") and rng.random() < 0.5:  # wrong inside a sound stream
            data = gzip.compress(mutated(sound["plain.fits"], rng), mtime=0)
        yield f"{number:06d}-{name}", data


def _in_child(work: Callable[[], None]) -> int:
    """Do work in a forked process with little memory; return its status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + MORE_MEMORY, resource.RLIM_INFINITY))
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def fuzz(count: int, seed: int, keep: Path | None = None) -> tuple[Counter[str], list[str]]:
    """Judge mutated files; return how many became what, and what went wrong, file by file."""
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    pending = list(files(count, seed))
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        while pending:
            told.write_text("")
            batch = pending[:500]

            def work(batch: list[tuple[str, bytes]] = batch) -> None:
                with told.open("a", buffering=1) as report:
                    for name, data in batch:
                        path = Path(folder) / name
                        path.write_bytes(data)
                        signal.alarm(SECONDS_A_FILE)
                        try:
                            outcome = judge(str(path))
                        except BaseException as error:
                            outcome = f"wrong: {type(error).__name__}: {error}"
                        signal.alarm(0)
                        path.unlink()
                        report.write(outcome.replace("\n", " ") + "\n")

            status = _in_child(work)
            lines = told.read_text().splitlines()
            if status and len(lines) < len(batch):
                lines.append(f"wrong: ended with status {status}")
            for (name, data), outcome in zip(batch, lines, strict=False):
                outcomes[outcome.split(":")[0]] += 1
                if outcome.startswith("wrong"):
                    wrong.append(f"{name}: {outcome}")
                    if keep:
                        keep.mkdir(exist_ok=True)
                        (keep / name).write_bytes(data)
            pending = pending[len(lines) :]
    return outcomes, wrong


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fits.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the files that go wrong")
    arguments = parser.parse_args()
    outcomes, wrong = fuzz(arguments.count, arguments.seed, arguments.keep)
    print(", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())))
    for line in wrong:
        print(line)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
