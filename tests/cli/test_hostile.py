"""Names of files and values of headers that try to control a terminal, or to lead elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from daskred.products.log import LOG_NAME
from tests.conftest import NightMaker

ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b31m\u202e"
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")


def with_card(path: Path, keyword: str, value: str) -> None:
    """Write a card that astropy would not write, at the place of one that stands there."""
    data = path.read_bytes()
    place = data.index(f"{keyword:<8}=".encode())
    card = f"{keyword:<8}= '{value}'".ljust(80)[:80].encode("latin-1", "replace")
    path.write_bytes(data[:place] + card + data[place + 80 :])


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "NIGHT"),
        ("reduce", "NIGHT", "-o", "OUT"),
        ("reduce", "NIGHT", "-o", "OUT", "--dry-run"),
        ("inspect", "NIGHT"),
        ("mask", "NIGHT", "-o", "OUT.fits"),
        ("reduce", f"NIGHT/{ESCAPES}", "-o", "OUT"),
    ],
    ids=lambda words: " ".join(words[:1]),
)
def test_nothing_in_a_night_controls_the_terminal_or_the_log(
    make_night: NightMaker, tmp_path: Path, words: tuple[str, ...]
) -> None:
    make_night.standard()
    for path in (*make_night.folder.glob("f-*.fits"), *make_night.folder.glob("s-*.fits")):
        with_card(path, "FILTER", f"../../{ESCAPES}V")
    (make_night.folder / f"{ESCAPES}\n[bold]broken.fits").write_bytes(b"SIMPLE  = \x1b[2J")
    (make_night.folder / "s-1.fits").rename(make_night.folder / f"s-1{ESCAPES}\n.fits")
    out = tmp_path / "out"
    places = {"NIGHT": str(make_night.folder), "OUT": str(out)}
    given = [re.sub("NIGHT|OUT", lambda found: places[found.group()], word) for word in words]
    command = [sys.executable, "-m", "daskred.cli", *given]
    ended = subprocess.run(command, capture_output=True, check=False)
    told = (ended.stdout + ended.stderr).decode()
    assert r"\x1b[2J" in told
    assert not CONTROLS.search(told)
    assert "Traceback" not in told
    if (out / LOG_NAME).exists():
        assert not CONTROLS.search((out / LOG_NAME).read_text())
        assert all(line.startswith("{") for line in (out / LOG_NAME).read_text().splitlines())
    assert {path.parent.name for path in tmp_path.rglob("Master*")} <= {"masters"}
