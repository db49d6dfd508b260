"""A night from raw frames to products: the same bytes however it is cut, and nothing lost.

There are many cases, each short, which makes the file longer than others.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData

from daskred import (
    Options,
    RequestError,
    RunError,
    open_night,
    reduce_night,
    simulate,
)
from daskred.night.plan import make_plan
from daskred.products.log import RunLog
from daskred.run.summary import Summary
from tests.conftest import NightMaker, WriteFits, tree


def run(night: Path, out: Path, **options: Any) -> Summary:
    return reduce_night(open_night(night), out, Options(**options))


def failures(summary: Summary) -> dict[str, str]:
    return {entry.name: entry.reason for entry in summary.failed}


@pytest.fixture(scope="module")
def quiet(night: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the products of one undisturbed run."""
    out = tmp_path_factory.mktemp("quiet") / "out"
    run(night, out, workers=1)
    return tree(out)


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 2},
        {"workers": 5},
        {"workers": 2, "processes": True},
        {"workers": 3, "threads": True},
        {"tile_rows": 1},
        {"tile_rows": 7, "workers": 5},
        {"tile_rows": 10**6},
        {},
    ],
)
def test_products_have_the_same_bytes_however_the_work_is_cut(
    night: Path, tmp_path: Path, quiet: dict[str, bytes], options: dict[str, Any]
) -> None:
    run(night, tmp_path / "out", **options)
    assert tree(tmp_path / "out") == quiet


