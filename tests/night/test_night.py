"""Finding frames, telling duplicates, settling kinds by hand."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import RequestError, open_night, reduce_night
from daskred.night.choices import parse_kinds
from daskred.night.files import find_files
from daskred.night.open import Night
from tests.conftest import NightMaker, WriteFits


def reasons(night: Night) -> dict[str, str]:
    return {entry.name: entry.reason for entry in night.left_out}


def test_files_are_found_whatever_their_suffix(tmp_path: Path) -> None:
    names = ["a.fits", "b.FIT", "sub/c.fts", "sub/d.fits.gz", "e.fits.fz", "f.Fits"]
    for name in [*names, "g.txt", "h.fits.bak", ".hidden.fits", ".git/i.fits"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [name for _, name in find_files([tmp_path])] == sorted(names)
    assert len(find_files([tmp_path / "*.f*"])) == 2
    assert [name for _, name in find_files([tmp_path / "a.fits", tmp_path / "sub"])] == [
        "a.fits",
        "sub/c.fts",
        "sub/d.fits.gz",
    ]


def test_a_further_folder_changes_no_name_of_the_first(tmp_path: Path) -> None:
    for name in ("n1/b/x.fits", "n1/a.fits", "n2/b/x.fits", "y/n2/b/x.fits", "y/b/x.fits"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def names(*sources: str) -> list[str]:
        return [name for _, name in find_files([tmp_path / source for source in sources])]

    assert names("n1") == ["a.fits", "b/x.fits"]
    assert names("n1", "n2") == ["a.fits", "b/x.fits", "n2/b/x.fits"]
    further = names("n1", "n2", "y/n2")
    assert further[:2] == ["a.fits", "b/x.fits"]
    assert further[2].endswith("/n2/b/x.fits")
    assert further[3].endswith("y/n2/b/x.fits")
    assert names("y/b", "y") == ["x.fits", "y/n2/b/x.fits"]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file"):
        open_night(tmp_path / "none")
    with pytest.raises(RequestError, match="no frames found"):
        open_night(tmp_path)


def test_duplicates_are_named_and_the_fullest_is_kept(make_night: NightMaker) -> None:
    original = make_night.add("dark_1.fits", "Dark Frame", 100, 10.0)
    make_night.add("dark_2.fits", "Dark Frame", 100, 10.0)
    folder = original.parent
    shutil.copy(original, folder / "dark_1 (1).fits")
    (folder / "dark_1 packed.fits.gz").write_bytes(gzip.compress(original.read_bytes()))
    fits.PrimaryHDU(fits.getdata(original)).writeto(folder / "bare.fits")
    fits.CompImageHDU(fits.getdata(original)).writeto(folder / "tiles.fits.fz")
    night = open_night(folder)
    assert set(reasons(night)) == {
        "dark_1 (1).fits",
        "dark_1 packed.fits.gz",
        "bare.fits",
        "tiles.fits.fz",
    }
    assert all("duplicate" in why and "dark_1.fits" in why for why in reasons(night).values())
    assert [frame.name for frame in night.raw] == ["dark_1.fits", "dark_2.fits"]
    assert not any(entry.failed for entry in night.left_out)


def test_the_same_pixels_at_another_time_are_another_exposure(make_night: NightMaker) -> None:
    one = make_night.add("dark_1.fits", "Dark Frame", 100, 10.0)
    other = one.parent / "dark_2.fits"
    shutil.copy(one, other)
    fits.setval(other, "DATE-OBS", value="2021-05-05T00:00:00")
    assert len(open_night(one.parent).raw) == 2


@pytest.mark.parametrize(
    "cards",
    [
        [{"OBJECT": "M31"}, {"OBJECT": "M33"}],
        [{"UTSHUT": "01:02:03"}, {"UTSHUT": "01:02:33"}],
        [{"IMAGETYP": "Dark"}, {"IMAGETYP": "Bias", "EXPTIME": 0}],
    ],
)
def test_cards_that_differ_tell_exposures_of_the_same_pixels_apart(
    write_fits: WriteFits, tmp_path: Path, cards: list[dict[str, Any]]
) -> None:
    for number, own in enumerate(cards):
        shared = {"IMAGETYP": "Light", "EXPTIME": 5}
        write_fits(f"{number}.fits", np.full((3, 4), 65535, "u2"), {**shared, **own})
    assert len(open_night(tmp_path).raw) == 2


def test_frames_alike_in_their_first_rows_only_are_no_duplicates(tmp_path: Path) -> None:
    pixels = np.zeros((4, 2000), "u2")
    for number in range(3):
        pixels[3] = number
        header = fits.Header({"IMAGETYP": "Dark", "EXPTIME": 5})
        fits.PrimaryHDU(pixels, header).writeto(tmp_path / f"{number}.fits")
    assert len(open_night(tmp_path).raw) == 3


def test_kinds_settled_by_hand(make_night: NightMaker) -> None:
    for name in ("calib/1-d.fit", "calib/2-d.fit", "x.fit"):
        make_night.add(name, "Light Frame", 100, 10.0, CALSTAT="D" if name == "x.fit" else "")
    folder = make_night.folder
    night = open_night(
        folder, kinds=parse_kinds(["dark=calib/*-d.fit", "flat=2-d.fit", "science=x.fit"])
    )
    assert [frame.kind for frame in night.raw] == ["dark", "flat", "science"]
    assert night.frames[0].reason == "--kind dark='calib/*-d.fit'"
    with pytest.raises(RequestError, match="matches no frame"):
        open_night(folder, kinds=[("dark", "nothing*")])


@pytest.mark.parametrize("choice", ["dark", "dork=x", "dark=", "=x"])
def test_a_kind_that_cannot_be_parsed(choice: str) -> None:
    with pytest.raises(RequestError, match="KIND=PATTERN"):
        parse_kinds([choice])


def test_broken_frames_do_not_stop_the_night(make_night: NightMaker) -> None:
    make_night.standard(n_each=1, n_science=1)
    folder = make_night.folder
    (folder / "garbage.fits").write_bytes(b"no FITS" * 1000)
    (folder / "short.fits").write_bytes((folder / "s-0.fits").read_bytes()[:2900])
    make_night.add("words.fits", "Dark Frame", 100, "long")
    fits.PrimaryHDU(np.zeros((2, 2, 3, 4), "u2")).writeto(folder / "cube.fits")
    fits.PrimaryHDU().writeto(folder / "nothing.fits")
    night = open_night(folder)
    found = reasons(night)
    assert "not a FITS file" in found["garbage.fits"]
    assert "truncated" in found["short.fits"]
    assert "EXPTIME = 'long'" in found["words.fits"]
    assert "4 axes" in found["cube.fits"]
    assert "no image" in found["nothing.fits"]
    assert all(entry.failed for entry in night.left_out)
    assert len(night.raw) == 4


def test_what_is_no_file_neither_stops_nor_hangs_the_night(make_night: NightMaker) -> None:
    folder = make_night.add("a.fits", "Dark Frame", 100, 10.0).parent
    os.mkfifo(folder / "pipe.fits")
    (folder / "folder.fits").mkdir()
    (folder / "nowhere.fits").symlink_to(folder / "none")
    found = reasons(open_night(folder))
    assert "no regular file" in found["pipe.fits"]
    assert "cannot be read" in found["nowhere.fits"]


def test_names_that_are_no_names() -> None:
    for source in ("", "x" * 300):
        with pytest.raises(RequestError, match="no such file"):
            open_night(source)


def test_links_are_followed_and_may_loop(make_night: NightMaker, tmp_path: Path) -> None:
    elsewhere = make_night.add("a.fits", "Dark Frame", 100, 10.0).parent
    night = tmp_path / "linked"
    night.mkdir()
    (night / "darks").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(night)
    assert [frame.name for frame in open_night(night).frames] == ["darks/a.fits"]


def test_products_among_raw_frames_are_known(make_night: NightMaker) -> None:
    make_night.add("a.fits", "Dark Frame", 100, 10.0)
    make_night.add("out/b.fits", "Dark Frame", 100, 10.0, DASKRED="key")
    night = open_night(make_night.folder)
    assert reasons(night) == {"out/b.fits": "was made by daskred"}
    assert [frame.name for frame in night.raw] == ["a.fits"]


def test_images_of_one_name_are_told_apart(tmp_path: Path) -> None:
    hdus = [fits.ImageHDU(np.full((2, 3), n, "i2"), name="SCI") for n in range(2)]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "a.fits")
    (frame,) = open_night(tmp_path).frames
    assert [image.name for image in frame.images] == ["SCI,1", "SCI,1 HDU 2"]


def test_a_mosaic_is_one_frame(write_fits: WriteFits, tmp_path: Path) -> None:
    pixels = [np.random.default_rng(n).integers(0, 9, (3, 4), "u2") for n in range(2)]
    write_fits("m.fits", pixels, {"OBSTYPE": "EXPOSE", "EXPTIME": 5.0})
    (frame,) = open_night(tmp_path).frames
    assert frame.layout == (("AMP,1", (3, 4)), ("AMP,2", (3, 4)))


@pytest.mark.parametrize("copy", ["preview.fits", "acq/img_0001.fits", "temp.fits", "a.fits"])
def test_a_stray_copy_does_not_take_the_place_of_a_frame(make_night: NightMaker, copy: str) -> None:
    for n in range(3):
        name = f"ktwo-{n:04d}.fits"
        original = make_night.add(name, "Light Frame", 100, 10.0, OBJECT="M 31")
    target = original.parent / copy
    target.parent.mkdir(exist_ok=True)
    shutil.copy(original, target)
    with fits.open(target, mode="update") as hdus:
        hdus[0].header["SOLVED"] = True
    night = open_night(original.parent)
    assert reasons(night) == {copy: "is a duplicate: the same exposure as ktwo-0002.fits"}


def test_of_equal_exposures_that_of_a_known_kind_is_kept(make_night: NightMaker) -> None:
    original = make_night.add("x.fits", "Light Frame", 100, 10.0, OBJECT="M 31")
    for n in range(3):
        make_night.add(f"i{n}.fits", "Light Frame", 100, 10.0, OBJECT="M 31")
    fits.PrimaryHDU(fits.getdata(original)).writeto(original.parent / "i4.fits")
    assert set(reasons(open_night(original.parent))) == {"i4.fits"}


def test_a_copy_of_a_folder_is_the_copy(make_night: NightMaker) -> None:
    folder = make_night.standard()
    shutil.copytree(folder, folder.parent / "copy")
    shutil.move(folder.parent / "copy", folder / "a copy")
    assert all(name.startswith("a copy/") for name in reasons(open_night(folder)))


def test_frames_that_are_not_named_as_such_are_told(
    make_night: NightMaker,
) -> None:
    night = make_night.standard()
    content = next(night.glob("*.fits")).read_bytes()
    for name in ("a.new", "b", "c.fz", "d.fits.bak"):
        (night / name).write_bytes(content)
    (night / "e.gz").write_bytes(gzip.compress(content))
    for name in ("light_01.CR2", "stack.xisf", "lights.zip"):
        (night / name).write_bytes(b"x" * 5000)
    # What holds no frame, and a copy beside its frame, is not worth a word.
    (night / "notes.txt").write_text("cloudy")
    os.mkfifo(night / "pipe")
    (night / "gone").symlink_to("nowhere")
    (night / "picture.png").write_bytes(bytes(2880))
    (night / "d10-0.fits.orig").write_bytes(content)
    told = {entry.name: entry.reason for entry in open_night(night).left_out}
    named = {name for name, reason in told.items() if "let its name end in .fits" in reason}
    assert named == {"a.new", "b", "c.fz", "d.fits.bak", "e.gz"}
    assert "convert CR2 to FITS" in told["light_01.CR2"]
    assert "unpack it" in told["lights.zip"]
    assert len(told) == 8


def test_an_image_alone_may_lie_in_an_extension_or_not(
    make_night: NightMaker, tmp_path: Path
) -> None:
    night = make_night.standard()
    for path in night.glob("s-*.fits"):
        with fits.open(path) as hdus:
            pixels, header = hdus[0].data.copy(), hdus[0].header.copy()
        header.remove("BZERO", ignore_missing=True)
        image = fits.ImageHDU(pixels, name="SCI")
        fits.HDUList([fits.PrimaryHDU(None, header), image]).writeto(path, overwrite=True)
    summary = reduce_night(open_night(night), tmp_path / "out")
    assert not summary.failed
    dark, flat = (
        fits.getdata(tmp_path / f"out/masters/Master{name}.fits") for name in ("Dark_10s", "Flat_V")
    )
    raw = fits.getdata(night / "s-0.fits", "SCI").astype("f8")
    made = fits.getdata(tmp_path / "out/s-0c.fits", "SCI")
    np.testing.assert_allclose(made, (raw - dark) / flat, rtol=1e-6)
