"""A configuration file: the names of the options, which the command line overrules."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits

from daskred import Options, RequestError, open_night, reduce_night, verify
from daskred.cli import main
from daskred.options import BY_NAME, TABLE
from tests import processes
from tests.conftest import NightMaker


@pytest.fixture
def configured(make_night: NightMaker) -> Path:
    make_night.standard()
    (make_night.folder / "daskred.toml").write_text('dtype = "float64"\nmask = true\n')
    return make_night.folder


def product(out: Path) -> Path:
    return sorted(out.glob("s-*c.fits"))[0]


def test_a_file_in_the_night_is_used_and_the_command_line_wins(
    configured: Path, tmp_path: Path
) -> None:
    status, told = processes.run("reduce", configured, "-o", tmp_path / "a", "--quiet")
    assert status == 0, told
    with fits.open(product(tmp_path / "a")) as hdus:
        assert hdus[0].header["BITPIX"] == -64
        assert "MASK" in hdus
    words = ("--dtype", "float32", "--no-mask", "--quiet")
    status, told = processes.run("reduce", configured, "-o", tmp_path / "b", *words)
    assert status == 0, told
    with fits.open(product(tmp_path / "b")) as hdus:
        assert hdus[0].header["BITPIX"] == -32
        assert "MASK" not in hdus


def test_a_dry_run_tells_where_each_value_comes_from(
    configured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('combine = "mean"\nreject = "sigma"\n')
    words = ("--config", own, "--reject", "minmax", "--dry-run")
    assert main(list(map(str, ("reduce", configured, "-o", tmp_path / "out", *words)))) == 0
    told = capsys.readouterr().out
    rows = [line.split("│")[1:4] for line in told.splitlines() if line.count("│") == 4]
    found = {cells[0].strip(): (cells[1].strip(), cells[2].strip()) for cells in rows}
    assert found["combine"] == ("mean", str(own))
    assert found["reject"] == ("minmax", "command line")
    assert "mask" not in found  # the file that is named takes the place of the night's
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("combin = 'mean'", "there is no combin; the nearest is combine"),
        ("combine = 'middle'", "there are median, mean"),
        ("mask = 'yes'", "is either true or false"),
        ("workers = 0", "no whole number of at least 1"),
        ("workers = true", "is neither true nor false"),
        ("memory = 'much'", "no size"),
        ("combine = ", "is no TOML"),
        ("kind = 3", "is a text, or a list of texts"),
        ("camera = ['x']", "is a text that says something"),
        ("bad_pixels = ''", "is a text that says something"),
        ("memory = '1e400'", "no size"),
        ("overscan_order = 1e400", "--overscan-order inf"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(
    configured: Path, tmp_path: Path, text: str, said: str
) -> None:
    (configured / "daskred.toml").write_text(text)
    status, told = processes.run("reduce", configured, "-o", tmp_path / "out")
    assert status == 2
    assert said in told
    assert "daskred.toml" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", TABLE, ids=[option.name for option in TABLE])
def test_words_say_what_options_say(option: object) -> None:
    from daskred.cli.arguments import asked
    from daskred.cli.program import command_line
    from daskred.cli.reduce import NAMES

    one = BY_NAME[getattr(option, "name", "")]
    if one.choices:
        value: object = (one.choices[-1],) if one.several else one.choices[-1]
    elif one.several:
        value = ("dark=a*", "flat=b*")
    elif one.is_switch:
        value = not one.default
    else:
        value = {"memory": 500_000_000, "camera": "x.toml"}.get(one.name, one.checked("2"))
    more: dict[str, Any] = {"combine": "mean"} if one.name == "weight" else {}
    more[one.name] = value
    options = Options(**more)
    words = ["reduce", "night", "-o", "out", *options.words]
    again, origins = asked(command_line(words).parse_args(words), NAMES)
    assert again == options
    assert set(origins) == set(options.given)


def test_python_checks_as_the_command_line_does() -> None:
    with pytest.raises(RequestError, match="there is no combin; the nearest is combine"):
        Options(combin="mean")  # type: ignore[call-arg]
    with pytest.raises(RequestError, match="name one"):
        Options(threads=True, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(AttributeError, match="nearest is combine"):
        _ = Options().combin


def test_what_verify_prints_does_not_go_by_a_file_that_was_overruled(
    configured: Path, tmp_path: Path
) -> None:
    import subprocess

    out = tmp_path / "out"
    words = ("--no-mask", "--processed-by=-x", "--quiet")
    assert processes.run("reduce", configured, "-o", out, *words)[0] == 0
    others = {path: path.stat().st_mtime_ns for path in out.rglob("*.fits")}
    lost = product(out)
    lost.unlink()
    mend = verify(out).mend.replace("daskred reduce", f"{sys.executable} -m daskred.cli reduce")
    assert subprocess.run(["bash", "-ec", mend], capture_output=True).returncode == 0
    with fits.open(lost) as hdus:
        assert "MASK" not in hdus
        assert hdus[0].header["COMMENT"][-1] == "processed by -x"
    del others[lost]
    assert {path: path.stat().st_mtime_ns for path in others} == others


def test_only_what_depends_on_an_option_is_made_anew(configured: Path, tmp_path: Path) -> None:
    night = open_night(configured)
    reduce_night(night, tmp_path / "out")
    summary = reduce_night(night, tmp_path / "out", Options(interpolate=True))
    assert not any(receipt.made for receipt in summary.masters)
    assert all(receipt.made for receipt in summary.science)
