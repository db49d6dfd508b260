"""Masters of other nights: a night borrows what it has none of itself, and says so."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import Options, RequestError, open_night, reduce_night, verify
from daskred.cli import main
from daskred.night.plan import make_plan
from daskred.products.library import keep, with_given
from tests.conftest import NightMaker

NIGHTS = ("2026-03-01", "2026-03-08", "2026-05-20")


def night_of(folder: Path, date: str, kinds: str, seed: int, **cards: Any) -> Path:
    """Write a night: darks (d), flats with their darks (f), science frames (s)."""
    maker = NightMaker(folder, (40, 50), seed)
    for number in range(3):
        when = {"DATE_OBS": f"{date}T2{number}:00:00", **cards}
        if "d" in kinds:
            maker.add(f"d10-{number}.fits", "dark", 110 + seed, 10.0, **when)
        if "f" in kinds:
            maker.add(f"d2-{number}.fits", "dark", 102 + seed, 2.0, **when)
            maker.add(f"f-{number}.fits", "flat", 20000, 2.0, FILTER="V", **when)
        if "s" in kinds:
            maker.add(f"s-{number}.fits", "light", 500, 10.0, FILTER="V", OBJECT="M 31", **when)
    return folder


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    for seed, date in enumerate(NIGHTS):
        night_of(folder / date, date, "dfs", seed)
        reduce_night(open_night(folder / date), folder / f"out-{date}")
        assert main(["library", "add", str(folder / "lib"), str(folder / f"out-{date}")]) == 0
    return folder / "lib"


def used(out: Path) -> tuple[str, str]:
    header = fits.getheader(out / "s-0c.fits")
    return str(header["DARKCOR"]), str(header["FLATCOR"])


def test_the_nearest_in_time_is_borrowed_as_it_is(library: Path, tmp_path: Path) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "s", 9)
    out = tmp_path / "out"
    options = Options(library=str(library))
    summary = reduce_night(open_night(night), out, options)
    assert not summary.failed
    assert len(summary.science) == 3
    assert all("_2026-03-08_" in name for name in used(out))
    dark, flat = (out / "masters" / name for name in used(out))
    assert dark.read_bytes() == (library / dark.name).read_bytes()
    raw = fits.getdata(night / "s-0.fits").astype("f8")
    expected = (raw - fits.getdata(dark)) / fits.getdata(flat)
    assert np.allclose(fits.getdata(out / "s-0c.fits"), expected, rtol=1e-6)
    warnings = [text for text in summary.plan.warnings if "is borrowed: of 2026-03-08" in text]
    assert len(warnings) == 2
    assert verify(out).findings == ()
    again = reduce_night(open_night(night), out, options)
    assert not any(receipt.made for receipt in (*again.masters, *again.science))


def test_what_the_night_has_itself_is_preferred(library: Path, tmp_path: Path) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "ds", 9)
    reduce_night(open_night(night), tmp_path / "out", Options(library=str(library)))
    dark, flat = used(tmp_path / "out")
    assert dark == "MasterDark_10s.fits"
    assert "_2026-03-08_" in flat


def test_a_borrowed_dark_goes_into_the_flats_of_the_night(library: Path, tmp_path: Path) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "fs", 9)
    for path in night.glob("d2-*"):
        path.unlink()
    out = tmp_path / "out"
    reduce_night(open_night(night), out, Options(library=str(library)))
    flat = fits.getheader(out / "masters/MasterFlat_V.fits")
    assert "MasterDark_2s_2026-03-08" in flat["DARKCOR"]


def test_what_is_too_far_away_is_refused_with_the_way_out(library: Path, tmp_path: Path) -> None:
    night = night_of(tmp_path / "night", "2026-07-15", "s", 9)
    plan = make_plan(with_given(open_night(night), Options(library=str(library))))
    (first, *_) = plan.left_out
    assert "needs a flat in filter V" in first.reason
    assert "56 days away; --library-days flat=56 goes so far" in first.reason
    options = Options(library=str(library), library_days=("flat=57",))
    assert not make_plan(with_given(open_night(night), options), options).left_out


@pytest.mark.parametrize(
    ("cards", "changed", "told"),
    [
        ({"FILTER": "R"}, (40, 50), "needs a flat in filter R"),
        ({}, (44, 50), "shape 40x50, not 44x50"),
        ({"BIASSEC": "[41:50,1:40]", "TRIMSEC": "[1:40,1:40]"}, (40, 50), "overscan was not"),
    ],
)
def test_what_does_not_fit_is_not_borrowed(
    library: Path, tmp_path: Path, cards: dict[str, Any], changed: tuple[int, int], told: str
) -> None:
    maker = NightMaker(tmp_path / "night", changed)
    cards = {"FILTER": "V", **cards}
    maker.add("s.fits", "light", 500, 10.0, DATE_OBS="2026-03-07T21:00:00", **cards)
    options = Options(library=str(library))
    plan = make_plan(with_given(open_night(maker.folder), options), options)
    assert not plan.science
    assert told in plan.left_out[0].reason


def test_masters_without_uncertainties_are_not_borrowed_for_them(
    library: Path, tmp_path: Path
) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "s", 9, EGAIN=1.5, RDNOISE=5.0)
    options = Options(library=str(library), uncertainty=True)
    plan = make_plan(with_given(open_night(night), options), options)
    assert "without uncertainties" in plan.left_out[0].reason


def test_masters_that_lie_beside_the_frames_are_borrowed(library: Path, tmp_path: Path) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "s", 9)
    shutil.copytree(library.parent / "out-2026-03-01/masters", night / "masters")
    flat = night / "masters/MasterFlat_V.fits"
    flat.rename(flat.with_suffix(".FIT"))
    out = night / "out"
    summary = reduce_night(open_night(night), out)
    assert not summary.failed
    assert used(out) == ("MasterDark_10s_2026-03-01.fits", "MasterFlat_V_2026-03-01.fits")
    # Those of a folder of products are none that somebody has put there.
    shutil.rmtree(night / "masters")
    assert len(reduce_night(open_night(night), tmp_path / "other").failed) == 3


def test_masters_beside_the_frames_may_be_half_a_year_old(library: Path, tmp_path: Path) -> None:
    night = night_of(tmp_path / "night", "2027-03-07", "s", 9)
    shutil.copytree(library.parent / "out-2026-03-01/masters", night / "masters")
    summary = reduce_night(open_night(night), tmp_path / "out")
    assert len(summary.failed) == 3
    assert "days away" in summary.failed[0].reason
    night_of(tmp_path / "sooner", "2026-07-07", "s", 9)  # of a library, flats may be 30 days away
    shutil.copytree(library.parent / "out-2026-03-01/masters", tmp_path / "sooner/masters")
    reduce_night(open_night(tmp_path / "sooner"), tmp_path / "out2")
    assert used(tmp_path / "out2")[1] == "MasterFlat_V_2026-03-01.fits"
    asked = Options(library_days=("flat=30",))
    again = reduce_night(open_night(tmp_path / "sooner"), tmp_path / "out3", asked)
    assert len(again.failed) == 3


def test_masters_of_its_own_run_are_not_borrowed(library: Path, tmp_path: Path) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "dfs", 9)
    out = night / "out"
    reduce_night(open_night(night), out)
    before = {p.name: p.read_bytes() for p in out.rglob("*.fits")}
    again = reduce_night(open_night(night), out)
    assert not any(receipt.made for receipt in (*again.masters, *again.science))
    assert {p.name: p.read_bytes() for p in out.rglob("*.fits")} == before
    for path in night.glob("f-*"):
        path.unlink()
    assert len(reduce_night(open_night(night), out).failed) == 3


def test_masters_given_by_hand_come_first(library: Path, tmp_path: Path) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "dfs", 9)
    dark = next(library.glob("MasterDark_10s_2026-05-20*"))
    flat = next(library.glob("MasterFlat_V_2026-05-20*"))
    words = (f"dark={dark}", f"flat={flat}")
    out = tmp_path / "out"
    reduce_night(open_night(night), out, Options(master=words))
    assert used(out) == (dark.name, flat.name)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("sky=x.fits", "kinds are bias, dark, flat"),
        ("dark", "is KIND=FILE"),
        ("dark=none.fits", "none.fits"),
        ("dark={raw}", "nothing tells that it is a master"),
    ],
)
def test_wrong_masters_are_refused(tmp_path: Path, word: str, told: str) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "ds", 9)
    word = word.format(raw=night / "d10-0.fits")
    with pytest.raises(RequestError, match=told):
        reduce_night(open_night(night), tmp_path / "out", Options(master=(word,)))
    assert not (tmp_path / "out").exists()


def foreign(path: Path, pixels: Any, kind: str, exptime_s: float, **cards: Any) -> Path:
    header = fits.Header({"IMAGETYP": kind, "EXPTIME": exptime_s, **cards})
    header["DATE-OBS"] = "2026-03-01T20:00:00"
    fits.PrimaryHDU(pixels, header).writeto(path)
    return path


RANDOM = np.random.default_rng(3)
OTHER_DARK = RANDOM.normal(119, 1, (40, 50)).astype("f4")
OTHER_FLAT = (20000 * RANDOM.normal(1, 0.02, (40, 50))).astype("f4")


def test_masters_of_other_programs_are_taken_by_hand(tmp_path: Path) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "s", 9)
    dark = foreign(tmp_path / "dark_stacked.fit", OTHER_DARK, "Dark Frame", 10, STACKCNT=20)
    flat = foreign(tmp_path / "pp_flat.fits.gz", OTHER_FLAT, "Flat Field", 2, FILTER="V")
    options = Options(master=(f"dark={dark}", f"flat={flat}"))
    out = tmp_path / "out"
    summary = reduce_night(open_night(night), out, options)
    assert not summary.failed
    names = used(out)
    assert [name.split("_2026")[0] for name in names] == [
        "MasterDark_dark_stacked",
        "MasterFlat_pp_flat",
    ]
    with fits.open(out / "masters" / names[0], checksum=True) as hdus:
        np.testing.assert_array_equal(hdus[0].data, OTHER_DARK)
        assert hdus[0].header["NCOMBINE"] == 20
    made = fits.getdata(out / "masters" / names[1])
    assert np.median(made) == pytest.approx(1, rel=5e-3)  # the level is that of the mode
    np.testing.assert_allclose(made / made[0, 0], OTHER_FLAT / OTHER_FLAT[0, 0], rtol=1e-6)
    for number in range(3):
        raw = fits.getdata(night / f"s-{number}.fits").astype("f8")
        expected = (raw - OTHER_DARK) / made
        np.testing.assert_allclose(fits.getdata(out / f"s-{number}c.fits"), expected, rtol=1e-5)
    assert verify(out).findings == ()
    again = reduce_night(open_night(night), out, options)
    assert not any(receipt.made for receipt in (*again.masters, *again.science))
    # Changed, it is another master.
    foreign(tmp_path / "new.fit", OTHER_DARK + 1, "Dark Frame", 10).replace(dark)
    again = reduce_night(open_night(night), out, options)
    assert all(receipt.made for receipt in again.science)


def test_a_master_given_in_vain_is_told(tmp_path: Path) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "dfs", 9)
    dark = foreign(tmp_path / "master.fits", OTHER_DARK[:, :-1], "Dark Frame", 10)
    plan = make_plan(with_given(open_night(night), options := Options(master=(f"dark={dark}",))))
    assert not options.missing_dark
    (text,) = [text for text in plan.warnings if "given by hand" in text]
    assert "calibrates nothing: shape 40x49, not 40x50" in text


@pytest.mark.parametrize(
    ("kind", "level", "cards", "told"),
    [
        ("dark", 119, {"ZEROCOR": "with Zero.fits"}, "something was subtracted from it"),
        ("flat", 119, {}, "is a dark"),
        ("dark", 119, {"DASKRED": "0" * 32}, "daskred calibrated"),
    ],
)
def test_masters_that_do_not_serve_are_refused(
    tmp_path: Path, kind: str, level: float, cards: dict[str, Any], told: str
) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "s", 9)
    path = foreign(tmp_path / "x.fits", np.full((40, 50), level, "f4"), "Dark Frame", 10, **cards)
    with pytest.raises(RequestError, match=told):
        reduce_night(open_night(night), tmp_path / "out", Options(master=(f"{kind}={path}",)))


def test_masters_whose_pixels_do_not_serve_are_named(tmp_path: Path) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "s", 9)
    dark = foreign(tmp_path / "dark.fits", OTHER_DARK / 65535, "Dark Frame", 10)
    flat = foreign(tmp_path / "flat.fits", OTHER_FLAT * 0, "Flat Field", 2, FILTER="V")
    options = Options(master=(f"dark={dark}", f"flat={flat}"), missing_dark=True)
    summary = reduce_night(open_night(night), tmp_path / "out", options)
    assert len(summary.failed) == 3
    told = {entry.name: entry.reason for entry in summary.plan.left_out}
    assert "between 0 and 1" in told["dark.fits"]
    assert "has no light" in told["flat.fits"]
    assert not summary.science


def test_a_damaged_master_of_a_library_is_named_and_the_next_one_taken(
    library: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "lib"
    shutil.copytree(library, copy)
    damaged = next(copy.glob("MasterFlat_V_2026-03-08*"))
    damaged.write_bytes(damaged.read_bytes()[:3000])
    night = night_of(tmp_path / "night", "2026-03-07", "s", 9)
    summary = reduce_night(open_night(night), tmp_path / "out", Options(library=str(copy)))
    assert not summary.failed
    assert [entry.name for entry in summary.plan.left_out] == [damaged.name]
    assert "_2026-03-01_" in used(tmp_path / "out")[1]


def test_damaged_pixels_of_a_library_are_named_and_the_next_one_taken(
    library: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "lib"
    shutil.copytree(library, copy)
    damaged = next(copy.glob("MasterFlat_V_2026-03-08*"))
    content = bytearray(damaged.read_bytes())
    content[-5000:-4900] = bytes(100)
    damaged.write_bytes(content)
    night = night_of(tmp_path / "night", "2026-03-07", "s", 9)
    summary = reduce_night(open_night(night), tmp_path / "out", Options(library=str(copy)))
    assert not summary.failed
    assert damaged.name in [entry.name for entry in summary.plan.left_out]
    assert "_2026-03-01_" in used(tmp_path / "out")[1]
    assert verify(tmp_path / "out").findings == ()
    # What is damaged is mended by adding it again.
    assert main(["library", "add", str(copy), str(library.parent / "out-2026-03-08")]) == 0
    assert damaged.read_bytes() == (library / damaged.name).read_bytes()


def test_a_finished_night_needs_its_library_no_longer(library: Path, tmp_path: Path) -> None:
    copy = tmp_path / "lib"
    shutil.copytree(library, copy)
    night = night_of(tmp_path / "night", "2026-03-07", "s", 9)
    reduce_night(open_night(night), tmp_path / "out", Options(library=str(copy)))
    shutil.rmtree(copy)
    found = verify(tmp_path / "out")
    assert (found.n_expected, found.findings) == (5, ())


def test_frames_without_a_date_borrow_nothing_unasked(library: Path, tmp_path: Path) -> None:
    maker = NightMaker(tmp_path / "night", (40, 50))
    path = maker.add("s.fits", "light", 500, 10.0, FILTER="V")
    with fits.open(path, mode="update") as hdus:
        del hdus[0].header["DATE-OBS"]
    options = Options(library=str(library))
    plan = make_plan(with_given(open_night(maker.folder), options), options)
    assert "nobody knows how many days away" in plan.left_out[0].reason


def test_a_library_that_fits_nothing_spoils_no_night(library: Path, tmp_path: Path) -> None:
    maker = NightMaker(tmp_path / "night", (20, 30))
    for number in range(3):
        maker.add(f"b{number}.fits", "bias", 100, 0.0)
        maker.add(f"s{number}.fits", "light", 500, 10.0)
    options = Options(library=str(library), missing_flat=True)
    assert len(reduce_night(open_night(maker.folder), tmp_path / "out", options).science) == 3


def test_a_master_is_of_the_kind_that_it_is_given_for(library: Path, tmp_path: Path) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "s", 9)
    dark = next(library.glob("MasterDark_10s_2026-05-20*"))
    science = library.parent / "out-2026-03-01/s-0c.fits"
    for word, told in ((f"flat={dark}", "is a master dark"), (f"dark={science}", "and no master")):
        with pytest.raises(RequestError, match=told):
            reduce_night(open_night(night), tmp_path / "out", Options(master=(word,)))


def test_masters_by_hand_win_over_own_ones_of_their_name(library: Path, tmp_path: Path) -> None:
    night = night_of(tmp_path / "night", "2026-03-07", "ds", 9)
    named = tmp_path / "MasterDark_10s.fits"
    shutil.copy(library.parent / "out-2026-05-20/masters/MasterDark_10s.fits", named)
    for path in night.glob("*.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header["DATE-OBS"] = hdus[0].header["DATE-OBS"].replace("03-07", "05-20")
    options = Options(master=(f"dark={named}",), missing_flat=True)
    reduce_night(open_night(night), tmp_path / "out", options)
    header = fits.getheader(tmp_path / "out/s-0c.fits")
    assert header["DARKCOR"].startswith("MasterDark_10s_2026-05-20")


def test_a_library_is_looked_after(
    library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "lib"
    shutil.copytree(library, copy)
    assert main(["library", "list", str(copy)]) == 0
    listed = capsys.readouterr().out
    assert listed.count("MasterDark_10s_") == listed.count("MasterFlat_V_") == 3
    name = next(copy.glob("MasterDark_10s_2026-03-08*")).name
    assert main(["library", "show", str(copy), name]) == 0
    assert "NCOMBINE 3" in capsys.readouterr().out
    assert main(["library", "remove", str(copy), name]) == 0
    assert not (copy / name).exists()
    assert main(["library", "remove", str(copy), name]) == 2
    assert main(["library", "list", str(tmp_path / "nowhere")]) == 2
    assert main(["library", "remove", str(copy), "MasterFlat*"]) == 0
    assert not list(copy.glob("MasterFlat*"))
    capsys.readouterr()
    out = library.parent / "out-2026-03-01"
    for folder in (out, out / "masters"):  # verify would call them masters of nobody
        assert main(["library", "add", str(folder), str(library.parent / "out-2026-05-20")]) == 2
        assert "a run writes its products there" in capsys.readouterr().err


def test_a_jump_from_the_last_of_its_kind_is_told(
    library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "lib"
    shutil.copytree(library, copy)
    night_of(tmp_path / "night", "2026-05-27", "ds", 60)  # 58 ADU more than the last one
    reduce_night(open_night(tmp_path / "night"), tmp_path / "out", Options(missing_flat=True))
    assert main(["library", "add", str(copy), str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "beside MasterDark_10s_2026-05-20" in told
    assert "a jump" in told
    assert main(["library", "add", str(copy), str(tmp_path / "out")]) == 0
    assert "is there already" in capsys.readouterr().out


def test_what_is_added_twice_at_once_is_there_once(library: Path, tmp_path: Path) -> None:
    path = next(library.glob("MasterDark_10s_2026-03-08*"))
    first, is_new = keep(path, tmp_path / "lib")
    second, is_new_again = keep(path, tmp_path / "lib")
    assert (first, is_new, is_new_again) == (second, True, False)
    assert [p.name for p in (tmp_path / "lib").iterdir()] == [path.name]
    assert first.read_bytes() == path.read_bytes()
