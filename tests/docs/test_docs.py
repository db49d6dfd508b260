"""The documentation is built without a warning, and what stands in it runs."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

import daskred
from daskred.cli.program import COMMANDS
from tests.docs.nights import BESIDE, of_any_night
from tests.processes import kill_group, run

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in (*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md")
    if not {"_build", "api"} & set(path.relative_to(ROOT).parts)
)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What makes an environment of its own, or a container: `.ci/run` runs the first two.
MAKES_ENVIRONMENTS = {
    "README.md": 2,
    "CONTRIBUTING.md": 2,
    "docs/index.md": 1,
    "docs/tutorial.md": 1,
    "docs/how-to/unattended.md": 1,
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path, *languages: str) -> list[tuple[str, str]]:
    """Return what a page shows in some languages; ``sh`` and ``python`` are run."""
    found = [(match[1], match[2]) for match in _BLOCK.finditer(page.read_text())]
    return [(language, text) for language, text in found if language in languages]


def run_in_shell(text: str) -> None:
    """Run commands, and end those that they have left at work."""
    with tempfile.TemporaryFile("w+") as told:  # which they keep open
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", text],
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
            text=True,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=240)
        finally:
            kill_group(process)
        told.seek(0)
        assert status == 0, f"{text}{told.read()}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks_of(page, "sh", "python")], ids=name_of
)
def test_what_a_page_says_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    prepare = BESIDE.get(name_of(page))
    places = prepare(request) if prepare else {}
    names: dict[str, Any] = {"__name__": "__main__"}
    for language, text in blocks_of(page, "sh", "python"):
        for place, here in places.items():
            text = text.replace(place, here)
        if language == "python":
            exec(compile(text, str(page), "exec"), names)
        else:
            run_in_shell(text)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_of_its_help_runs(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if command != "simulate":
        of_any_night()
        Path("PRODUCTS").rename("OUT")
        Path(".local/share/bash-completion/completions").mkdir(parents=True)
    found = subprocess.run(
        [sys.executable, "-m", "daskred.cli", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    (example,) = re.findall(r"^example: (.*)$", found.stdout, re.MULTILINE)
    run_in_shell(f"{example} --end-after 1 --settle 1" if command == "watch" else example)


def test_whatever_else_pages_show_is_no_example() -> None:
    """Files of cameras are read below; the rest makes environments."""
    found = {name_of(page): len(blocks_of(page, "bash", "console")) for page in PAGES}
    assert {page: number for page, number in found.items() if number} == MAKES_ENVIRONMENTS
    others = {name for page in PAGES for name in re.findall(r"^```(\S.*)$", page.read_text(), re.M)}
    assert {name for name in others if not name.startswith("{")} <= {
        *("sh", "python", "bash", "console", "toml", "text")
    }
    assert "{code-block}" not in "".join(others)


def test_the_first_page_begins_as_the_readme_does() -> None:
    (_, first), *_ = blocks_of(ROOT / "README.md", "bash")
    ((_, same),) = blocks_of(DOCS / "index.md", "console")
    assert same == f"$ {first}"


def test_files_of_cameras_and_of_options_are_sound(tmp_path: Path) -> None:
    daskred.simulate(tmp_path / "night", shape=(16, 16), n_darks=2, n_flats=2, n_science=1)
    texts = [(page, text) for page in PAGES for _, text in blocks_of(page, "toml")]
    assert len(texts) >= 3
    for number, (page, text) in enumerate(texts):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        if page.stem == "camera":
            assert daskred.read_camera(str(path))
        else:
            assert run("plan", tmp_path / "night", "--config", path)[0] == 0


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
    """A batch job runs here without its batch system."""
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


def test_what_the_service_runs_leaves_each_night_its_own_products(tmp_path: Path) -> None:
    """As systemd expands it, in a home whose name has a blank."""
    home = tmp_path / "a home"
    (home / ".venv/bin").mkdir(parents=True)
    (home / "reduced").mkdir()
    (home / ".venv/bin/daskred").symlink_to(Path(sys.executable).parent / "daskred")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read(DOCS / "examples/daskred.service")
    told = {key: value.replace("%h", str(home)) for key, value in unit["Service"].items()}
    environment = dict(word.split("=", 1) for word in shlex.split(told["Environment"]))
    words = shlex.split(told["ExecStart"].replace("$$", "$"))
    for night in ("monday", "tuesday"):
        daskred.simulate(home / "nights" / night, shape=(32, 32), n_darks=3, n_flats=3, n_science=2)
        last = home / "nights/last"
        last.unlink(missing_ok=True)
        last.symlink_to(night)
        subprocess.run(words, check=True, capture_output=True, env={**os.environ, **environment})
        assert len(list((home / "reduced" / night).glob("ktwo*/*c.fits"))) == 2
        assert (home / "reduced" / night / "report.html").exists()
    assert (home / "reduced/daskred.prom").exists()
