"""What pages of the documentation speak of, as small as can be: a page's commands run beside it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import reduce_night, simulate
from tests.observatory import Observatory
from tests.telescope import Telescope
from tests.web import RangeHandler, serving

SHAPE = (48, 64)
# What a page names, and what stands for it here.
Places = dict[str, str]


def _simulated(name: str = "NIGHT") -> Path:
    night = Path(name)
    simulate(night, shape=SHAPE, n_darks=3, n_flats=6, n_science=3, n_bias=3)
    return night


def _moved(path: Path, target: Path, **cards: Any) -> None:
    """Move a frame, with other cards; None for one that it loses."""
    target.parent.mkdir(exist_ok=True)
    path.rename(target)
    with fits.open(target, "update") as hdus:
        for keyword, value in cards.items():
            if value is None:
                del hdus[0].header[keyword]
            else:
                hdus[0].header[keyword] = value


def of_any_night(request: pytest.FixtureRequest | None = None) -> Places:
    """Make a night, its products, and some frames beside it."""
    night, products = _simulated(), Path("PRODUCTS")
    assert not reduce_night(night, products).failed
    science = next(night.glob("ktwo*/*.fits"))
    samples = {"bias": night / "bias/bias-01.fits", "flat": night / "flat/flat-01.fits"}
    samples |= {"science": science, "raw": science}
    samples["calibrated"] = next(products.glob("ktwo*/*c.fits"))
    for name, path in samples.items():
        shutil.copy(path, f"{name}.fits")
    return {}


def of_names(request: pytest.FixtureRequest) -> Places:
    """Make nights whose names tell kinds; and exposure times and filters."""
    night, other = _simulated(), _simulated("OTHERNIGHT")
    for path in night.glob("dark/*.fits"):
        _moved(path, night / f"calib/{path.stem}-d.fit")
    _moved(next(night.glob("ktwo*/*.fits")), night / "ancillary/fov.fit")
    for path in other.glob("dark/dark_10s-*.fits"):
        _moved(path, other / "darks" / path.name, EXPTIME=None)
    for path in other.glob("flat/*.fits"):
        _moved(path, other / f"flats/{path.stem}-v1.fits", FILTER=None)
    for path in other.glob("ktwo*/*.fits"):
        _moved(path, path, FILTER="V")
    return {}


def of_sky(request: pytest.FixtureRequest) -> Places:
    """Make a night below fringes, in two filters, and one without flats."""
    Observatory(Path("NIGHT/i"), n_science=5)
    Observatory(Path("NIGHT/z"), n_science=5, filter="z")
    Observatory(Path("OTHERNIGHT"), n_science=5, has_flats=False)
    return {}


def of_shutter(request: pytest.FixtureRequest) -> Places:
    """Make a night with flats of two exposure times."""
    telescope = Telescope(Path("NIGHT"))
    for kind, seconds in (("dark", 0.5), ("dark", 8.0), ("flat", 0.5), ("flat", 8.0)):
        for _ in range(3):
            telescope.expose(kind, seconds, 20000 * (kind == "flat"))
    telescope.expose("object", 0.5, 1000)
    return {}


def of_kast(request: pytest.FixtureRequest) -> Places:
    """Make a night of a spectrograph that is known by its headers."""
    rng = np.random.default_rng(1)
    height, width, overscan = 24, 80, 8
    common = {"VERSION": "kastb", "DNAXIS1": width, "COVER": overscan, "BSPLIT_N": "d55"}
    kinds = {
        "bias": (3, 0, {"OBSTYPE": "DARK", "OBJECT": "Bias", "EXPTIME": 0}),
        "flat": (3, 9000, {"OBSTYPE": "OBJECT", "OBJECT": "", "EXPTIME": 5, "LAMPSTA5": "on"}),
        "arcs": (1, 500, {"OBSTYPE": "OBJECT", "OBJECT": "", "EXPTIME": 5, "LAMPSTAG": "on"}),
        "star": (2, 200, {"OBSTYPE": "OBJECT", "OBJECT": "Feige 66", "EXPTIME": 60}),
    }
    for kind, (number, light, cards) in kinds.items():
        folder = Path("NIGHT") / kind
        folder.mkdir(parents=True)
        for n in range(number):
            pixels = 1000 + rng.normal(0, 3, (height, width + 2 * overscan))
            pixels[:, :width] += rng.poisson(light, (height, width))
            header = fits.Header({**common, **cards, "DATE-OBS": f"2026-01-01T02:0{n}:00"})
            fits.PrimaryHDU(pixels.round().astype("u2"), header).writeto(folder / f"{n}.fits")
    return {}


def of_bucket(request: pytest.FixtureRequest) -> Places:
    """Make a night in a bucket, and one that a web server has."""
    system: Any = request.getfixturevalue("bucket")
    system.mkdir("bucket")
    request.addfinalizer(lambda: system.rm("bucket", recursive=True))
    night = _simulated()
    system.put(str(night), "bucket/night", recursive=True)
    night.rename("night")
    server = serving(partial(RangeHandler, directory=str(Path.cwd()), served=[]))
    request.addfinalizer(lambda: next(server, None))
    return {"https://host": next(server)}


def of_cluster(request: pytest.FixtureRequest) -> Places:
    """Make a night, and a folder that all machines see."""
    _simulated()
    Path("shared").mkdir()
    return {}


BESIDE: Mapping[str, Callable[[pytest.FixtureRequest], Places]] = {
    "docs/how-to/camera.md": of_any_night,
    "docs/how-to/cloud.md": of_bucket,
    "docs/how-to/cluster.md": of_cluster,
    "docs/how-to/shutter.md": of_shutter,
    "docs/how-to/sky.md": of_sky,
    "docs/how-to/spectrographs.md": of_kast,
    "docs/index.md": of_any_night,
    "docs/reference/kinds.md": of_names,
    "README.md": of_any_night,
}
