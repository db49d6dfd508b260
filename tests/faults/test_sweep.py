"""A sample of the sweep: whatever system call fails once, nothing is wrong, lost or left behind."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.sweep import CASES, KINDS, Sweep, build_shim, compiler

needs_compiler = pytest.mark.skipif(
    compiler() is None, reason="no C compiler, which makes what lets calls fail"
)


@needs_compiler
@pytest.mark.parametrize(("name", "n_faults"), [("plain", 4), ("planes", 5), ("resume planes", 4)])
def test_any_call_may_fail_once(tmp_path: Path, name: str, n_faults: int) -> None:
    sweep = Sweep(CASES[name], tmp_path, build_shim(tmp_path))
    n_calls = len(sweep.calls())
    assert n_calls > 300
    chosen = random.Random(name)
    faults = [(chosen.randint(1, n_calls), chosen.choice(KINDS)) for _ in range(n_faults)]
    assert [wrong for at, kind in faults if (wrong := sweep.judge(at, kind))] == []


@needs_compiler
@pytest.mark.parametrize("name", ["planes", "resume planes"])
def test_a_finished_master_may_be_unreadable_for_a_moment(tmp_path: Path, name: str) -> None:
    sweep = Sweep(CASES[name], tmp_path, build_shim(tmp_path))
    calls = [
        (number, call)
        for number, call in enumerate(sweep.calls(), start=1)
        if call.endswith("MasterDark_10s.fits")
    ]
    assert {"open", "lseek", "close"} <= {call.split()[0] for _, call in calls}
    faults = [(at, kind) for at, _ in calls for kind in ("EIO", "end", "ENOENT")]
    faults = random.Random(name).sample(faults, 3)
    assert [wrong for at, kind in faults if (wrong := sweep.judge(at, kind))] == []
