"""Unfinished files get their names, or are gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from daskred.fits.parts import Part, check_guard, part_in, place


def written(folder: Path, name: str) -> Part:
    part = Part(part_in(folder), folder / name)
    part.path.write_text(name)
    return part


@pytest.mark.parametrize("sync", [True, False])
def test_files_get_their_names(tmp_path: Path, sync: bool) -> None:
    (tmp_path / "a").write_text("before")
    parts = [written(tmp_path, name) for name in ("a", "b")]
    place(parts, sync)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "a", "b": "b"}


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("fault", ["a folder has the name", "the file is gone"])
def test_what_cannot_get_its_name_is_named_and_removed(
    tmp_path: Path, sync: bool, fault: str
) -> None:
    parts = [written(tmp_path, name) for name in ("a", "b", "c")]
    if fault == "the file is gone":
        parts[1].path.unlink()
    else:
        parts[1].target.mkdir()
    with pytest.raises(OSError, match="directory") as caught:
        place(parts, sync)
    assert caught.value.filename == str(parts[1].target)
    assert {path.name for path in tmp_path.iterdir()} <= {"a", "b"}


def test_nothing_is_done_for_a_run_that_is_over(tmp_path: Path) -> None:
    check_guard(None)
    with pytest.raises(OSError, match="the run is over"):
        check_guard(tmp_path / "guard")
