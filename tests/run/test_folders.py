"""The folders that a run writes to: nothing outside OUT, and nothing unfinished left in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from daskred import RequestError, open_night, reduce_night
from daskred.fits.parts import TEMPORARY_MARK
from daskred.products.log import read_log
from tests.conftest import NightMaker


@pytest.mark.parametrize("name", ["masters", "object"])
def test_no_product_is_written_through_a_link_that_leads_out(
    make_night: NightMaker, tmp_path: Path, name: str
) -> None:
    make_night.standard()
    make_night.add("object/s-9.fits", "Light Frame", 500, 10.0, FILTER="V")
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / name).symlink_to(elsewhere)
    with pytest.raises(RequestError, match=f"out/{name} leads to .*elsewhere"):
        reduce_night(open_night(make_night.folder), out)
    assert list(elsewhere.iterdir()) == []
    (out / name).unlink()
    (out / "inside").mkdir()
    (out / name).symlink_to(out / "inside")
    reduce_night(open_night(make_night.folder), out)
    assert list((out / "inside").iterdir())


def test_what_a_killed_run_left_is_removed_and_the_log_says_so(
    make_night: NightMaker, tmp_path: Path
) -> None:
    make_night.standard()
    part = tmp_path / "out/masters" / f"{TEMPORARY_MARK}0"
    part.parent.mkdir(parents=True)
    part.touch()
    reduce_night(open_night(make_night.folder), tmp_path / "out")
    removed = [record for record in read_log(tmp_path / "out") if record["event"] == "removed"]
    assert [record["unfinished"] for record in removed] == [[str(part)]]
    assert not part.exists()


def test_a_folder_that_cannot_be_listed_at_the_end_is_told(
    make_night: NightMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_night.standard()
    out, listed = tmp_path / "out", os.listdir
    n_times = 0

    def listdir(folder: Any) -> list[str]:
        nonlocal n_times
        n_times += Path(folder) == out / "masters"
        if Path(folder) == out / "masters" and n_times > 1:  # not at the beginning
            raise OSError(5, "Input/output error")
        return listed(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    summary = reduce_night(open_night(make_night.folder), out)
    assert len(summary.science) == 2
    left = [record["unfinished"] for record in read_log(out) if record["event"] == "left behind"]
    assert left == [[f"{out / 'masters'}: cannot be listed: Input/output error"]]
