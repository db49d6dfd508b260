"""Every benchmark runs, as small as it can be, so that none rots."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", name, "--tiny", "--turns", "1"]
    found = subprocess.run(
        [*command, "--folder", str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert found.returncode == 0, found.stderr
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    results = [json.loads(line) for line in lines]
    assert {one["benchmark"] for one in results} == {name}
    assert all(one["seconds"] or one["extra"] for one in results)


def test_benchmarks_are_listed_and_unknown_ones_refused() -> None:
    command = [sys.executable, "-m", "benchmarks"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert all(name in listed.stdout for name in NAMES)
    unknown = subprocess.run(
        [*command, "nonsense"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert unknown.returncode == 2
    assert "there are median, kernels, mode" in unknown.stderr
