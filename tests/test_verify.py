"""``daskred verify``: it finds what is wrong, and what it says mends it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daskred import Options, RequestError, open_night, reduce_night
from daskred.verification import verify
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
    found = verify(out)
    reasons = {one.product: one.reason for one in found.findings}
    assert "no frame of the night" in reasons["s-1c.fits"]
    assert "rm " in found.mend


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
    assert (found.n_products, found.n_expected, found.findings) == (5, 5, ())


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
    assert f"rm {out}/s-0c.fits\ndaskred reduce {make_night.folder} -o {out}\n" in found.stdout
