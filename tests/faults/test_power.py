"""Power cuts: a model of the calls that a run makes, in which each may be the last one.

What was written, and not synced since, may be lost, or lost in part; a name that was given may be
there or not. So a product is legal in every such state if its bytes were synced before it got its
name, and nothing was written to it afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from daskred.fits.parts import TEMPORARY_MARK
from daskred.products.log import LOG_NAME
from tests.faults.sweep import CASES, Case, Sweep, build_shim, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler, which makes the trace")

WRITES = {"write", "pwrite", "pwritev", "ftruncate", "posix_fallocate"}
SYNCS = {"fsync", "fdatasync"}


def spoilt_by_power_cuts(calls: Iterable[str]) -> tuple[set[str], set[str], set[str]]:
    """Return which products may be torn after some call, which may be lost at the end; and all."""
    unsafe: set[str] = set()
    torn: set[str] = set()
    lost: set[str] = set()
    named: set[str] = set()
    for call in calls:
        name, _, path = call.partition(" ")
        if name in WRITES:
            unsafe.add(path)
            torn |= {path} & named
        elif name in SYNCS:
            unsafe.discard(path)
            lost = {product for product in lost if str(Path(product).parent) != path}
        elif name == "rename":
            source, _, path = path.partition("\t")
            torn |= {path} if source in unsafe else set()
            lost.add(path)
            named.add(path)
    return torn, lost, named


def calls_of(case: Case, folder: Path) -> tuple[Sweep, list[str]]:
    folder.mkdir()
    sweep = Sweep(case, folder, build_shim(folder))
    return sweep, sweep.calls()


@pytest.mark.parametrize("name", ["threads", "planes", "fz", "characterize"])
def test_after_every_call_the_power_may_be_cut(tmp_path: Path, name: str) -> None:
    sweep, calls = calls_of(CASES[name], tmp_path / name)
    torn, lost, named = spoilt_by_power_cuts(calls)
    assert torn == set()
    assert lost == set()
    products = {path for path in sweep.products if Path(path).suffix != ".png"}
    assert {str(Path(path).relative_to(sweep.out)) for path in named} >= products
    assert not any(TEMPORARY_MARK in path for path in named)


def test_folders_and_the_log_are_safe_at_the_end(tmp_path: Path) -> None:
    sweep, calls = calls_of(CASES["plain"], tmp_path / "a")
    assert spoilt_by_power_cuts(calls)[:2] == (set(), set())
    made = {call.split()[1] for call in calls if call.startswith("mkdir ")}
    last = max(n for n, call in enumerate(calls) if call.startswith("rename "))
    synced = {call.split()[1] for call in calls[last:] if call.split()[0] in SYNCS}
    assert {str(Path(folder).parent) for folder in made} == {str(sweep.out), str(sweep.out.parent)}
    assert str(sweep.out) in synced  # what lies above is not in the trace
    of_log = [call.split()[0] for call in calls if call.endswith(LOG_NAME)]
    assert [name for name in of_log if name in WRITES | SYNCS][-1] in SYNCS


@pytest.mark.parametrize("name", ["plain", "mask"])
def test_whoever_does_not_wait_may_lose_products(tmp_path: Path, name: str) -> None:
    quick = replace(CASES[name], options=(*CASES[name].options, "--no-sync"))
    sweep, calls = calls_of(quick, tmp_path / "quick")
    torn, _, named = spoilt_by_power_cuts(calls)
    assert torn == named == {str(sweep.out / product) for product in sweep.products}
    assert not any(call.split()[0] in SYNCS for call in calls)
