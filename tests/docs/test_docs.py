"""The documentation is built without a warning, and what stands in it runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import daskred

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in (*DOCS.rglob("*.md"), ROOT / "README.md")
    if not {"_build", "api"} & set(path.relative_to(ROOT).parts)
)
_PREPARE = re.compile(r"^(?:% |<!-- )prepare: (.*?)(?: -->)?$", re.MULTILINE)
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """Return what a page runs: ``sh`` and ``python``; ``console`` is only to be read."""
    return [(match[1], match[2]) for match in _BLOCK.finditer(page.read_text())]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks_of(page)],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_what_a_page_says_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for command in _PREPARE.findall(page.read_text()):
        subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True, capture_output=True)
    names: dict[str, Any] = {}
    for language, text in blocks_of(page):
        if language == "python":
            exec(compile(text, str(page), "exec"), names)
            continue
        found = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, f"{text}{found.stdout}{found.stderr}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", folder / "trees"]
    found = subprocess.run(
        [*map(str, command), str(DOCS), str(folder / "site")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return folder / "site"


def test_the_site_has_what_the_code_tells_and_pictures_of_what_it_ran(site: Path) -> None:
    options = (site / "reference/options.html").read_text()
    assert "overscan_reject_sigma" in options
    commands = (site / "reference/commands.html").read_text()
    assert "daskred completion" in commands
    api = (site / "reference/api.html").read_text()
    for name in daskred.__all__:
        assert name == "__version__" or f"daskred.{name}" in api, name
    assert "amplitude 3.0" in (site / "tutorial.html").read_text()
    assert len(list((site / "_images").glob("*.png"))) >= 6


def test_pages_need_nothing_from_elsewhere(site: Path) -> None:
    text = (site / "index.html").read_text()
    loaded = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]*)"', text)
    assert loaded == []


def test_examples_for_systems_are_sound(tmp_path: Path) -> None:
    """A batch job runs here without its batch system; units of systemd are read by it."""
    subprocess.run(["bash", "-n", str(DOCS / "examples/daskred.slurm")], check=True)
    daskred.simulate(tmp_path / "night", shape=(32, 32), n_darks=3, n_flats=3, n_science=3)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    words = ["bash", str(DOCS / "examples/daskred.slurm"), "night", "out"]
    found = subprocess.run(
        words, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )
    assert found.returncode == 0, found.stderr
    assert len(list((tmp_path / "out").glob("ktwo*/*c.fits"))) == 3
    assert not list(tmp_path.glob("daskred-*.json"))
