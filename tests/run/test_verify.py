"""``daskred verify``: it finds what is wrong, and what it says mends it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daskred import Options, RequestError, open_night, reduce_night, simulate
from daskred.night.choices import parse_kinds
from daskred.products.log import LOG_NAME
from daskred.run.verify import verify
from tests.conftest import NightMaker, tree


def flip(path: Path, place: int) -> None:
    """Change a bit, and no time of the file."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2880])


def strip_sums(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"CHECKSUM=", b"COMMENT  ", 1))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "pixels": (lambda path: flip(path, -2880), "DATASUM is wrong"),
    "header": (lambda path: flip(path, 80 * 12 + 50), "CHECKSUM is wrong"),
    "truncated": (truncate, "truncated"),
    "emptied": (lambda path: path.write_bytes(b""), "empty"),
    "foreign": (lambda path: path.write_bytes(b"x" * 3000), "SIMPLE"),
    "no sums": (strip_sums, "no CHECKSUM"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + bytes(7)), "behind its end"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["s-1c.fits", "masters/MasterDark_10s.fits"])
def test_every_damage_is_found_and_mended_by_what_is_told(
    make_night: NightMaker, tmp_path: Path, damage: str, name: str
) -> None:
    make_night.standard()
    out = tmp_path / "out put"
    reduce_night(open_night(make_night.folder), out)
    sound = tree(out)
    assert not verify(out).findings
    harm, reason = DAMAGE[damage]
    harm(out / name)
    found = verify(out)
    assert found.findings[0].product == name or name.startswith("masters")
    assert reason in next(one.reason for one in found.findings if one.product == name)
    assert tree(out) != sound
    script = found.mend.replace("daskred ", f"{sys.executable} -m daskred.cli ")
    subprocess.run(["sh", "-euc", script], check=True, capture_output=True)
    assert not verify(out).findings
    for away in out.rglob("*.away"):  # what may be somebody's is never removed
        assert damage == "foreign"
        away.unlink()
    assert tree(out) == sound


