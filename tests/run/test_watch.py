"""A night that arrives is reduced as it comes, and ends as one run over all of it would."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daskred import open_night, reduce_night, simulate
from daskred.night.known import Known
from daskred.products.log import read_log

SHAPE = (48, 64)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    simulate(folder / "night", shape=SHAPE, n_bias=3, n_darks=4, n_flats=3, n_science=8)
    reduce_night(open_night(folder / "night"), folder / "out")
    return folder


def products(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*.fits"))}


def start(night: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "daskred.cli", "watch", str(night), "-o"]
    return subprocess.Popen(
        [*command, str(out), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def frames_in(whole: Path) -> list[Path]:
    return sorted((whole / "night").rglob("*.fits"))


def arrive(path: Path, whole: Path, night: Path, in_pieces: bool = False) -> Path:
    target = night / path.relative_to(whole / "night")
    target.parent.mkdir(parents=True, exist_ok=True)
    content = path.read_bytes()
    with target.open("wb") as file:
        file.write(content[: len(content) // 2])
        if in_pieces:
            file.flush()
            time.sleep(0.3)
        file.write(content[len(content) // 2 :])
    return target


def wait_for(path: Path, seconds: float = 30.0) -> float:
    began = time.monotonic()
    while not path.exists():
        if time.monotonic() - began > seconds:
            raise TimeoutError(path)
        time.sleep(0.05)
    return time.monotonic() - began


def test_a_night_that_arrives_ends_as_one_run_would(whole: Path, tmp_path: Path) -> None:
    night, out = tmp_path / "night", tmp_path / "out"
    night.mkdir()
    process = start(night, out, "--settle", "0", "--end-after", "3")
    paths = frames_in(whole)
    random.Random(1).shuffle(paths)
    for number, path in enumerate(paths):
        arrive(path, whole, night, in_pieces=number % 3 == 0)
        time.sleep(0.1)
    told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert products(out) == products(whole / "out")
    assert "c.fits" in told[1]
    # Those that were there are told again only when a request is another one.
    lines = [line for line in read_log(out) if line["event"] == "product"]
    made = sum(line["outcome"] == "made" for line in lines)
    assert len(lines) - made < 2 * len(products(out))


def test_science_frames_are_calibrated_as_they_come(whole: Path, tmp_path: Path) -> None:
    night, out = tmp_path / "night", tmp_path / "out"
    paths = frames_in(whole)
    science = [path for path in paths if path.parent.name.startswith("ktwo")]
    for path in paths:
        if path not in science:
            arrive(path, whole, night)
    process = start(night, out, "--settle", "0", "--report")
    wait_for(out / "masters/MasterFlat_BG40.fits")
    for come in (science[:2], science[2:3]):
        for target in [arrive(path, whole, night).relative_to(night) for path in come]:
            wait_for((out / target).with_name(f"{target.stem}c.fits"))
    assert (out / "report.html").exists()
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert len(list((out / science[0].parent.name).glob("*c.fits"))) == 3
    # Also those of rounds before, which the last ones have not looked at again.
    report = json.loads((out / "report.json").read_text())
    assert len([row for row in report["frames"] if row["kind"] == "science"]) == 3


def test_a_set_is_complete_by_its_number(whole: Path, tmp_path: Path) -> None:
    night, out = tmp_path / "night", tmp_path / "out"
    for path in frames_in(whole):
        if "dark_10s" in path.name:
            arrive(path, whole, night)
    words = ("--settle", "600", "--complete", "dark=4")
    process = start(night, out, *words)
    wait_for(out / "masters/MasterDark_10s.fits")
    process.terminate()
    told = process.communicate(timeout=60)
    assert process.returncode == 0, told


def test_a_watch_that_is_killed_goes_on(whole: Path, tmp_path: Path) -> None:
    night, out = tmp_path / "night", tmp_path / "out"
    night.mkdir()
    chance = random.Random(7)
    paths = frames_in(whole)
    chance.shuffle(paths)
    for block in range(0, len(paths), 8):
        process = start(night, out, "--settle", "0")
        for path in paths[block : block + 8]:
            arrive(path, whole, night)
            time.sleep(0.05)
        time.sleep(chance.uniform(0.5, 2.0))
        process.kill()
        process.communicate()
    process = start(night, out, "--settle", "0", "--end-after", "2")
    told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert products(out) == products(whole / "out")
    leftovers = [path for path in out.rglob("*") if path.name.startswith(".")]
    assert leftovers == []


def test_a_folder_that_vanishes_is_waited_for_and_nothing_is_lost(
    whole: Path, tmp_path: Path
) -> None:
    night, out = tmp_path / "night", tmp_path / "out"
    shutil.copytree(whole / "night", night)
    process = start(night, out, "--settle", "0", "--end-after", "3")
    wait_for(out / "ktwo220274129/ktwo220274129-0003c.fits")
    night.rename(tmp_path / "away")
    time.sleep(1.2)
    (tmp_path / "away").rename(night)
    # Nobody can make again what was made of a frame that has gone.
    next(night.rglob("ktwo*-0003.fits")).unlink()
    told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "no such file or folder" in told[1]
    assert "kept, though ktwo220274129/ktwo220274129-0003.fits is no longer there" in told[1]
    assert products(out) == products(whole / "out")


def test_a_frame_that_stays_unfinished_fails_at_the_end_alone(whole: Path, tmp_path: Path) -> None:
    night, out = tmp_path / "night", tmp_path / "out"
    shutil.copytree(whole / "night", night)
    cut = next(night.rglob("ktwo*-0003.fits"))
    content = cut.read_bytes()
    cut.write_bytes(content[:4000])
    process = start(night, out, "--settle", "0", "--end-after", "3")
    wait_for(out / cut.parent.name / "ktwo220274129-0004c.fits")
    assert not (out / cut.parent.name / "ktwo220274129-0003c.fits").exists()
    cut.write_bytes(content)
    wait_for(out / cut.parent.name / "ktwo220274129-0003c.fits")
    cut.write_bytes(content[:4000])
    told = process.communicate(timeout=120)
    assert process.returncode == 1, told
    assert "truncated" in told[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--settle", "soon"), "is no number of seconds"),
        (("--complete", "science=3"), "the kind is bias, dark or flat"),
        (("--complete", "dark=none"), "is no whole number"),
        (("--library", "nowhere"), "nowhere: no such folder"),
        (("--master", "dark=nowhere.fits"), "--master dark=nowhere.fits"),
    ],
)
def test_wrong_requests_are_refused(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    process = start(tmp_path, tmp_path / "out", *words)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 2
    assert told in text
    assert "watching" not in text


def test_products_of_flats_that_have_gone_are_kept(whole: Path, tmp_path: Path) -> None:
    night, out = tmp_path / "night", tmp_path / "out"
    shutil.copytree(whole / "night", night)
    process = start(night, out, "--settle", "0")
    for path in frames_in(whole):
        if path.parent.name.startswith("ktwo"):
            wait_for((out / path.parent.name) / f"{path.stem}c.fits")
    shutil.rmtree(night / "flat")
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)
    assert process.returncode == 1, told  # the whole night has no flats
    assert "c.fits: kept, though flat/flat-01.fits" in told[1]
    assert len(list(out.rglob("*c.fits"))) == 8
    assert (out / "masters/MasterFlat_BG40.fits").exists()


def test_a_watch_that_starts_again_need_not_wait_for_masters_that_are_there(
    whole: Path, tmp_path: Path
) -> None:
    night, out = tmp_path / "night", tmp_path / "out"
    shutil.copytree(whole / "night", night)
    last = frames_in(whole)[-1]
    (night / last.relative_to(whole / "night")).unlink()
    reduce_night(open_night(night), out)
    process = start(night, out, "--settle", "600")
    time.sleep(1)
    target = arrive(last, whole, night).relative_to(night)
    wait_for((out / target).with_name(f"{target.stem}c.fits"))
    process.terminate()
    told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert products(out) == products(whole / "out")


def test_a_night_that_has_gone_at_the_end_is_no_success(whole: Path, tmp_path: Path) -> None:
    night, out = tmp_path / "night", tmp_path / "out"
    shutil.copytree(whole / "night", night)
    process = start(night, out, "--settle", "0")
    wait_for(out / frames_in(whole)[-1].parent.name / f"{frames_in(whole)[-1].stem}c.fits")
    shutil.rmtree(night)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)
    assert process.returncode == 3, told
    assert "are gone, or cannot be read; what was made of them stays" in told[1]
    assert products(out) == products(whole / "out")


def test_what_could_not_be_read_is_read_again(whole: Path, tmp_path: Path) -> None:
    known, path = Known(), tmp_path / "d.fits"
    content = frames_in(whole)[0].read_bytes()
    path.write_bytes(bytes(len(content)))
    moment = path.stat().st_mtime_ns
    assert not open_night(tmp_path, known=known).frames
    with path.open("r+b") as file:  # in place, of the same length, and dated back
        file.write(content)
    os.utime(path, ns=(moment, moment))
    assert len(open_night(tmp_path, known=known).frames) == 1
    with path.open("r+b") as file:
        file.write(frames_in(whole)[-1].read_bytes())
    os.utime(path, ns=(moment, moment))
    (frame,) = open_night(tmp_path, known=known).frames
    assert frame.kind == "science"


def test_a_product_of_which_a_stopped_run_could_not_tell_is_told_by_the_next(
    whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole / "out", out)
    log = out / "daskred-log.jsonl"
    lines = [line for line in log.read_text().splitlines() if "0003c.fits" not in line]
    log.write_text("\n".join(lines[:-1]) + "\n")  # as where it was killed, before its end
    for _ in range(2):
        reduce_night(open_night(whole / "night"), out)
    told = [line for line in read_log(out) if "0003c.fits" in line.get("product", "")]
    assert [line["outcome"] for line in told] == ["was there"]
