"""The walls of the house: imports run one way, kernels are pure numpy, one module touches FITS."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import daskred

PACKAGE = Path(daskred.__file__).parent
# Each module may import those in rows above its own, and those before it in its row.
ORDER = [
    ["errors", "detector", "header", "frames", "progress", "checksum", "storage"],
    [
        "kernels",
        "kernels.scratch",
        "kernels.median",
        "kernels.level",
        "kernels.correct",
        "kernels.flat",
        "kernels.ordered",
        "kernels.reject",
        "kernels.noise",
        "kernels.overscan",
        "kernels.prepare",
        "kernels.combine",
        "kernels.transfer",
    ],
    [
        "files",
        "isolation",
        "fitsfile",
        "fitspixels",
        "fitswrite",
        "raster",
        "cameras",
        "facts",
        "amplifiers",
        "prepared",
        "classify",
        "night",
    ],
    ["plan", "matching", "grouping", "planning", "planes", "pack"],
    ["provenance", "products", "simulation"],
    ["blocks", "stack", "masters", "correction", "calibrated", "tasks"],
    ["runlog", "pools", "execute", "cluster"],
    ["options", "standing", "unpack", "combined", "combine", "masterplanes", "memory"],
    ["checks", "run", "reduce", "verification", "characterization", "badpixels", "draft"],
    ["write", "display", "inspection", "demo"],
    ["terminal", "arguments", "cli"],
]
MODULES = [module for row in ORDER for module in row]


def imported(module: str) -> set[str]:
    """Return every module that a module's source imports, also inside functions."""
    path = PACKAGE / (module.replace(".", "/") + ".py")
    if not path.exists():
        path = PACKAGE / module / "__init__.py"
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_every_module_has_its_place() -> None:
    files = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")} - {Path("__init__.py")}
    found = {
        str(path.with_suffix("")).replace("/", ".").removesuffix(".__init__") for path in files
    }
    assert found == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    own = {name.removeprefix("daskred.") for name in imported(module) if name != "daskred"}
    inside = own & set(MODULES)
    assert inside <= set(MODULES[: MODULES.index(module)])


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("kernels")])
def test_kernels_are_pure_numpy(module: str) -> None:
    standard = {"__future__", "collections", "dataclasses", "functools", "math", "threading"}
    standard |= {"typing"}
    allowed = {"numpy", "scipy", "daskred", *standard}
    assert {name.split(".")[0] for name in imported(module)} <= allowed


@pytest.mark.parametrize("module", MODULES)
def test_dask_and_astropy_are_in_few_hands(module: str) -> None:
    tops = {name.split(".")[0] for name in imported(module)}
    if module not in {"stack", "masters", "correction", "cluster", "write"}:
        assert not tops & {"dask", "distributed", "xarray"}
    if module not in {"fitspixels", "pack", "display"}:
        assert "astropy" not in tops


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_short(module: str) -> None:
    path = PACKAGE / (module.replace(".", "/") + ".py")
    if path.exists():
        assert len(path.read_text().splitlines()) <= 450
