"""Cosmic rays told by the other frames of a field, beside rays and stars that are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import daskred
from daskred import Options, RequestError, open_night, reduce_night
from daskred.cli import main
from tests.telescope import SHAPE, Telescope

Y, X = np.indices(SHAPE)
COSMIC, INTERPOLATED = 4, 16


@dataclass
class Field:
    """Frames of a field of stars, whose seeing, transparency and pointing wander."""

    telescope: Telescope
    fwhm: float = 3.0
    moves: float = 0.5
    n_stars: int = 60
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    def __post_init__(self) -> None:
        for seconds in (2.0, 60.0):
            for _ in range(5):
                self.telescope.expose("dark", seconds)
        for _ in range(5):
            self.telescope.expose("flat", 2.0, 40000.0)
        self.places = self.rng.uniform(5, 150, (self.n_stars, 2))
        self.light = 10 ** self.rng.uniform(2.5, 5, self.n_stars)
        self.hit: list[np.ndarray[Any, Any]] = []

    def expose(
        self, number: int, n_rays: int = 25, dimmed: float = 1.0, slope: float = 0.0
    ) -> None:
        for _ in range(number):
            sky = 300.0 + slope * (Y / SHAPE[0] - 0.5)
            down, right = self.rng.uniform(-self.moves, self.moves, 2)
            width = self.fwhm * self.rng.uniform(0.9, 1.15) / 2.355
            clear = dimmed * self.rng.uniform(0.8, 1)
            for (y, x), light in zip(self.places, self.light, strict=True):
                squares = (Y - y - down) ** 2 + (X - x - right) ** 2
                profile = np.exp(-squares / 2 / width**2) / (2 * np.pi * width**2)
                sky += clear * light * profile
            self.hit.append(self._rays(sky, n_rays))
            self.telescope.expose("science", 60.0, sky)

    def _rays(self, sky: np.ndarray[Any, Any], number: int) -> np.ndarray[Any, Any]:
        hit = np.zeros(SHAPE, bool)
        for _ in range(number):
            y, x = self.rng.integers(3, 150, 2)
            angle = self.rng.uniform(0, np.pi)
            for step in range(self.rng.integers(1, 8)):
                row, column = int(y + step * np.sin(angle)), int(x + step * np.cos(angle))
                if 0 <= row < SHAPE[0] and 0 <= column < SHAPE[1]:
                    sky[row, column] += self.rng.uniform(300, 4000)
                    hit[row, column] = True
        return hit

    def reduce(self, out: Path, **options: Any) -> list[np.ndarray[Any, Any]]:
        """Return where rays were found."""
        chosen = Options(cosmics="flag", mask=True, **options)
        assert not reduce_night(open_night(self.telescope.folder), out, chosen).failed
        paths = sorted(out.glob("science*c.fits"))
        return [(fits.getdata(path, "MASK") & COSMIC) > 0 for path in paths]


@pytest.mark.parametrize("uncertainty", [True, False])
@pytest.mark.parametrize(
    ("fwhm", "moves"), [(3.0, 0.5), (1.3, 0.4), (2.5, 6.0)], ids=["wide", "sharp", "moved"]
)
def test_rays_are_found_and_no_star_is_one(
    telescope: Telescope, tmp_path: Path, fwhm: float, moves: float, uncertainty: bool
) -> None:
    """Also of stars that are as sharp as rays, and where the telescope has moved."""
    night = Field(telescope, fwhm, moves)
    night.expose(7)
    found = np.array(night.reduce(tmp_path / "out", cosmics_frames=4, uncertainty=uncertainty))
    hit = np.array(night.hit)
    assert np.mean(found[hit]) > 0.96
    assert np.mean(found[~hit]) < 1e-5
    header = fits.getheader(next((tmp_path / "out").glob("science*c.fits")))
    assert header.comments["NCOSMIC"] == "pixels bright in this frame of its field alone"


@pytest.mark.parametrize(
    ("told", "stars", "exposures"),
    [
        ("few stars that move", 2, [{"number": 5}]),
        ("clouds", 60, [{"number": 2}, {"number": 2, "dimmed": 0.25}]),
        ("moonlight", 60, [{"number": 4}, {"number": 1, "slope": 120.0}]),
        ("no stars", 0, [{"number": 4}]),
    ],
)
def test_what_is_no_ray_stays(
    telescope: Telescope, tmp_path: Path, told: str, stars: int, exposures: list[dict[str, Any]]
) -> None:
    """Where the other frames do not clearly show the same, they are not asked."""
    night = Field(telescope, moves=8.0 if stars == 2 else 0.5, n_stars=stars)
    if stars == 2:
        night.light[:] = 3e5
    for exposure in exposures:
        night.expose(n_rays=0, **exposure)
    found = np.array(night.reduce(tmp_path / "out", cosmics_frames=4, uncertainty=True))
    assert found.mean() < 1e-4


def test_other_fields_do_not_tell(telescope: Telescope, tmp_path: Path) -> None:
    """Two targets that no card tells apart: each is compared with its own."""
    fields = [Field(telescope), Field(telescope)]
    fields[1].places = fields[1].rng.permutation(fields[0].places[:, ::-1]) % 150
    for _ in range(4):
        for field_ in fields:
            field_.expose(1, n_rays=0)
    found = np.array(fields[0].reduce(tmp_path / "out", cosmics_frames=6))
    assert found.mean() < 2e-5


def test_what_no_other_frame_shows_is_told_by_its_shape(
    telescope: Telescope, tmp_path: Path
) -> None:
    night = Field(telescope, moves=40.0)
    night.expose(3)
    found = np.array(night.reduce(tmp_path / "out", cosmics_frames=2, uncertainty=True))
    hit = np.array(night.hit)
    assert np.mean(found[hit]) > 0.9


@pytest.mark.parametrize("words", [["--cosmics-frames", "4"], ["--cosmics", "flag", "1"]])
def test_what_tells_nothing_is_refused(
    telescope: Telescope, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Field(telescope).expose(1)
    if words[-1] == "1":
        words = [*words[:-1], "--cosmics-frames", "1"]
    assert main(["reduce", str(telescope.folder), "-o", str(tmp_path / "out"), *words]) == 2
    assert "--cosmics-frames" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_two_frames_are_too_few(telescope: Telescope, tmp_path: Path) -> None:
    """Then their shape tells rays, as without."""
    night = Field(telescope)
    night.expose(2)
    beside = night.reduce(tmp_path / "beside", cosmics_frames=4)
    alone = night.reduce(tmp_path / "alone")
    np.testing.assert_array_equal(beside, alone)
    assert any(mask.any() for mask in alone)


def test_what_is_cleaned_is_like_the_sky(telescope: Telescope, tmp_path: Path) -> None:
    night = Field(telescope)
    night.expose(5)
    options = Options(cosmics="clean", mask=True, uncertainty=True, cosmics_frames=4)
    assert not reduce_night(open_night(telescope.folder), tmp_path / "out", options).failed
    path = sorted((tmp_path / "out").glob("science*c.fits"))[2]
    value, mask = fits.getdata(path), fits.getdata(path, "MASK")
    filled = (mask & INTERPOLATED) > 0
    assert filled.sum() >= night.hit[2].sum() * 0.9
    assert abs(np.median(value[filled]) - np.median(value)) < 3 * np.std(value[:20, 160:])


def test_the_same_bytes_however_it_is_cut(telescope: Telescope, tmp_path: Path) -> None:
    Field(telescope).expose(4)
    asked = Options(cosmics="clean", mask=True, uncertainty=True, cosmics_frames=2)
    outs = []
    for number, options in enumerate((asked.but(threads=True, workers=1), asked.but(workers=3))):
        out = tmp_path / str(number)
        assert not reduce_night(open_night(telescope.folder), out, options).failed
        outs.append({p.relative_to(out): p.read_bytes() for p in sorted(out.rglob("*.fits"))})
    assert outs[0] == outs[1]


def test_a_frame_is_made_anew_when_one_beside_it_changes(
    telescope: Telescope, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = Field(telescope)
    night.expose(5)
    out = tmp_path / "out"
    words = ["reduce", str(telescope.folder), "-o", str(out), "--cosmics", "flag", "--mask"]
    words += ["--cosmics-frames", "2"]
    assert main(words) == 0
    assert main(["verify", str(out)]) == 0
    paths = sorted(out.glob("science*c.fits"))
    before = [path.stat().st_mtime_ns for path in paths]
    assert main(words) == 0
    assert [path.stat().st_mtime_ns for path in paths] == before
    with fits.open(sorted(telescope.folder.glob("science*"))[4], mode="update") as hdus:
        hdus[0].data[10:12, 10] += 50
    assert main(words) == 0
    changed = [path.stat().st_mtime_ns != time for path, time in zip(paths, before, strict=True)]
    assert changed == [False, False, False, True, True]  # the last, and the one before it
    capsys.readouterr()


def test_a_frame_that_cannot_be_read_costs_itself(telescope: Telescope, tmp_path: Path) -> None:
    night = Field(telescope)
    night.expose(5)
    damaged = sorted(telescope.folder.glob("science*"))[1]
    damaged.write_bytes(damaged.read_bytes()[:-20000])
    options = Options(cosmics="flag", mask=True, cosmics_frames=4)
    summary = reduce_night(open_night(telescope.folder), tmp_path / "out", options)
    assert [entry.name for entry in summary.failed] == [damaged.name]
    assert len(summary.science) == 4


def test_a_notebook_is_told_to_use_a_run(telescope: Telescope) -> None:
    Field(telescope).expose(3)
    frames = open_night(telescope.folder).select("science")
    with pytest.raises(RequestError, match="cosmics_frames"):
        daskred.calibrate(frames, options=Options(cosmics="flag", cosmics_frames=2, mask=True))
    with pytest.raises(RequestError, match="shutter"):
        daskred.calibrate(frames, options=Options(shutter=True))
