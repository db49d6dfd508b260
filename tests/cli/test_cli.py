"""The command as its users run it: real processes, their output and their exit status."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from astropy.io import fits
from PIL import Image

from daskred.report.pictures import panels_of
from tests.conftest import NightMaker, tree

COMMANDS = ("reduce", "plan", "verify", "inspect", "show", "simulate", "demo")


def daskred(
    *arguments: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "daskred.cli", *map(str, arguments)]
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "MPLCONFIGDIR": "/tmp", **(env or {})}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, check=False, env=environment
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str) -> None:
    found = daskred(command, "--help")
    assert found.returncode == 0
    assert f"example: daskred {command}" in found.stdout
    assert "exit status" in found.stdout


def test_version() -> None:
    found = daskred("--version")
    assert found.stdout.startswith("daskred 0.")


def test_daskred_alone_says_what_to_type() -> None:
    found = daskred()
    assert found.returncode == 2
    assert "daskred reduce NIGHT -o OUT" in found.stdout
    assert len(found.stdout.splitlines()) == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("reduc", "n"), "there is no command reduc; did you mean reduce?"),
        (("reduce", "n", "-o", "x", "--reprot"), "no option --reprot; did you mean --report?"),
        (("reduce", "n", "-o", "x", "--mem", "1GB"), "no option --mem; did you mean --memory?"),
        (("reduce", "n", "-o", "x", "--combine", "medain"), "did you mean median?"),
        (("reduce", "n"), "the following arguments are required: -o/--out"),
    ],
)
def test_a_wrong_word_is_one_line_with_the_nearest(
    words: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    found = daskred(*words, cwd=tmp_path)
    assert found.returncode == 2
    assert found.stdout == ""
    assert len(found.stderr.splitlines()) == 1
    assert told in found.stderr
    assert not list(tmp_path.iterdir())


def test_a_run_again_keeps_the_name_and_tells_the_log_one_line(night: Path, tmp_path: Path) -> None:
    daskred("reduce", night, "-o", "out", "--processed-by", "Ada", cwd=tmp_path)
    before, log = tree(tmp_path / "out"), tmp_path / "out/daskred-log.jsonl"
    n_lines = len(log.read_text().splitlines())
    again = daskred("reduce", night, "-o", "out", cwd=tmp_path)
    assert "7 were there already" in again.stdout
    lines = log.read_text().splitlines()
    daskred("reduce", night, "-o", "out", cwd=tmp_path)
    assert len(log.read_text().splitlines()) == len(lines) + 1 == n_lines + 2
    after = tree(tmp_path / "out")
    for name in (before.keys() | after.keys()) - {"daskred-log.jsonl"}:
        assert before[name] == after[name]
    product = next((tmp_path / "out").rglob("*c.fits"))
    assert "processed by Ada" in str(fits.getheader(product)["COMMENT"])
    product.unlink()
    daskred("reduce", night, "-o", "out", cwd=tmp_path)
    assert "processed by Ada" in str(fits.getheader(product)["COMMENT"])
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events[-5:] == ["again", "again", "run", "product", "end"]
    found = daskred("verify", "out", cwd=tmp_path)
    assert found.returncode == 0, found.stdout


def test_many_frames_that_failed_are_a_row(night: Path, tmp_path: Path) -> None:
    copy = tmp_path / "night"
    shutil.copytree(night, copy)
    shutil.rmtree(copy / "dark")
    found = daskred("reduce", copy, "-o", "out", cwd=tmp_path)
    assert found.returncode == 1
    assert max(map(len, found.stdout.splitlines())) < 400
    assert ", 7 frames" in found.stdout
    lines = (tmp_path / "out/daskred-log.jsonl").read_text().splitlines()
    named = [json.loads(line) for line in lines if '"left out"' in line]
    assert sum(line["failed"] for line in named) >= 7


def test_reduce_prints_results_on_stdout_and_progress_on_stderr(
    night: Path, tmp_path: Path
) -> None:
    found = daskred("reduce", night, "-o", "out", "--processed-by", "Ada", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "masters/MasterDark_10s.fits" in found.stdout
    assert "7 science frames calibrated: out" in found.stdout
    assert "Science frames: 7 frames" in found.stderr
    assert "Science frames" not in found.stdout
    again = daskred("reduce", night, "-o", "out", "--processed-by", "Ada", cwd=tmp_path)
    assert again.returncode == 0
    assert "0 science frames calibrated, 7 were there already" in again.stdout


def test_workers_as_processes_make_the_same_bytes(night: Path, tmp_path: Path) -> None:
    daskred("reduce", night, "-o", tmp_path / "a", "--workers", "1")
    found = daskred("reduce", night, "-o", tmp_path / "b", "--workers", "2", "--processes")
    assert found.returncode == 0, found.stderr
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_plan_as_tables_and_as_json(night: Path, tmp_path: Path) -> None:
    found = daskred("plan", night)
    assert found.returncode == 0
    assert "22 frames: 10 dark, 5 flat, 7 science" in found.stdout
    assert "MasterDark_10s, MasterFlat_BG40" in found.stdout
    plan = json.loads(daskred("plan", night, "--json").stdout)
    assert {entry["kind"] for entry in plan["frames"]} == {"dark", "flat", "science"}
    assert set(plan["frames"][0]) >= {"path", "kind", "reason", "exptime_s", "filter", "images"}
    flat = next(master for master in plan["masters"] if master["kind"] == "flat")
    assert flat["masters"] == ["MasterDark_3s"]
    assert len(flat["inputs"]) == 5
    assert plan["science"][0]["masters"] == ["MasterDark_10s", "MasterFlat_BG40"]
    assert plan["left_out"] == []
    dry = daskred("reduce", night, "-o", tmp_path / "out", "--dry-run", "--json")
    assert json.loads(dry.stdout) == plan
    assert not (tmp_path / "out").exists()


def test_a_bad_frame_is_named_and_the_status_tells(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    (make_night.folder / "short.fits").write_bytes(b"SIMPLE  =                    T")
    found = daskred("reduce", make_night.folder, "-o", tmp_path / "out")
    assert found.returncode == 1
    assert "short.fits" in found.stdout
    assert "no END" in found.stdout
    assert "2 science frames calibrated, 1 failed" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reduce", "none", "-o", "out"], "none: no such file or folder"),
        (["reduce", "empty", "-o", "out"], "no frames found"),
        (["reduce", "darks", "-o", "out"], "no science frames"),
        (["reduce", "night", "-o", "file"], "name a folder"),
        (["reduce", "night", "-o", "out", "--camera", "bad.toml"], "unknown table [fact]"),
        (["reduce", "night", "-o", "out", "--kind", "dark"], "KIND=PATTERN"),
        (["simulate", "night"], "holds something already"),
        (["reduce", "night"], "-o/--out"),
        (["reduce", "night", "-o", "out", "--workers", "0"], "at least 1"),
        (["reduce", "", "-o", "out"], "an empty name"),
        (["reduce", "night", "-o", ""], "an empty name"),
        (["reduce", "file", "-o", "out"], "file is not a FITS file"),
        (["demo", "-o", "darks"], "holds something else"),
        (["simulate", "file/below"], "cannot be made"),
        (["show", "night/dark/dark_10s-01.fits", "-o", "file"], "no PNG"),
        (["show", "none.fits"], "no such file"),
    ],
)
def test_a_wrong_request_is_one_line_and_writes_nothing(
    night: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "night").symlink_to(night)
    (tmp_path / "darks").symlink_to(night / "dark")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "bad.toml").write_text("[fact]\n")
    before = sorted(tmp_path.iterdir())
    found = daskred(*arguments, cwd=tmp_path)
    assert found.returncode == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


def test_inspect_says_what_the_lab_looks_at(night: Path) -> None:
    path = night / "dark" / "dark_10s-01.fits"
    found = daskred("inspect", path)
    assert found.returncode == 0
    pixels = fits.getdata(path)
    for text in ("uint16", "24 x 40", "10 s", "OBJECT = 'Dark'", f"{pixels.min()}", "mode"):
        assert text in found.stdout


def test_show_keeps_the_order_and_shows_few_of_many(make_night: NightMaker) -> None:
    for number in range(30):
        make_night.add(f"s-{number:02d}.fits", "science", 500.0)
    files = [str(make_night.folder / f"s-{number:02d}.fits") for number in (7, 3)]
    panels, n_more = panels_of(files)
    assert [panel.title for panel in panels] == ["s-07.fits", "s-03.fits"]
    assert n_more == 0
    panels, n_more = panels_of(sorted(map(str, make_night.folder.glob("*"))))
    assert (len(panels), n_more) == (24, 6)
    found = daskred("show", make_night.folder, "-o", make_night.folder / "sheet.png")
    assert "24 frames are shown, and 6 more are not" in found.stdout
    with Image.open(make_night.folder / "sheet.png") as picture:
        assert picture.width < 4000


@pytest.mark.parametrize("name", ["blink.png", "blink.gif"])
def test_two_frames_blink(night: Path, tmp_path: Path, name: str) -> None:
    files = [str(path) for path in sorted(night.rglob("dark_10s-0*.fits"))[:2]]
    found = daskred("show", *files, "--blink", "-o", tmp_path / name)
    assert found.returncode == 0, found.stderr
    with Image.open(tmp_path / name) as picture:
        picture.seek(1)  # there is a second one
        assert picture.size == fits.getdata(files[0]).shape[::-1]
    assert daskred("show", files[0], "--blink", "-o", tmp_path / "one.png").returncode == 2


def test_show_writes_a_picture_where_there_is_no_screen(night: Path, tmp_path: Path) -> None:
    files = sorted((night / "flat").iterdir())[:3]
    found = daskred("show", *files, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "picture: daskred-show.png" in found.stdout
    assert (tmp_path / "daskred-show.png").read_bytes().startswith(b"\x89PNG")
    assert daskred("show", files[0], "--zscale", "-o", tmp_path / "z.png").returncode == 0


def test_simulate_is_reproducible(tmp_path: Path) -> None:
    size = ("--size", "12x16", "--bias", "1", "--darks", "2", "--flats", "1", "--science", "1")
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        assert daskred("simulate", tmp_path / name, *size, "--seed", seed).returncode == 0
    a, b, c = (tree(tmp_path / name) for name in "abc")
    truth = "truth.npz"  # a zip archive, which stores the time
    a.pop(truth), b.pop(truth), c.pop(truth)
    assert a == b
    assert all(a[name] != c[name] for name in a)
    assert len(a) == 1 + 2 * 2 + 1 + 1


def test_demo_compares_with_the_truth_and_leaves_a_picture(tmp_path: Path) -> None:
    found = daskred("demo", "-o", "demo", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "60 science frames calibrated" in found.stdout
    flat = next(line for line in found.stdout.splitlines() if "master flat" in line)
    assert float(flat.split()[-1].rstrip("%")) < 0.12
    assert (tmp_path / "demo" / "demo.png").stat().st_size > 10_000
    shutil.rmtree(tmp_path / "demo")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_killed_leaves_no_process_and_is_finished_by_the_same_command(
    tmp_path: Path, number: signal.Signals
) -> None:
    night = tmp_path / "night"
    daskred("simulate", night, "--size", "300", "--darks", "5", "--flats", "5", "--science", "40")
    reduce = [sys.executable, "-m", "daskred.cli", "reduce", str(night), "--workers", "2", "-o"]
    subprocess.run([*reduce, str(tmp_path / "quiet")], check=True, capture_output=True)
    out = tmp_path / "out"
    with subprocess.Popen(
        [*reduce, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as one:
        while one.poll() is None and not list(out.rglob("ktwo*c.fits")):
            time.sleep(0.001)
        one.send_signal(number)
        # The pipes are closed when no process is left that could write to them.
        one.communicate(timeout=20)
    assert subprocess.run([*reduce, str(out)], check=False, capture_output=True).returncode == 0
    assert tree(out) == tree(tmp_path / "quiet")


def test_an_output_that_nobody_reads_to_its_end(night: Path) -> None:
    command = f"{sys.executable} -m daskred.cli plan {night} --json | head -c 10"
    found = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert found.stderr == ""
