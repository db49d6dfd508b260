"""The walls of the house: imports run one way, each room keeps to what it is for."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import daskred
from daskred import simulate

PACKAGE = Path(daskred.__file__).parent
# Each room may import those before it.
ROOMS = (
    *("model", "kernels", "engine", "fits", "steps", "options", "cameras", "night", "products"),
    *("arrays", "simulation", "run", "measure", "report", "cli"),
)
# What a room may import of other packages, beside the standard library.
FOREIGN = {
    "model": {"numpy"},
    "kernels": {"numpy", "scipy", "astroscrappy"},
    "engine": {"distributed", "tqdm"},
    "fits": {"numpy", "astropy", "fsspec", "uncompresspy"},
    "steps": {"numpy"},
    "options": set(),
    "cameras": set(),
    "night": {"numpy"},
    "products": {"numpy"},
    "arrays": {"numpy", "dask", "xarray"},
    "simulation": {"numpy"},
    "run": {"numpy"},
    "measure": {"numpy", "sep"},
    "report": {"numpy", "matplotlib", "astropy", "jinja2", "PIL"},
    "cli": {"rich", "shtab"},
}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
IDS = [str(path.relative_to(PACKAGE)) for path in FILES]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@cache
def imported(path: Path) -> frozenset[str]:
    """Return all that a file imports when it runs, also inside functions."""
    names: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if is_for_types(node):
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        waiting += ast.iter_child_nodes(node)
    return frozenset(names)


def own(path: Path) -> set[str]:
    return {name for name in imported(path) if name.startswith("daskred.")}


def test_a_newcomer_sees_few_rooms() -> None:
    shown = {
        path.name for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "py.typed")
    }
    assert shown == {"__init__.py", "options.py", "simulation.py"} | {
        room for room in ROOMS if room not in ("options", "simulation")
    }
    assert len(shown) <= 16


@pytest.mark.parametrize("room", [room for room in ROOMS if (PACKAGE / room).is_dir()])
def test_each_room_says_what_it_is_for(room: str) -> None:
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
    assert "may import" in text
    assert "offers" in text


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_imports_run_one_way(path: Path) -> None:
    room = room_of(path)
    for name in own(path):
        assert ROOMS.index(name.split(".")[1]) <= ROOMS.index(room), name


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_rooms_keep_to_their_packages(path: Path) -> None:
    tops = {name.split(".")[0] for name in imported(path)}
    foreign = tops - set(sys.stdlib_module_names) - {"daskred", "__future__"}
    assert foreign <= FOREIGN[room_of(path)]


def test_only_the_view_imports_dask_and_xarray() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if {name.split(".")[0] for name in imported(path)} & {"dask", "xarray", "distributed"}
    }
    views = {f"arrays/{path.name}" for path in (PACKAGE / "arrays").glob("view*.py")}
    assert users <= {*views, "engine/cluster.py"}


def test_the_engine_knows_no_frames() -> None:
    for path in (PACKAGE / "engine").glob("*.py"):
        foreign = {name for name in own(path) if not name.startswith("daskred.engine.")}
        assert foreign <= {"daskred.model.errors"}, path


def test_no_two_files_import_each_other() -> None:
    modules = {
        ".".join(("daskred", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for path in FILES
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, (*above, name)
        if name in done or name not in modules:
            return
        for other in own(modules[name]):
            visit(other, (*above, name))
        done.add(name)

    for name in modules:
        visit(name, ())


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 450


def test_a_run_needs_neither_dask_nor_xarray(tmp_path: Path) -> None:
    simulate(tmp_path / "night", shape=(16, 16), n_darks=2, n_flats=2, n_science=1)
    text = (
        "import sys; from daskred.cli import main; status = main(sys.argv[1:]);"
        "found = {'dask', 'xarray', 'distributed', 'astropy'} & set(sys.modules);"
        "sys.exit(f'{status} {sorted(found)}' if status or found else 0)"
    )
    command = [sys.executable, "-c", text, "reduce", str(tmp_path / "night"), "-o"]
    found = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_help_needs_no_numpy() -> None:
    text = (
        "import sys; from daskred.cli.program import command_line;"
        "words = ['reduce', '--help-all'];"
        "command_line(words); sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", text]).returncode == 0
