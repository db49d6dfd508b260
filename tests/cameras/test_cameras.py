"""Camera files: rules as data, and clear words for what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from daskred.cameras.read import read_camera
from daskred.fits.header import Header, format_card
from daskred.model.errors import RequestError
from daskred.night.kinds import kind_of
from daskred.night.signs import signs_of


def camera_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "camera.toml"
    path.write_text(text)
    return path


def test_a_camera_file_adds_to_the_common_rules(tmp_path: Path) -> None:
    path = camera_file(tmp_path, 'name = "mine"\n[kind_cards]\ntype = ["WHATISIT"]\n')
    camera = read_camera(path)
    header = Header((format_card("WHATISIT", "dark"), format_card("IMAGETYP", "Light Frame")))
    assert kind_of("x.fits", signs_of("x.fits", [header], 5.0, camera))[0] == "dark"
    assert camera.name == "mine"
    assert camera.words == read_camera().words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[fact]\n", r"unknown table \[fact\]"),
        ("[facts]\nexposure = []\n", "unknown key 'exposure'"),
        ("[facts]\nexptime_s = 3\n", "list of texts"),
        ("[tolerance]\nexptime_s = 'x'\n", "must be a number"),
        ("[[processed]]\ncard = 'X'\nmeans = 'odd'\n", "means one of"),
        ("[[processed]]\nmeans = 'master'\n", "names cards, a file or a folder"),
        ("[targets]\npatterns = ['(']\n", "no regular expression"),
        ("facts = 3\n", "must be a table"),
        ("not toml", "is no TOML"),
    ],
)
def test_a_wrong_camera_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        read_camera(camera_file(tmp_path, text))


def test_a_camera_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        read_camera(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [(300, 300.1, True), (10, 3, False), (0.05, 0.051, True), (60, 61, False), (0, 0, True)],
)
def test_exposure_times_within_the_tolerance(first: float, second: float, same: bool) -> None:
    assert read_camera().same_exptime(first, second) is same
