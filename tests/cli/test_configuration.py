"""A configuration file: the names of the options, which the command line overrules."""

from __future__ import annotations

from pathlib import Path

import pytest
from astropy.io import fits

from daskred import Options, RequestError
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
    from daskred.cli import command_line
    from daskred.cli.arguments import asked
    from daskred.cli.reduce import NAMES

    one = BY_NAME[getattr(option, "name", "")]
    if one.choices:
        value: object = one.choices[-1]
    elif one.several:
        value = ("dark=a*", "flat=b*")
    elif one.is_switch:
        value = not one.default
    else:
        value = {"memory": 500_000_000, "camera": "x.toml"}.get(one.name, one.checked("2"))
    more = {"combine": "mean"} if one.name == "weight" else {}
    options = Options(**{one.name: value}, **more)
    words = ["reduce", "night", "-o", "out", *options.words]
    again, origins = asked(command_line(words).parse_args(words), NAMES)
    assert again == options
    assert set(origins) == set(options.given)


def test_python_checks_as_the_command_line_does() -> None:
    with pytest.raises(RequestError, match="there is no combin; the nearest is combine"):
        Options(combin="mean")
    with pytest.raises(RequestError, match="name one"):
        Options(threads=True, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(AttributeError, match="nearest is combine"):
        _ = Options().combin