def test_products_do_not_depend_on_the_height_of_bands(
    night: Path, tmp_path: Path, quiet: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daskred.fits.pixels._BAND_PIXELS", 100)  # a band is two rows
    run(night, tmp_path / "out", workers=1)
    assert tree(tmp_path / "out") == quiet


def test_a_level_of_some_rows_does_not_depend_on_the_height_of_bands(
    night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daskred.kernels.level._ENOUGH_PIXELS", 300)  # every third row
    run(night, tmp_path / "whole", workers=1)
    monkeypatch.setattr("daskred.fits.pixels._BAND_PIXELS", 200)  # a band is five rows
    run(night, tmp_path / "bands", workers=1)
    assert tree(tmp_path / "bands") == tree(tmp_path / "whole")


def test_a_master_made_anew_is_read_anew(tmp_path: Path) -> None:
    own, out = tmp_path / "night", tmp_path / "out"
    simulate(own, shape=(40, 40), n_darks=3, n_flats=3, n_science=2)  # more than the digest reads
    run(own, out, workers=1)
    for path in (own / "dark").glob("dark_10s-*"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].data[-1, -1] += 500  # no card and no first pixel tells of it
    run(own, out, workers=1)
    run(own, tmp_path / "fresh", workers=1)
    assert tree(out) == tree(tmp_path / "fresh")


def test_packed_and_plain_frames_make_one_master(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    plain = run(make_night.folder, tmp_path / "plain")
    for name in ("d10-0.fits", "f-2.fits"):
        path = make_night.folder / name
        with fits.open(path) as hdus:
            packed = fits.CompImageHDU(hdus[0].data, hdus[0].header)
            packed.writeto(path.with_name(f"{name}.fz"))
        path.unlink()
    found = run(make_night.folder, tmp_path / "out")
    assert not found.failed
    for receipt in (*plain.masters, *plain.science):
        mine, other = (fits.open(tmp_path / d / receipt.product) for d in ("out", "plain"))
        with mine, other:
            np.testing.assert_array_equal(mine[0].data, other[0].data)
            assert mine[0].header.get("IMAGETYP") == other[0].header.get("IMAGETYP")


def test_a_full_disk_while_unpacking_stops_the_run(make_night: NightMaker, tmp_path: Path) -> None:
    import resource
    import signal

    make_night.standard()
    for path in list(make_night.folder.glob("d10-*.fits")):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    night = open_night(make_night.folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        with pytest.raises(RunError, match=os.strerror(errno.EFBIG)):
            reduce_night(night, tmp_path / "out", Options(workers=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert not reduce_night(night, tmp_path / "out").failed


def test_products_on_a_cluster_have_the_same_bytes(
    night: Path, tmp_path: Path, quiet: dict[str, bytes]
) -> None:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        run(night, tmp_path / "out")
    assert tree(tmp_path / "out") == quiet


def test_the_same_command_again_does_nothing_and_finishes_what_is_missing(
    night: Path, tmp_path: Path, quiet: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    run(night, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.fits")}
    again = run(night, out)
    assert not any(receipt.made for receipt in (*again.masters, *again.science))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.fits")} == before
    missing = sorted(out.rglob("ktwo*c.fits"))[2]
    missing.unlink()
    (out / "masters" / ".daskred-part-0-x.fits").write_text("what a killed run left")
    finished = run(night, out)
    assert [r.product for r in finished.science if r.made] == [f"ktwo220274129/{missing.name}"]
    assert tree(out) == quiet
    assert all(r.made for r in run(night, out, overwrite=True).science)
    assert tree(out) == quiet


def test_what_depended_on_a_changed_frame_is_made_again(night: Path, tmp_path: Path) -> None:
    own, out = tmp_path / "night", tmp_path / "out"
    shutil.copytree(night, own)
    run(own, out)
    changed = own / "dark" / "dark_3s-01.fits"
    with fits.open(changed, mode="update") as hdus:
        hdus[0].data[-1, -1] += 1
    again = run(own, out)
    assert [receipt.made for receipt in again.masters] == [False, True, True]
    assert all(receipt.made for receipt in again.science)  # the flat needs that dark
    other = own / "dark" / "dark_10s-01.fits"
    other.unlink()
    third = run(own, out)
    assert [receipt.made for receipt in third.masters] == [True, False, False]


def test_a_copied_night_is_known_by_its_content(tmp_path: Path) -> None:
    own, copy, out = tmp_path / "night", tmp_path / "copy", tmp_path / "out"
    simulate(own, shape=(40, 40), n_darks=3, n_flats=3, n_science=2)
    run(own, out)
    shutil.copytree(own, copy, copy_function=shutil.copyfile)  # new times of everything
    before = tree(out)
    again = run(copy, out)
    assert not any(receipt.made for receipt in (*again.masters, *again.science))
    assert tree(out) == before
    # Rows that are exchanged have the same sum of pixels, and are noticed.
    changed = copy / "dark" / "dark_3s-01.fits"
    with fits.open(changed, mode="update") as hdus:
        hdus[0].data[[30, 31]] = hdus[0].data[[31, 30]]
    assert [receipt.made for receipt in run(copy, out).masters] == [False, True, True]


def test_products_of_another_night_are_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for seed in (1, 2):
        simulate(tmp_path / str(seed), shape=(16, 16), n_darks=3, n_flats=3, n_science=2, seed=seed)
    run(tmp_path / "1", out)
    before = tree(out)
    with pytest.raises(RequestError, match="holds products of another night") as refused:
        run(tmp_path / "2", out)
    assert str(tmp_path / "1") in str(refused.value)
    assert tree(out) == before
    (tmp_path / "1").rename(tmp_path / "moved")
    assert not any(receipt.made for receipt in run(tmp_path / "moved", out).science)
    assert all(receipt.made for receipt in run(tmp_path / "2", out, overwrite=True).science)


@pytest.mark.parametrize("letters", ["[Ha] M31", "M31 *", "what?", "it's", 'a "night"', "Nächte"])
def test_another_night_is_noticed_whatever_letters_its_folder_has(
    tmp_path: Path, letters: str
) -> None:
    nights = [tmp_path / f"{seed} {letters}" for seed in (1, 2)]
    for seed, night in enumerate(nights):
        simulate(night, shape=(16, 16), n_darks=2, n_flats=2, n_science=1, seed=seed)
    run(nights[0], tmp_path / "out")
    before = tree(tmp_path / "out")
    with pytest.raises(RequestError, match="holds products of another night"):
        run(nights[1], tmp_path / "out")
    assert tree(tmp_path / "out") == before
    run(nights[0], tmp_path / "out")


def test_a_frame_put_in_the_place_of_another_is_noticed(tmp_path: Path) -> None:
    own, out = tmp_path / "night", tmp_path / "out"
    simulate(own, shape=(40, 40), n_darks=3, n_flats=3, n_science=2)  # more than the digest reads
    run(own, out)
    old = own / "dark" / "dark_3s-01.fits"
    repaired = tmp_path / "repaired.fits"
    data = bytearray(old.read_bytes())
    data[2880 + 2 * 40 * 40 - 1] ^= 1  # the last pixel
    repaired.write_bytes(data)
    os.utime(repaired, ns=(0, 0))  # older than any product
    repaired.replace(old)
    assert [receipt.made for receipt in run(own, out).masters] == [False, True, True]
    # A camera whose clock is ahead changes nothing.
    os.utime(old, (2**33, 2**33))
    run(own, out)
    assert not any(receipt.made for receipt in run(own, out).masters)


def test_other_options_make_other_products(night: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(night, out)
    assert all(r.made for r in run(night, out, processed_by="Ada").science)
    named = fits.getheader(next((out / "ktwo220274129").iterdir()))
    assert "processed by Ada" in list(named["COMMENT"])
    normalized = run(night, out, processed_by="Ada", normalize="median")
    assert [receipt.made for receipt in normalized.masters] == [False, False, True]


def test_raw_frames_never_change_also_where_products_lie_among_them(
    night: Path, tmp_path: Path
) -> None:
    own = tmp_path / "night"
    shutil.copytree(night, own)
    raw = tree(own)
    first = run(own, own)
    again = run(own, own)
    assert len(first.science) == len(again.science) == 7
    assert not any(receipt.made for receipt in again.science)
    after = tree(own)
    assert {name: after[name] for name in raw} == raw
    assert len(after) == len(raw) + 3 + 7


def test_headers_say_what_was_done(night: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(night, out)
    name = "ktwo220274129-0003"
    raw = fits.getheader(night / "ktwo220274129" / f"{name}.fits")
    product = fits.getheader(out / "ktwo220274129" / f"{name}c.fits")
    for card in ("DATE-OBS", "OBJECT", "EXPTIME", "FILTER", "XBIN"):
        assert product[card] == raw[card]
        assert product.comments[card] == raw.comments[card]
    assert not {"BZERO", "BSCALE", "BLANK"} & set(product)
    assert product["DARKCOR"] == "MasterDark_10s.fits"
    assert product["FLATCOR"] == "MasterFlat_BG40.fits"
    assert product["BUNIT"] == "adu"
    assert "CCDPROC" in product
    assert list(product["COMMENT"]) == ["Calibrated Science Frame"]
    dark = fits.getheader(out / "masters" / "MasterDark_10s.fits")
    assert dark["NCOMBINE"] == 5
    assert dark["COMBINE"] == "median"
    assert dark["IMCMB005"] == "dark_10s-05.fits"
    assert dark["EXPTIME"] == 10
    assert "DATE-OBS" not in dark  # its inputs disagree
    assert list(dark["COMMENT"]) == ["master 10-second dark", "5 frames median combined"]
    flat = fits.getheader(out / "masters" / "MasterFlat_BG40.fits")
    assert flat["DARKCOR"] == "MasterDark_3s.fits"
    assert flat["NORMALIZ"] == "mode"


def test_products_are_what_astropy_and_ccddata_read(night: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(night, out)
    for path in out.rglob("*.fits"):
        with fits.open(path, checksum=True) as hdus:  # a wrong sum warns
            hdus.verify("exception")
        data = CCDData.read(path)
        dimensionless = path.name.startswith("MasterFlat")
        assert data.unit == (units.dimensionless_unscaled if dimensionless else units.adu)


def test_a_dark_is_scaled_for_flats_as_the_header_says(
    make_night: NightMaker, tmp_path: Path
) -> None:
    for number in range(3):
        make_night.add(f"b-{number}.fits", "Bias Frame", 100, 0.0)
        make_night.add(f"d-{number}.fits", "Dark Frame", 400, 300.0)
        make_night.add(f"f-{number}.fits", "Flat Field", 20000, 3.0)
    make_night.add("s.fits", "Light Frame", 900, 300.0)
    out = tmp_path / "out"
    summary = run(make_night.folder, out, dtype="float64", normalize="median")
    assert not summary.failed

    def stack(pattern: str) -> Any:
        paths = sorted(make_night.folder.glob(pattern))
        return np.array([fits.getdata(path).astype("f8") for path in paths])

    bias, dark = np.median(stack("b-*"), axis=0), np.median(stack("d-*"), axis=0)
    flats = stack("f-*") - (bias + (dark - bias) * (3.0 / 300.0))
    flat = np.median(flats / np.median(flats, axis=(1, 2))[:, None, None], axis=0)
    flat /= np.median(flat)
    master = out / "masters" / "MasterFlat.fits"
    np.testing.assert_allclose(fits.getdata(master), flat, rtol=1e-12)
    assert fits.getheader(master)["DARKCOR"] == "MasterDark_300s.fits with scale=0.01"
    np.testing.assert_allclose(fits.getdata(out / "sc.fits"), (stack("s.*")[0] - dark) / flat)


def test_twilight_flats_of_many_exposure_times_share_one_master(
    make_night: NightMaker, tmp_path: Path
) -> None:
    for number in range(3):
        make_night.add(f"b-{number}.fits", "Bias Frame", 100, 0.0)
        make_night.add(f"d-{number}.fits", "Dark Frame", 400, 30.0)
    times = (2.0, 3.0, 5.0, 5.0)
    for number, exptime_s in enumerate(times):
        make_night.add(f"f-{number}.fits", "Flat Field", 15000, exptime_s)
    make_night.add("s.fits", "Light Frame", 900, 30.0)
    out = tmp_path / "out"
    summary = run(make_night.folder, out, dtype="float64", normalize="mean")
    assert summary.plan.master("MasterFlat").needs == ("MasterBias", "MasterDark_30s")

    def stack(pattern: str) -> Any:
        paths = sorted(make_night.folder.glob(pattern))
        return np.array([fits.getdata(path).astype("f8") for path in paths])

    bias, dark = np.median(stack("b-*"), axis=0), np.median(stack("d-*"), axis=0)
    scales = np.array(times)[:, None, None] / 30
    flats = stack("f-*") - (bias + (dark - bias) * scales)
    flat = np.median(flats / flats.mean(axis=(1, 2))[:, None, None], axis=0)
    found = fits.getdata(out / "masters" / "MasterFlat.fits")
    np.testing.assert_allclose(found, flat / flat.mean(), rtol=1e-12)


def test_flats_without_light_and_saturated_ones_are_named(
    make_night: NightMaker, tmp_path: Path
) -> None:
    make_night.standard()
    make_night.add("unlit.fits", "Flat Field", 90, 2.0, FILTER="V")
    make_night.add("burnt.fits", "Flat Field", 70000, 2.0, FILTER="V")
    make_night.add("low.fits", "Flat Field", 30000, 2.0, FILTER="V", SATURATE=20000)
    summary = run(make_night.folder, tmp_path / "out")
    found = failures(summary)
    assert set(found) == {"unlit.fits", "burnt.fits", "low.fits"}
    assert "no light" in found["unlit.fits"]
    assert "saturated" in found["burnt.fits"]
    assert len(summary.science) == 2
    assert fits.getheader(tmp_path / "out" / "masters" / "MasterFlat_V.fits")["NCOMBINE"] == 3


def test_dead_flat_pixels_give_nan_and_are_counted(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    for path in make_night.folder.glob("f-*"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].data[2, 3] = 102
            hdus[0].data[4, 5] = 0
    out = tmp_path / "out"
    summary = run(make_night.folder, out)
    flat = fits.getdata(out / "masters" / "MasterFlat_V.fits")
    n_bad = np.count_nonzero(flat <= 0)
    assert n_bad >= 1
    for receipt in summary.science:
        pixels = fits.getdata(out / receipt.product)
        assert not np.isinf(pixels).any()
        assert np.count_nonzero(np.isnan(pixels)) == receipt.n_nan == n_bad
        assert fits.getheader(out / receipt.product)["NANPIX"] == n_bad


def test_blank_pixels_have_no_value_and_do_not_spoil_masters(
    make_night: NightMaker, tmp_path: Path
) -> None:
    make_night.standard()
    for name in ("s-0.fits", "d10-1.fits"):
        path = make_night.folder / name
        with fits.open(path, do_not_scale_image_data=True, mode="update") as hdus:
            hdus[0].data[1, 1] = -32768
            hdus[0].header["BLANK"] = -32768
    out = tmp_path / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(make_night.folder, out)
    assert not np.isnan(fits.getdata(out / "masters" / "MasterDark_10s.fits")).any()
    assert np.argwhere(np.isnan(fits.getdata(out / "s-0c.fits"))).tolist() == [[1, 1]]
    assert not np.isnan(fits.getdata(out / "s-1c.fits")).any()


def test_a_frame_whose_pixels_cannot_be_read_is_left_out_and_the_rest_goes_on(
    make_night: NightMaker, tmp_path: Path
) -> None:
    make_night.standard(n_science=3)
    night = open_night(make_night.folder)
    (make_night.folder / "s-1.fits").unlink()
    (make_night.folder / "d10-2.fits").write_bytes(b"")
    summary = reduce_night(night, tmp_path / "out", Options())
    assert set(failures(summary)) == {"s-1.fits", "d10-2.fits"}
    assert [receipt.product for receipt in summary.science] == ["s-0c.fits", "s-2c.fits"]
    assert fits.getheader(tmp_path / "out" / "masters" / "MasterDark_10s.fits")["NCOMBINE"] == 2


def test_mosaics_keep_their_structure(write_fits: WriteFits, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)

    def mosaic(name: str, kind: str, level: float, exptime_s: float) -> None:
        pixels = [rng.normal(level * gain, 3, (6, 9)).round().astype("u2") for gain in (1, 2)]
        path = write_fits(f"night/{name}", pixels, {"OBSTYPE": kind, "EXPTIME": exptime_s})
        table = fits.BinTableHDU.from_columns([fits.Column("T", "D", array=np.arange(3.0))])
        with fits.open(path, mode="append") as hdus:
            hdus.append(table)

    for number in range(3):
        mosaic(f"d{number}.fits", "DARK", 100, 5.0)
        mosaic(f"f{number}.fits", "FLAT", 9000, 5.0)
    mosaic("s.fits", "OBJECT", 700, 5.0)
    summary = run(tmp_path / "night", tmp_path / "out", normalize="median")
    assert not summary.failed
    with (
        fits.open(tmp_path / "out" / "sc.fits", checksum=True) as product,
        fits.open(tmp_path / "night" / "s.fits") as raw,
        fits.open(tmp_path / "out" / "masters" / "MasterFlat.fits") as flat,
        fits.open(tmp_path / "out" / "masters" / "MasterDark_5s.fits") as dark,
    ):
        assert [hdu.name for hdu in product] == [hdu.name for hdu in raw]
        np.testing.assert_array_equal(product[3].data, raw[3].data)
        for number in (1, 2):
            expected = (raw[number].data - dark[number].data) / flat[number].data
            np.testing.assert_allclose(product[number].data, expected, rtol=1e-6)
            assert product[number].header["EXTVER"] == number
        # One level for the whole detector keeps the amplifiers' ratio.
        assert np.median(flat[2].data) / np.median(flat[1].data) == pytest.approx(2, rel=0.02)
        assert "DARKCOR" in product[0].header


@pytest.mark.parametrize("packing", ["gz", "fz"])
def test_packed_frames_are_what_plain_ones_are(
    make_night: NightMaker, tmp_path: Path, packing: str
) -> None:
    make_night.standard()
    folder = make_night.folder
    plain = run(folder, tmp_path / "plain")
    packed = tmp_path / "packed"
    packed.mkdir()
    for path in folder.iterdir():
        with fits.open(path) as hdus:
            hdu = hdus[0]
            if packing == "fz":
                hdu = fits.CompImageHDU(hdu.data, hdu.header)
            hdu.writeto(packed / f"{path.name}.{packing}")
    found = run(packed, tmp_path / "out", tile_rows=3)
    assert not found.failed
    assert [r.product for r in found.science] == [r.product for r in plain.science]
    for receipt in (*found.masters, *found.science):
        mine, other = (fits.open(tmp_path / d / receipt.product) for d in ("out", "plain"))
        with mine, other:
            np.testing.assert_array_equal(mine[0].data, other[0].data)
            assert not any(card.startswith(("Z", "TTYPE")) for card in mine[0].header)
            assert mine[0].header["IMAGETYP"] == other[0].header["IMAGETYP"]
    assert not [name for name in tree(tmp_path / "out") if "part" in name]


def test_a_packed_frame_that_is_broken_is_left_out(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    for name in ("d10-1.fits", "f-1.fits", "s-1.fits"):
        path = make_night.folder / name
        data = bytearray(gzip.compress(path.read_bytes()))
        data[-6] ^= 1  # in the sum at the stream's end
        path.with_name(f"{name}.gz").write_bytes(data)
        path.unlink()
    summary = run(make_night.folder, tmp_path / "out")
    found = failures(summary)
    assert set(found) == {"d10-1.fits.gz", "f-1.fits.gz", "s-1.fits.gz"}
    assert all("packed stream is broken" in reason for reason in found.values())
    assert len(summary.science) == 1


def test_nothing_to_do_is_refused_and_nothing_written(
    make_night: NightMaker, tmp_path: Path
) -> None:
    make_night.add("d.fits", "Dark Frame", 100, 10.0)
    out = tmp_path / "out"
    with pytest.raises(RequestError, match="no science frames: the night has 1 dark"):
        run(make_night.folder, out)
    assert not out.exists()
    summary = run(make_night.folder, out, masters_only=True)
    assert [receipt.source for receipt in summary.masters] == ["MasterDark_10s"]


def test_a_folder_that_cannot_be_one_is_refused(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    file = tmp_path / "file"
    file.write_text("mine")
    for out in (file, file / "below"):
        with pytest.raises(RequestError, match="name a folder"):
            run(make_night.folder, out)
    assert file.read_text() == "mine"


def test_foreign_files_are_never_written_over(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    out = tmp_path / "out"
    out.mkdir()
    (out / "s-0c.fits").write_text("somebody's work")
    summary = run(make_night.folder, out, overwrite=True)
    assert "daskred did not make it" in failures(summary)["s-0.fits"]
    assert (out / "s-0c.fits").read_text() == "somebody's work"
    assert len(summary.science) == 1
    shutil.rmtree(out)
    (out / "masters").mkdir(parents=True)
    (out / "masters" / "MasterFlat_V.fits").write_text("somebody's flat")
    with pytest.raises(RequestError, match="move it away"):
        run(make_night.folder, out)
    assert list(tree(out)) == ["masters/MasterFlat_V.fits"]


def test_empty_files_among_raw_frames_are_not_written_over(make_night: NightMaker) -> None:
    folder = make_night.standard()
    (folder / "s-0c.fits").touch()
    summary = run(folder, folder)
    assert set(failures(summary)) == {"s-0c.fits", "s-0.fits"}
    assert (folder / "s-0c.fits").read_bytes() == b""


def test_a_product_whose_name_is_too_long_is_named(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    make_night.add("x" * 250 + ".fits", "Light Frame", 500, 10.0, FILTER="V", OBJECT="M 31")
    summary = run(make_night.folder, tmp_path / "out")
    assert "too long" in next(iter(failures(summary).values()))
    assert len(summary.science) == 2


def test_a_calibration_frame_that_vanishes_is_left_out(
    make_night: NightMaker, tmp_path: Path
) -> None:
    make_night.standard()
    night = open_night(make_night.folder)
    (make_night.folder / "d10-1.fits").unlink()
    summary = reduce_night(night, tmp_path / "out")
    assert set(failures(summary)) == {"d10-1.fits"}
    assert len(summary.science) == 2


def test_odd_bytes_and_names_do_not_spoil_headers(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    (make_night.folder / "d10-0.fits").rename(make_night.folder / "d\n\u00e9'.fits")
    raw = make_night.folder / "s-0.fits"
    raw.write_bytes(raw.read_bytes().replace(b"'M 31    '", b"'M \xe9\xe8    '"))
    out = tmp_path / "out"
    run(make_night.folder, out, processed_by="Zo\u00eb")
    with fits.open(out / "masters" / "MasterDark_10s.fits", checksum=True) as hdus:
        assert "d??'.fits" in [hdus[0].header[f"IMCMB00{n}"] for n in (1, 2, 3)]
    assert b"'M \xe9\xe8    '" in (out / "s-0c.fits").read_bytes()


def test_two_runs_do_not_write_into_one_folder(make_night: NightMaker, tmp_path: Path) -> None:
    make_night.standard()
    out = tmp_path / "out"
    out.mkdir()
    with RunLog(out), pytest.raises(RequestError, match="another run"):
        run(make_night.folder, out)
    assert len(run(make_night.folder, out).science) == 2


def test_a_full_disk_stops_the_run_which_then_goes_on(
    make_night: NightMaker, tmp_path: Path
) -> None:
    import resource

    make_night.standard(n_science=6)
    night, out = open_night(make_night.folder), tmp_path / "out"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))  # a product has two blocks or more
    try:
        with pytest.raises(RunError, match=os.strerror(errno.EFBIG)):
            reduce_night(night, out, Options(workers=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert tree(out) == {}
    assert len(reduce_night(night, out).science) == 6


def test_going_without_on_request(make_night: NightMaker, tmp_path: Path) -> None:
    raw = make_night.add("s.fits", "Light Frame", 500, 10.0)
    out = tmp_path / "out"
    run(make_night.folder, out, missing_dark=True, missing_flat=True)
    np.testing.assert_array_equal(fits.getdata(out / "sc.fits"), fits.getdata(raw))


@pytest.mark.parametrize("option", [{"normalize": "modus"}, {"dtype": "int16"}])
def test_unknown_options_list_the_known(option: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="there are"):
        Options(**option)


def test_a_line_through_darks_is_the_dark_of_a_shorter_exposure(
    make_night: NightMaker, tmp_path: Path
) -> None:
    times = (2.0, 6.0, 10.0)
    for number in range(3):
        for time in times:
            make_night.add(f"d{time:g}-{number}.fits", "Dark Frame", 100 + 20 * time, time)
    make_night.add("d10-3.fits", "Dark Frame", 300, 10.0)  # times weigh by their numbers
    make_night.add("s-4.fits", "Light Frame", 900, 4.0, OBJECT="M 31")
    make_night.add("s-12.fits", "Light Frame", 900, 12.0, OBJECT="M 31")
    night = open_night(make_night.folder)
    refused = {entry.name: entry.reason for entry in make_plan(night).left_out}
    assert "--dark-model fits a line through them" in refused["s-4.fits"]
    summary = reduce_night(night, tmp_path / "out", Options(missing_flat=True, dark_model=True))
    assert [entry.name for entry in summary.failed] == ["s-12.fits"]  # a line is not extended
    masters = tmp_path / "out" / "masters"
    planes = [fits.getdata(masters / f"MasterDark_{time:g}s.fits").astype("f8") for time in times]
    stack = np.array(planes).reshape(3, -1)
    rate, bias = np.polyfit(times, stack, 1, w=np.sqrt([3, 3, 4]))
    expected = fits.getdata(make_night.folder / "s-4.fits") - (bias + 4 * rate).reshape(8, 12)
    with fits.open(tmp_path / "out" / "s-4c.fits") as hdus:
        np.testing.assert_allclose(hdus[0].data, expected, rtol=1e-6)
        assert hdus[0].header["DARKCOR"] == "straight line over exposure time"
        assert hdus[0].header["DARKC001"].startswith("MasterDark_2s.fits with scale=0.5869")
