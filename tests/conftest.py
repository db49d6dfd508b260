"""What tests share: synthetic nights, real frames, and a writer of FITS files that is not ours."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from astropy.io import fits

from daskred import open_night, reduce_night, simulate
from daskred.products.log import LOG_NAME
from tests.telescope import Telescope

SHAPE = (24, 40)
# Hundreds of processes start here, each of which would compile the whole package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# No test asserts a time: machines are small and shared.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic night with the lab's cards; tests must not change it."""
    folder = tmp_path_factory.mktemp("nights") / "small"
    simulate(folder, shape=SHAPE, n_darks=5, n_flats=5, n_science=7, seed=3)
    return folder


@pytest.fixture(scope="session")
def long_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A night that takes long enough to be disturbed; tests must not change it."""
    folder = tmp_path_factory.mktemp("nights") / "long"
    simulate(folder, shape=(160, 200), n_darks=5, n_flats=5, n_science=400, seed=5)
    return folder


@pytest.fixture(scope="session")
def long_products(long_night: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the products of an undisturbed run."""
    out = tmp_path_factory.mktemp("products") / "out"
    reduce_night(open_night(long_night), out)
    return tree(out)


@pytest.fixture(scope="session")
def real() -> Path:
    """Frames of real cameras, where there are some: DASKRED_REAL, or shared/real beside us."""
    default = Path(__file__).resolve().parents[2] / "shared" / "real"
    folder = Path(os.environ.get("DASKRED_REAL", default))
    if not folder.is_dir():
        pytest.skip("no real frames here; DASKRED_REAL names their folder")
    return folder


WriteFits = Callable[..., Path]


@pytest.fixture
def write_fits(tmp_path: Path) -> WriteFits:
    """Write a FITS file with astropy: pixels, or a list of them for a mosaic, and cards."""

    def write(name: str, pixels: Any, cards: dict[str, Any] | None = None) -> Path:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(pixels, list):
            images = [fits.ImageHDU(one, name="AMP", ver=n + 1) for n, one in enumerate(pixels)]
            hdus = fits.HDUList([fits.PrimaryHDU(), *images])
        else:
            hdus = fits.HDUList([fits.PrimaryHDU(pixels)])
        hdus[0].header.update(cards or {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # astropy warns of the cards that tests want broken
            hdus.writeto(target, overwrite=True)
        return target

    return write


class NightMaker:
    """Builds nights of frames with IMAGETYP cards, distinct noise and known levels."""

    def __init__(self, folder: Path, shape: tuple[int, int] = (8, 12), seed: int = 0) -> None:
        self.folder = folder
        self.shape = shape
        self._rng = np.random.default_rng(seed)
        self._count = 0

    def add(
        self,
        name: str,
        kind: str,
        level: float,
        exptime_s: float | str | None = 10.0,
        shape: tuple[int, int] | None = None,
        dtype: str = "u2",
        **cards: Any,
    ) -> Path:
        """Write one frame and return its path."""
        self._count += 1
        own = shape or self.shape
        pixels = self._rng.normal(level, 5, own).round().clip(0, 65535).astype(dtype)
        header = fits.Header({"IMAGETYP": kind, "DATE-OBS": f"2020-01-01T00:{self._count:02d}:00"})
        if exptime_s is not None:
            header["EXPTIME"] = exptime_s
        for card, value in cards.items():
            header[card.replace("_", "-")] = value
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        fits.PrimaryHDU(pixels, header).writeto(target, overwrite=True)
        return target

    def standard(self, n_each: int = 3, n_science: int = 2) -> Path:
        """Write darks of 10 s and 2 s, flats of 2 s in V, science frames of 10 s in V."""
        for number in range(n_each):
            self.add(f"d10-{number}.fits", "Dark Frame", 110, 10.0)
            self.add(f"d2-{number}.fits", "Dark Frame", 102, 2.0)
            self.add(f"f-{number}.fits", "Flat Field", 20000, 2.0, FILTER="V")
        for number in range(n_science):
            self.add(f"s-{number}.fits", "Light Frame", 500, 10.0, FILTER="V", OBJECT="M 31")
        return self.folder


@pytest.fixture
def make_night(tmp_path: Path) -> NightMaker:
    return NightMaker(tmp_path / "night")


def tree(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, by name; a log tells of times, and is none."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != LOG_NAME)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def telescope(tmp_path: Path) -> Telescope:
    """Return a camera and its lamp, whose frames go into ``night``."""
    return Telescope(tmp_path / "night")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give an S3 file system with an empty bucket, which daskred reaches by its environment."""
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    system = s3fs.S3FileSystem()
    system.mkdir("archive")
    yield system
    system.invalidate_cache()
    system.rm("archive", recursive=True)