def test_what_is_missing_or_out_of_date_is_found(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    out = tmp_path / "out"
    reduce_night(open_night(make_night.folder), out, Options(normalize="median", dtype="float64"))
    (out / "s-0c.fits").unlink()
    make_night.add("d10-0.fits", "Dark Frame", 111, 10.0)  # another one in its place
    found = verify(out)
    reasons = {one.product: one.reason for one in found.findings}
    assert set(reasons) == {"s-0c.fits", "s-1c.fits", "masters/MasterDark_10s.fits"}
    assert reasons["s-0c.fits"] == "is missing"
    assert "other frames" in reasons["s-1c.fits"]
    assert "--normalize median --dtype float64" in found.mend
    assert "rm " not in found.mend
    (make_night.folder / "s-1.fits").unlink()
    assert verify(out).others == ("s-1c.fits",)


def test_frames_without_a_product_are_told(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    make_night.add("lonely.fits", "Light Frame", 500, 77.0, FILTER="V", OBJECT="M 31")
    out = tmp_path / "out"
    reduce_night(open_night(make_night.folder), out)
    found = verify(out)
    assert not found.findings
    assert [name for name, _ in found.frames] == ["lonely.fits"]


def test_products_among_raw_frames_are_told_apart(make_night: NightMaker) -> None:
    folder = make_night.standard()
    reduce_night(open_night(folder), folder)
    found = verify(folder)
    assert (found.n_expected, found.findings, found.others) == (5, (), ())


def test_a_raw_frame_in_the_place_of_a_product_is_never_removed(make_night: NightMaker) -> None:
    folder = make_night.standard()
    make_night.add("s-0c.fits", "Light Frame", 500, 10.0, FILTER="V", OBJECT="M 31")
    reduce_night(open_night(folder), folder)
    found = verify(folder)
    assert not [one for one in found.findings if one.before]
    assert not any(line.startswith(("rm", "mv")) for line in found.mend.splitlines())
    assert "s-0.fits" in dict(found.frames)


def test_products_of_other_runs_are_let_be(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    out = tmp_path / "out"
    reduce_night(open_night(make_night.folder), out)
    reduce_night(open_night(make_night.folder), out, Options(masters_only=True))
    found = verify(out)
    assert (found.findings, found.others, found.mend) == ((), ("s-0c.fits", "s-1c.fits"), "")


def test_a_night_is_opened_again_as_it_was_named(
    make_night: NightMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_night.standard()
    odd = tmp_path / "[2024] x"
    odd.mkdir()
    (odd / "night").symlink_to(make_night.folder)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.chdir(odd)
        kinds = parse_kinds(["science=night/s-1*"])
        reduce_night(open_night("night/*.fits", kinds=kinds), out)
    found = verify(out)
    assert (found.n_expected, found.findings, found.mend) == (5, (), "")
    (out / "night" / "s-1c.fits").unlink()
    found = verify(out)
    assert [one.product for one in found.findings] == ["night/s-1c.fits"]
    script = found.mend.replace("daskred ", f"{sys.executable} -m daskred.cli ")
    subprocess.run(["sh", "-euc", script], check=True, capture_output=True)
    assert not verify(out).findings


def test_frames_that_a_run_found_unusable_are_told_and_no_fault_of_products(
    make_night: NightMaker, tmp_path: Path
) -> None:
    make_night.standard()
    make_night.add("burnt.fits", "Flat Field", 70000, 2.0, FILTER="V")
    out = tmp_path / "out"
    reduce_night(open_night(make_night.folder), out)
    found = verify(out)
    assert found.findings == ()
    assert "saturated" in dict(found.frames)["burnt.fits"]


def test_a_copy_of_the_products_is_as_good(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    reduce_night(open_night(make_night.folder), tmp_path / "out")
    subprocess.run(["cp", "-a", tmp_path / "out", tmp_path / "copy"], check=True)
    assert verify(tmp_path / "copy").findings == ()
    frame = make_night.folder / "s-0.fits"
    frame.chmod(0o444)
    assert verify(tmp_path / "copy").findings == ()
    frame.write_bytes(frame.read_bytes())
    assert verify(tmp_path / "copy").findings == ()


def test_other_pixels_behind_those_that_the_key_tells_are_found(tmp_path: Path) -> None:
    simulate(tmp_path / "night", shape=(40, 40), n_darks=3, n_flats=3, n_science=2)
    reduce_night(open_night(tmp_path / "night"), tmp_path / "out")
    flip(tmp_path / "night" / "ktwo220274129" / "ktwo220274129-0001.fits", 2880 + 2 * 40 * 40 - 1)
    (one,) = verify(tmp_path / "out").findings
    assert one.reason == "was made from other pixels than its frames or masters hold now"


@pytest.mark.parametrize("line", ['{"a": 1}', '{"event": "run"}', "[1]", "nonsense"])
def test_a_log_of_somebody_else_is_refused_plainly(tmp_path: Path, line: str) -> None:
    (tmp_path / LOG_NAME).write_text(line + "\n")
    with pytest.raises(RequestError, match=r"no run of daskred|another version"):
        verify(tmp_path)


def test_what_has_the_name_of_the_log_is_named(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    (tmp_path / "out" / LOG_NAME).mkdir(parents=True)
    with pytest.raises(RequestError, match="move it away"):
        reduce_night(open_night(make_night.folder), tmp_path / "out")
    with pytest.raises(RequestError, match="move it away"):
        verify(tmp_path / "out")


def test_a_night_that_has_moved_is_told(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    reduce_night(open_night(make_night.folder), tmp_path / "out")
    make_night.folder.rename(tmp_path / "elsewhere")
    with pytest.raises(RequestError, match="cannot be opened any more"):
        verify(tmp_path / "out")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no run of daskred"):
        verify(tmp_path)
    with pytest.raises(RequestError, match="no run of daskred"):
        verify(tmp_path / "none")


def test_the_command_tells_what_is_wrong_and_what_mends_it(
    make_night: NightMaker, tmp_path: Path
) -> None:
    make_night.standard()
    out = tmp_path / "out"
    reduce_night(open_night(make_night.folder), out)
    command = [sys.executable, "-m", "daskred.cli", "verify", str(out)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0
    assert "5 of 5 products are whole" in found.stdout
    flip(out / "s-0c.fits", -2880)
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "4 of 5 products" in found.stdout
    lines = found.stdout.splitlines()
    assert lines[-2:] == [f"rm {out}/s-0c.fits", f"daskred reduce {make_night.folder} -o {out}"]
