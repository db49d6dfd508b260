"""The promise of --memory: a model, a refusal, and the peak of real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import peak_memory, python
from benchmarks.memory import least_memory
from daskred import Options, RequestError, open_night, simulate
from daskred.model.option import size as parse_size
from daskred.run.budget import MB, budget, control_groups


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory") / "night"
    simulate(folder, shape=(700, 900), n_darks=9, n_flats=9, n_science=4)
    return folder


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 5e8), ("2 GiB", 2**31), ("1e9", 1e9), ("1.5gb", 1.5e9)]
)
def test_sizes(text: str, size: float) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-5MB", "0", "5 parsecs"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(RequestError, match="no size"):
        Options(memory=text)


def test_workers_and_tiles_follow_from_the_limit(large: Path) -> None:
    frames = open_night(large).raw
    roomy = budget(frames, 9, 4, 4000 * MB)
    assert roomy.n_workers == 4
    tight = budget(frames, 9, 4, 260 * MB)
    assert tight.n_workers < 4
    for own, limit in ((roomy, 4000), (tight, 260)):
        assert own.needed_bytes <= limit * MB


def test_a_limit_that_is_too_small_is_refused_with_the_least_that_would_do(large: Path) -> None:
    frames = open_night(large).raw
    with pytest.raises(RequestError, match="would do") as caught:
        budget(frames, 9, 2, 50 * MB)
    least = int(str(caught.value).split(";")[1].split()[0])
    assert budget(frames, 9, 2, least * MB).n_workers == 1
    with pytest.raises(RequestError, match="would do"):
        budget(frames, 9, 2, (least - 1) * MB)


@pytest.mark.parametrize("kind", ["--processes", "--threads"])
def test_all_processes_together_stay_below_the_limit(
    large: Path, tmp_path: Path, kind: str
) -> None:
    command = python("-m", "daskred.cli", "reduce", str(large), "-o", str(tmp_path / "out"))
    _, peak = peak_memory([*command, "--workers", "2", "--memory", "260MB", kind])
    assert peak < 260 * MB


@pytest.mark.parametrize(
    ("words", "n_each", "side"),
    [
        (("reduce", "--normalize", "exact-mode", "--dtype", "float64", "--masters-only"), 2, 2048),
        (("reduce", "--compress", "lossless"), 2, 2048),
        (("mask",), 5, 1400),
    ],
)
def test_the_least_that_would_do_does(
    tmp_path: Path, words: tuple[str, ...], n_each: int, side: int
) -> None:
    night = tmp_path / "night"
    simulate(night, shape=(side, side), n_darks=n_each, n_flats=n_each, n_science=1)
    command = python("-m", "daskred.cli", words[0], str(night), "-o", str(tmp_path / "out"))
    least = least_memory([*command, *words[1:]])
    assert not (tmp_path / "out").exists()
    _, peak = peak_memory([*command, *words[1:], "--memory", f"{least}MB"])
    assert 0.4 * least * MB < peak < least * MB


@pytest.mark.parametrize(
    ("told", "below", "limit", "used"),
    [
        ("0::/user.slice/night.service\n", "", "memory.max", "memory.current"),
        (
            "5:devices:/\n4:memory:/user.slice/night.service\n",
            "memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
        ),
    ],
    ids=["unified", "of old"],
)
def test_limits_of_control_groups_hold_in_those_below(
    tmp_path: Path, told: str, below: str, limit: str, used: str
) -> None:
    """A service has no limit of its own, but its slice has."""
    found = control_groups(told, tmp_path)
    assert [folder.relative_to(tmp_path / below).as_posix() for folder, _, _ in found] == [
        "user.slice/night.service",
        "user.slice",
        ".",
    ]
    assert all((one, other) == (limit, used) for _, one, other in found)
