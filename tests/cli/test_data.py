"""What commands print for other programs: JSON, completion, metrics, and Python's logging."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import daskred
from daskred import RequestError
from daskred.cli import main
from daskred.cli.program import COMMANDS
from tests.cluster import Cluster
from tests.conftest import NightMaker


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "night"
    daskred.simulate(folder, shape=(48, 64), n_bias=4, n_darks=4, n_flats=4, n_science=3)
    return folder


@pytest.fixture(scope="module")
def out(night: Path) -> Path:
    daskred.reduce_night(night, night.parent / "out")
    return night.parent / "out"


def printed(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> Any:
    capsys.readouterr()
    assert main([*map(str, words)]) == status
    return json.loads(capsys.readouterr().out)


def test_every_command_that_prints_a_table_prints_it_as_json(
    night: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(printed(capsys, "plan", night, "--json")["masters"]) == 4
    assert len(printed(capsys, "inspect", night / "flat", "--json")) == 4
    assert printed(capsys, "verify", out, "--json")["wrong"] == []
    assert "kast-blue" in printed(capsys, "camera", "list", "--json")
    found = printed(capsys, "characterize", night, "-o", tmp_path / "c", "--json")
    assert found["amplifiers"][0]["gain_e_per_adu"] > 1
    found = printed(capsys, "mask", night, "-o", tmp_path / "m", "--json")
    assert sum(found["pixels"].values()) > 0
    main(["library", "add", str(tmp_path / "lib"), str(out)])
    listed = printed(capsys, "library", "list", tmp_path / "lib", "--json")
    assert {row["kind"] for row in listed} == {"bias", "dark", "flat"}
    shown = printed(capsys, "library", "show", tmp_path / "lib", listed[0]["master"], "--json")
    assert shown[listed[0]["master"]]["NCOMBINE"] == 4
    assert printed(capsys, "doctor", tmp_path, "--json")["daskred"] == daskred.__version__
    assert list(tmp_path.glob(".*")) == []


def test_the_level_of_a_bright_frame_does_not_wrap(
    make_night: NightMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    levels = {"faint.fits": 900, "bright.fits": 40000, "brightest.fits": 65000}
    for name, level in levels.items():
        make_night.add(name, "Flat", level)
    found = printed(capsys, "inspect", make_night.folder, "--json")
    told = {row["name"]: row["level"] for row in found}
    assert told == {name: pytest.approx(level, abs=2) for name, level in levels.items()}


def test_a_run_tells_what_it_did_as_json(
    night: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra/science.fits").write_bytes(b"SIMPLE  =                    T")
    words = ("reduce", night, tmp_path / "extra", "-o", tmp_path / "out", "--json", "--report")
    found = printed(capsys, *words, status=1)
    assert found["science"] == {"made": 3, "was there": 0, "failed": 0}
    assert [Path(entry["name"]).name for entry in found["failed"]] == ["science.fits"]
    again = printed(capsys, *words, status=1)
    assert again["masters"] == {"made": 0, "was there": 4}
    assert again["bytes"] == 0


def test_uncertainties_that_are_left_out_are_told(
    night: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("reduce", night, "-o", tmp_path / "out", "--uncertainty", "--json")
    assert "no uncertainties" in "".join(printed(capsys, *words)["warnings"])


def test_metrics_tell_how_the_last_run_ended(night: Path, tmp_path: Path) -> None:
    metrics = tmp_path / "daskred.prom"
    words = ["reduce", str(night), "-o", str(tmp_path / "out"), "--quiet", "--metrics"]
    assert main([*words, str(metrics)]) == 0
    lines = metrics.read_text().splitlines()
    told = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    values = {name: float(value) for name, _, value in told}
    assert values["daskred_last_run_status"] == 0
    assert 'daskred_last_run_science{outcome="made"} 3' in lines
    assert main(["reduce", str(tmp_path / "nowhere"), *words[2:], str(metrics)]) == 2
    assert "daskred_last_run_status 2" in metrics.read_text().splitlines()
    assert main([*words, str(metrics), "--reject-low", "-1"]) == 2
    assert "daskred_last_run_status 2" in metrics.read_text().splitlines()
    other = tmp_path / "other.txt"
    other.write_text("mine")
    assert main([*words, str(other)]) == 2
    assert other.read_text() == "mine"
    assert main([*words, str(tmp_path / "nowhere/m.prom")]) == 2


def test_logging_hears_of_a_run(
    night: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.fits"
    broken.write_bytes(b"SIMPLE  =                    T")
    with caplog.at_level(logging.DEBUG, "daskred"):
        daskred.reduce_night(daskred.open_night(night, broken), tmp_path / "out")
    told = {(record.levelname, record.getMessage().partition(":")[0]) for record in caplog.records}
    assert {("INFO", "run"), ("INFO", "end"), ("DEBUG", "product"), ("WARNING", "left out")} <= told
    (failed,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert "broken.fits" in failed.getMessage()
    assert failed.__dict__["facts"]["failed"] is True


def test_nothing_is_printed_where_nobody_listens(night: Path, tmp_path: Path) -> None:
    code = "import sys, daskred; daskred.reduce_night(sys.argv[1], sys.argv[2])"
    command = [sys.executable, "-W", "error", "-c", code, str(night), str(tmp_path / "out")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("", "")


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "daskred.cli", "completion", "bash"]
    script = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (tmp_path / "daskred.bash").write_text(script)

    def completed(*words: str) -> list[str]:
        typed = " ".join(words)
        code = (
            f"source {tmp_path / 'daskred.bash'}; COMP_WORDS=(daskred {typed});"
            f" COMP_CWORD={len(words)}; COMP_LINE='daskred {typed}';"
            " COMP_POINT=${#COMP_LINE}; _shtab_daskred; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        found = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
        return found.stdout.split()

    assert set(COMMANDS) >= {"reduce", "report"} == set(completed("re"))
    assert "--combine" in completed("reduce", "--comb")
    assert "--settle" in completed("watch", "--se")


def test_it_is_told_that_workers_are_waited_for(night: Path, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    with cluster.stack:
        command = [sys.executable, "-m", "daskred.cli", "reduce", str(night)]
        command += ["-o", str(tmp_path / "out"), "--scheduler", str(cluster.file)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr
        with process.stderr:
            line = process.stderr.readline()
            assert line.startswith("waiting for workers: the cluster at tcp://127.0.0.1")
            cluster.add_worker("--no-nanny")
            rest = process.stderr.read()
        assert process.wait(60) == 0, rest


def test_a_measured_camera_is_one_that_a_run_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from daskred.simulation import CAMERA_FILE, SimulatedReadout

    night, out = tmp_path / "night", tmp_path / "out"
    daskred.simulate(
        night, shape=(96, 128), n_bias=6, n_darks=4, n_flats=12, readout=SimulatedReadout()
    )
    told = (night / CAMERA_FILE).read_text().splitlines()
    without = [line for line in told if not line.startswith(("gain_e", "read_noise"))]
    plain = tmp_path / "plain.toml"
    plain.write_text("\n".join(without))
    assert main(["plan", str(night), "--camera", str(plain)]) == 0
    assert "--uncertainty would be left out" in capsys.readouterr().out
    assert main(["characterize", str(night), "--camera", str(plain), "-o", str(out)]) == 0
    measured = out / "camera.toml"
    assert main(["plan", str(night), "--camera", str(measured)]) == 0
    assert "--uncertainty would be left out" not in capsys.readouterr().out
    readout = daskred.open_night(night, camera=daskred.read_camera(measured)).raw[0].readout
    for amplifier, gain, noise in zip(readout.amplifiers, (1.6, 1.9), (8.0, 6.0), strict=True):
        assert amplifier.gain_e_per_adu == pytest.approx(gain, rel=0.03)
        assert amplifier.read_noise_e == pytest.approx(noise, rel=0.03)
        assert amplifier.overscan
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(measured.read_text().replace("left", "lefft"))
    assert main(["plan", str(night), "--camera", str(wrong)]) == 2
    assert "[measured.lefft] is of no amplifier" in capsys.readouterr().err
    # What a night does not tell stays as it was measured before; so does what is told by hand.
    own = tmp_path / "own.toml"
    own.write_text('like = "out/camera.toml"\n[measured.left]\nsaturation_adu = 30000\n')
    few = tmp_path / "few"
    assert main(["characterize", f"{night}/bias", "--camera", str(own), "-o", str(few)]) == 0
    again = daskred.open_night(night, camera=daskred.read_camera(few / "camera.toml")).raw[0]
    assert again.readout.amplifiers[0].saturation_adu == 30000
    assert again.readout.amplifiers[0].gain_e_per_adu == readout.amplifiers[0].gain_e_per_adu
    # Measured again by its own rules, it is like what it was like.
    before = measured.read_text()
    assert main(["characterize", str(night), "--camera", str(measured), "-o", str(out)]) == 0
    assert measured.read_text() == before
    measured.write_text("mine")
    assert main(["characterize", str(night), "--camera", str(plain), "-o", str(out)]) == 2
    for text, said in (
        ('like = "round.toml"', "which is like this one"),
        ('like = "kast-bleu"', "and there is no such file"),
        ("like = 3", "like names another camera"),
        ("[measured.a]\ngain_e_per_adu = -1", "are positive numbers"),
        ("[measured]\na = 1", "has a table for each amplifier"),
    ):
        (tmp_path / "round.toml").write_text(text)
        with pytest.raises(RequestError, match=said):
            daskred.read_camera(tmp_path / "round.toml")
