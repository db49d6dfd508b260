"""The library in a notebook: labelled lazy arrays that are plain xarray.

There are many cases, each short, which makes the file longer than others.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import daskred
from daskred import RequestError
from tests.conftest import NightMaker, WriteFits


def test_frames_open_lazily_with_their_labels(night: Path) -> None:
    opened = daskred.open_night(night)
    raw = daskred.open_frames(opened.select("science"))
    assert raw.dims == ("frame", "y", "x")
    assert raw.dtype == np.uint16
    assert dask.is_dask_collection(raw)
    known = {"file", "kind", "exptime_s", "filter", "time", "telescope", "y", "x"}
    assert set(raw.coords) == known
    assert raw["exptime_s"].values.tolist() == [10.0] * 7
    assert set(raw["filter"].values) == {"BG40"}
    expected = np.array([fits.getdata(str(path)) for path in raw["file"].values])
    np.testing.assert_array_equal(raw.values, expected)
    np.testing.assert_array_equal(
        daskred.open_frames(opened.select("science"), tiled=True).values, expected
    )


def test_arithmetic_and_plots_are_plain_xarray(night: Path, tmp_path: Path) -> None:
    mpl.use("agg")
    raw = daskred.open_frames(daskred.open_night(night).select("science"))
    mean = raw.astype("f8").mean(["y", "x"])
    np.testing.assert_allclose(mean.values, raw.values.mean(axis=(1, 2)))
    np.testing.assert_array_equal(raw[2, 3:5, ::2].values, raw.values[2, 3:5, ::2])
    np.testing.assert_array_equal(raw.isel(frame=[4, 1]).values, raw.values[[4, 1]])
    np.testing.assert_array_equal(raw[::-1, ::-1].values, raw.values[::-1, ::-1])
    assert raw.sel(x=3).shape == (7, 24)
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    raw[0].plot.imshow(ax=axes)
    figure.savefig(tmp_path / "plot.png")
    plt.close(figure)


def test_a_notebook_makes_what_a_run_makes(night: Path, tmp_path: Path) -> None:
    opened = daskred.open_night(night)
    daskred.reduce_night(opened, tmp_path / "run")
    darks = {t: daskred.master_dark(opened.select("dark", exptime_s=t)) for t in (3, 10)}
    flat = daskred.master_flat(opened.select("flat"), darks[3])
    science = daskred.open_frames(opened.select("science"))
    calibrated = daskred.calibrate(science, darks[10], flat)
    assert dask.is_dask_collection(calibrated)
    assert calibrated.dtype == np.float32
    receipts = daskred.write_frames(calibrated, tmp_path / "notebook")
    assert len(receipts) == 7
    for receipt in receipts:
        mine = tmp_path / "notebook" / receipt.product
        other = tmp_path / "run" / "ktwo220274129" / receipt.product
        np.testing.assert_allclose(fits.getdata(mine), fits.getdata(other), rtol=2e-7)
        assert fits.getheader(mine)["DATE-OBS"] == fits.getheader(other)["DATE-OBS"]
        for card in ("DARKCOR", "FLATCOR"):
            assert fits.getheader(mine)[card] == fits.getheader(other)[card]
    stored = daskred.open_master(tmp_path / "run" / "masters" / "MasterFlat_BG40.fits")
    xr.testing.assert_allclose(stored, flat.compute(), rtol=1e-6)
    again = daskred.calibrate(science.compute(), darks[10].compute(), stored)
    np.testing.assert_allclose(again.values, calibrated.values, rtol=1e-6)


@pytest.mark.parametrize("more", [{}, {"mask": True, "counts": True, "combine": "mean"}])
def test_a_notebook_writes_the_masters_of_a_run(
    night: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    opened, options = daskred.open_night(night), daskred.Options(**more)
    summary = daskred.reduce_night(opened, tmp_path / "run", options)
    dark = daskred.master_dark(opened.select("dark", exptime_s=3), options=options)
    flat = daskred.master_flat(opened.select("flat"), dark, options=options)
    for master in (dark, flat):
        mine = daskred.write_master(master, tmp_path / "notebook")
        other = tmp_path / "run/masters" / mine.name
        assert f"masters/{mine.name}" in [receipt.product for receipt in summary.masters]
        # Who knows the pixels it was made from has another digest of them; and no checks were made.
        ours = ("CHECKSUM", "DATASUM", "DASKRED", "RAWSUM", "DQ")
        with fits.open(mine, checksum=True) as my_file, fits.open(other) as other_file:
            assert [hdu.name for hdu in my_file] == [hdu.name for hdu in other_file]
            for mine_of_hdu, other_of_hdu in zip(my_file, other_file, strict=True):
                cards = [
                    [str(card) for card in hdu.header.cards if not card.keyword.startswith(ours)]
                    for hdu in (mine_of_hdu, other_of_hdu)
                ]
                assert cards[0] == cards[1]
                np.testing.assert_allclose(mine_of_hdu.data, other_of_hdu.data, rtol=1e-6)
    # The same is there already; of what was worked on no header would be true.
    before = mine.stat().st_mtime_ns
    assert daskred.write_master(flat, tmp_path / "notebook") == mine
    assert mine.stat().st_mtime_ns == before
    for changed in (flat.isel(y=slice(8, None)), flat * 2, flat.compute()):
        with pytest.raises(RequestError, match="no header that is true of it"):
            daskred.write_master(changed, tmp_path / "changed")
    # Other masters of the name, and others' files, are not replaced.
    few = daskred.master_flat(opened.select("flat")[:2], dark, options=options)
    with pytest.raises(RequestError, match="made of other frames"):
        daskred.write_master(few, tmp_path / "notebook")
    with pytest.raises(RequestError, match="made of other frames"):
        daskred.write_master(flat, tmp_path / "run")
    mine.write_bytes(b"nobody's")
    with pytest.raises(RequestError, match="daskred did not make it"):
        daskred.write_master(flat, tmp_path / "notebook")


def test_a_master_of_a_mosaic_is_written_with_all_of_its_images(
    make_night: NightMaker, tmp_path: Path
) -> None:
    rng = np.random.default_rng(8)
    for number in range(3):
        units: list[Any] = [fits.PrimaryHDU()]
        units[0].header.update({"OBSTYPE": "DARK", "EXPTIME": 5.0 + 5 * (number == 2)})
        pixels = rng.integers(90, 110, (2, 8, 9)).astype("i2")
        units += [fits.ImageHDU(image, name=name) for image, name in zip(pixels, "AB", strict=True)]
        make_night.folder.mkdir(exist_ok=True)
        fits.HDUList(units).writeto(make_night.folder / f"d{number}.fits")
    frames = daskred.open_night(make_night.folder).select("dark", exptime_s=5)
    names = [name for name, _ in frames[0].layout]
    masters = {name: daskred.master_dark(frames, image=name) for name in names}
    path = daskred.write_master(dict(reversed(masters.items())), tmp_path)
    for name, master in masters.items():
        np.testing.assert_array_equal(daskred.open_master(path, image=name), master)
    with pytest.raises(RequestError, match="give a master of each"):
        daskred.write_master(masters[names[0]], tmp_path)
    others = daskred.open_night(make_night.folder).select("dark", exptime_s=10)
    masters[names[1]] = daskred.master_dark(others, image=names[1])
    with pytest.raises(RequestError, match="the images are of unlike masters"):
        daskred.write_master(masters, tmp_path)


def test_headers_of_any_length_leave_the_pixels_alone(
    write_fits: WriteFits, tmp_path: Path
) -> None:
    """What pixels tell comes into headers last, wherever these end."""
    pixels = np.random.default_rng(1).integers(500, 900, (9, 12), "u2")
    for number in range(36):
        cards = {"OBSTYPE": "EXPOSE", "EXPTIME": 5.0, "DATE-OBS": f"2020-01-01T00:{number:02d}:00"}
        cards |= {f"CARD{n}": n for n in range(number)}
        write_fits(f"night/{number:02d}.fits", pixels + number, cards)
    science = daskred.open_frames(daskred.open_night(tmp_path / "night").frames)
    dark = xr.DataArray(np.full((9, 12), 100.0, "f4"), dims=("y", "x"))
    calibrated = daskred.calibrate(science, dark)
    receipts = daskred.write_frames(calibrated, tmp_path / "out")
    for number, receipt in enumerate(receipts):
        with fits.open(tmp_path / "out" / receipt.product, checksum=True) as product:
            np.testing.assert_array_equal(product[0].data, pixels + number - 100.0)
            assert "DQLEVEL" in product[0].header


def test_a_selection_keeps_each_frames_own_header(night: Path, tmp_path: Path) -> None:
    science = daskred.open_frames(daskred.open_night(night).select("science"))
    chosen = (science - 1000.0).isel(frame=[5, 2])
    receipts = daskred.write_frames(chosen, tmp_path)
    for receipt, number in zip(receipts, (5, 2), strict=True):
        source = Path(str(science["file"].values[number]))
        product = tmp_path / receipt.product
        assert product.name == f"{source.stem}c.fits"
        assert fits.getheader(product)["DATE-OBS"] == fits.getheader(source)["DATE-OBS"]
        np.testing.assert_allclose(fits.getdata(product), fits.getdata(source) - 1000.0)


def test_a_mosaic_gives_one_array_for_each_image(write_fits: WriteFits, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for number in range(3):
        pixels = [rng.integers(0, 999, shape, "u2") for shape in ((4, 6), (3, 5))]
        cards = {"OBSTYPE": "EXPOSE", "EXPTIME": 5.0, "DATE-OBS": f"2020-01-0{number + 1}"}
        write_fits(f"night/{number}.fits", pixels, cards)
    frames = daskred.open_night(tmp_path / "night").frames
    images = daskred.open_images(frames)
    assert {name: array.shape for name, array in images.items()} == {
        "AMP,1": (3, 4, 6),
        "AMP,2": (3, 3, 5),
    }
    assert daskred.open_frames(frames, image="AMP,2").shape == (3, 3, 5)
    halved = {name: array / 2 for name, array in images.items()}
    daskred.write_frames(halved, tmp_path / "out")
    product = fits.getdata(tmp_path / "out" / "1c.fits", ("AMP", 2))
    np.testing.assert_array_equal(product, images["AMP,2"].values[1] / 2)
    with pytest.raises(RequestError, match="no image 'B'"):
        daskred.open_frames(frames, image="B")


def test_a_mosaics_arrays_are_written_by_name(write_fits: WriteFits, tmp_path: Path) -> None:
    pixels = [np.full(shape, n, "u2") for n, shape in enumerate(((4, 6), (3, 5)))]
    write_fits("night/a.fits", pixels, {"OBSTYPE": "EXPOSE", "EXPTIME": 5.0})
    images = daskred.open_images(daskred.open_night(tmp_path / "night").frames)
    receipts = daskred.write_frames(dict(reversed(images.items())), tmp_path / "out")
    assert [receipt.source for receipt in receipts] == ["a.fits"]
    with fits.open(tmp_path / "out" / "ac.fits") as hdus:
        np.testing.assert_array_equal(hdus[1].data, pixels[0])
        np.testing.assert_array_equal(hdus[2].data, pixels[1])
    with pytest.raises(RequestError, match="images 'AMP,1', 'AMP,2'"):
        daskred.write_frames(images["AMP,1"], tmp_path / "out")


def test_what_cannot_be_written_is_refused(night: Path, tmp_path: Path) -> None:
    for name in ("a.fits", "a.fits.gz"):
        source = next((night / "ktwo220274129").iterdir())
        data = source.read_bytes()
        packed = gzip.compress(data.replace(b"ktwo", b"Ktwo")) if name.endswith("gz") else data
        (tmp_path / name).write_bytes(packed)
    science = daskred.open_frames(daskred.open_night(tmp_path).frames)
    with pytest.raises(RequestError, match="one product"):
        daskred.write_frames(science, tmp_path / "out")
    nothings: tuple[Any, ...] = ({}, science.isel(frame=[]))
    for nothing in nothings:
        with pytest.raises(RequestError, match="no frames"):
            daskred.write_frames(nothing, tmp_path / "out")
    with pytest.raises(RequestError, match="no frames"):
        daskred.open_images([])
    with pytest.raises(RequestError, match="no image 5"):
        daskred.open_frames(daskred.open_night(tmp_path).frames, image=5)
    assert science.isel(y=[]).values.shape == (2, 0, 40)


def test_masters_of_opened_stacks(night: Path) -> None:
    opened = daskred.open_night(night)
    flats = opened.select("flat")
    options = daskred.Options(missing_dark=True)
    from_stack = daskred.master_flat(daskred.open_frames(flats, tiled=True), options=options)
    from_frames = daskred.master_flat(flats, options=options)
    np.testing.assert_array_equal(from_stack.values, from_frames.values)
    some = daskred.master_dark(frame for frame in opened.select("dark", exptime_s=3))
    assert some.attrs["n_frames"] == 5


def test_frames_that_differ_are_not_stacked(make_night: NightMaker) -> None:
    make_night.add("a.fits", "Dark Frame", 100)
    make_night.add("b.fits", "Dark Frame", 100, shape=(3, 3))
    with pytest.raises(RequestError, match=r"b\.fits and a\.fits differ"):
        daskred.open_frames(daskred.open_night(make_night.folder).frames)
    with pytest.raises(RequestError, match="no frames"):
        daskred.open_frames([])


def test_types_that_differ_are_stacked_without_wrapping(make_night: NightMaker) -> None:
    make_night.add("a.fits", "Dark Frame", 60000, dtype="u2")
    make_night.add("b.fits", "Dark Frame", 100, dtype="i2")
    raw = daskred.open_frames(daskred.open_night(make_night.folder).frames)
    assert raw.dtype == np.int32
    assert raw[0].mean() > 59000


def test_masters_of_another_shape_are_refused(night: Path) -> None:
    science = daskred.open_frames(daskred.open_night(night).select("science"))
    with pytest.raises(RequestError, match="the master dark has the dimensions"):
        daskred.calibrate(science, xr.DataArray(np.zeros((2, 2)), dims=("y", "x")))


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_any_scheduler_that_the_user_set_up(night: Path, scheduler: str) -> None:
    frames = daskred.open_night(night).select("dark", exptime_s=3)
    expected = np.median([fits.getdata(frame.path) for frame in frames], axis=0)
    with dask.config.set(scheduler=scheduler):
        np.testing.assert_array_equal(daskred.master_dark(frames).values, expected)


def test_a_stack_in_memory_is_not_changed_by_its_median(night: Path) -> None:
    stack = daskred.open_frames(daskred.open_night(night).select("dark"), tiled=True).persist()
    before = stack.values.copy()
    daskred.combine_frames(stack).compute()
    np.testing.assert_array_equal(stack.values, before)


def test_graphs_stay_small_however_many_frames(night: Path) -> None:
    frames = daskred.open_night(night).select("science") * 300
    raw: Any = daskred.open_frames(frames)
    (graph,) = dask.optimize(daskred.calibrate(raw).data)
    assert len(graph.__dask_graph__()) < 60
    assert daskred.open_frames(frames, tiled=True).data.npartitions < 200


def test_importing_costs_nothing_scientific() -> None:
    code = (
        "import sys, daskred, daskred.cli\n"
        "heavy = {'numpy', 'scipy', 'astropy', 'dask', 'xarray', 'matplotlib', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in dir(daskred):
        assert getattr(daskred, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        daskred.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_masters_of_two_images_of_one_mosaic_are_told_apart(
    make_night: NightMaker, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    for kind, level, exptime in (("dark", 100.0, 3.0), ("flat", 9000.0, 3.0)):
        for number in range(3):
            images = [rng.normal(level * scale, 5, (16, 24)).astype("f4") for scale in (1, 2)]
            units = [
                fits.ImageHDU(image, name=name) for image, name in zip(images, "AB", strict=True)
            ]
            primary = fits.PrimaryHDU()
            primary.header["IMAGETYP"], primary.header["EXPTIME"] = kind, exptime
            primary.header["FILTER"] = "V"
            fits.HDUList([primary, *units]).writeto(tmp_path / f"{kind}{number}.fits")
    night = daskred.open_night(tmp_path)
    options = daskred.Options(masters_only=True)
    daskred.reduce_night(night, tmp_path / "out", options)
    names = list(daskred.open_images(night.select("dark")))
    darks = {name: daskred.master_dark(night.select("dark"), image=name) for name in names}
    flats = {name: daskred.master_flat(night.select("flat"), darks, image=name) for name in names}
    made: Any = dask.compute(darks, flats)
    for masters, file in zip(made, ("MasterDark_3s", "MasterFlat_V"), strict=True):
        for name, master in masters.items():
            path = tmp_path / "out" / "masters" / f"{file}.fits"
            expected = daskred.open_master(path, image=name)
            np.testing.assert_array_equal(master.values, expected.values)
    with pytest.raises(RequestError, match="give a dark for each"):
        daskred.master_flat(night.select("flat"), darks[names[0]])


def test_arrays_in_memory_have_names_of_their_own(night: Path) -> None:
    science = daskred.open_frames(daskred.open_night(night).select("science")).compute()
    first, second = daskred.calibrate(science), daskred.calibrate(science * 2.0)
    assert first.data.name != second.data.name
    one, two = dask.compute(first, second)
    np.testing.assert_array_equal(two, 2 * one)


def test_frames_that_change_are_noticed_and_named_anew(
    make_night: NightMaker, write_fits: WriteFits
) -> None:
    make_night.standard()
    frames = daskred.open_night(make_night.folder).select("dark", exptime_s=10)
    lazy = [daskred.open_frames(frames), daskred.master_dark(frames)]
    pixels = fits.getdata(frames[0].path)
    pixels[-1, -1] += 1
    header = fits.getheader(frames[0].path)
    fits.writeto(frames[0].path, pixels, header, overwrite=True)
    for array in lazy:
        with pytest.raises(daskred.FrameError, match="has changed"):
            array.compute()
    again = daskred.open_night(make_night.folder).select("dark", exptime_s=10)
    assert daskred.open_frames(again).data.name != lazy[0].data.name
    np.testing.assert_array_equal(daskred.open_frames(again)[0].values, pixels)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scale": "exposure"}, "--scale needs frames"),
        ({"weight": "level", "combine": "mean"}, "--weight needs frames"),
        ({"uncertainty": True}, "need frames, not an array"),
    ],
)
def test_what_arrays_do_not_tell_is_refused(
    night: Path, options: dict[str, Any], said: str
) -> None:
    stack = daskred.open_frames(daskred.open_night(night).select("dark", exptime_s=10))
    with pytest.raises(RequestError, match=said):
        daskred.master_dark(stack, options=daskred.Options(**options))


def test_detector_options_and_unknown_noise_are_refused(night: Path) -> None:
    science = daskred.open_night(night).select("science")
    with pytest.raises(RequestError, match="belongs to the camera of open_night"):
        daskred.calibrate(science, options=daskred.Options(unit="electron"))
    with pytest.raises(RequestError, match="gain and read noise"):
        daskred.calibrate(science, options=daskred.Options(uncertainty=True))
    opened = daskred.open_night(night)
    with pytest.raises(RequestError, match="belong to the camera"):
        daskred.reduce_night(opened, night.parent / "no", daskred.Options(bleed_rows=3))


def test_planes_of_a_dataset_are_written_as_they_are(night: Path, tmp_path: Path) -> None:
    science = daskred.open_night(night).select("science")
    options = daskred.Options(mask=True, compress="gzip")
    calibrated = daskred.calibrate(science, options=options)
    (receipt, *_) = daskred.write_frames(calibrated, tmp_path / "as it is")
    with fits.open(tmp_path / "as it is" / receipt.product) as hdus:
        assert receipt.product.endswith(".gz")
        assert "MASK" in hdus
    changed = calibrated.isel(frame=[1, 0]).assign(mask=lambda one: one.mask | 64)
    receipts = daskred.write_frames(changed, tmp_path / "changed")
    for place, receipt in enumerate(receipts):
        with fits.open(tmp_path / "changed" / receipt.product) as hdus:
            np.testing.assert_array_equal(hdus[0].data, changed.pixels[place])
            assert (hdus["MASK"].data & 64).all()
        assert receipt.source == science[1 - place].basename
    (receipt, *_) = daskred.write_frames(calibrated["pixels"], tmp_path / "bare")
    with fits.open(tmp_path / "bare" / receipt.product) as hdus:
        assert len(hdus) == 1


def test_a_dataset_of_another_name_is_a_master(night: Path) -> None:
    opened = daskred.open_night(night)
    dark = daskred.master_dark(opened.select("dark", exptime_s=10)).compute()
    science = daskred.open_frames(opened.select("science"))
    expected = daskred.calibrate(science, dark).values
    found = daskred.calibrate(science, dark.to_dataset(name="saved"))
    np.testing.assert_array_equal(found.values, expected)
    with pytest.raises(RequestError, match="no variable 'pixels', but a, b"):
        daskred.calibrate(science, xr.Dataset({"a": dark, "b": dark}))


def test_darks_tell_their_noise_in_a_notebook_as_in_a_run(tmp_path: Path) -> None:
    """Without bias frames and overscans, the scatter of darks tells their level without current."""
    folder, rng = tmp_path / "night", np.random.default_rng(8)
    folder.mkdir()
    for kind, exptime_s, level, n in (
        ("dark", 60.0, 300, 5),
        ("dark", 1.0, 5, 3),
        ("flat", 1.0, 20000, 3),
        ("object", 60.0, 350, 2),
    ):
        for number in range(n):
            pixels = 1000 + rng.poisson(level, (48, 64)) / 2 + rng.normal(0, 4, (48, 64))
            header = fits.Header({"IMAGETYP": kind, "EXPTIME": exptime_s, "FILTER": "V"})
            header["GAIN"], header["RDNOISE"] = (2.0, "e-/ADU"), 8.0
            header["DATE-OBS"] = f"2026-01-01T0{int(exptime_s) % 7}:{number:02d}:00"
            path = folder / f"{kind}-{exptime_s:g}-{number}.fits"
            fits.PrimaryHDU(np.round(pixels).astype("u2"), header).writeto(path)
    options = daskred.Options(uncertainty=True)
    night = daskred.open_night(folder)
    daskred.reduce_night(night, tmp_path / "out", options.but(threads=True))
    dark = daskred.master_dark(night.select("dark", exptime_s=60), options=options)
    short = daskred.master_dark(night.select("dark", exptime_s=1), options=options)
    flat = daskred.master_flat(night.select("flat"), short, options=options)
    found = daskred.calibrate(night.select("science"), dark=dark, flat=flat, options=options)
    assert float(dark["zero_level"][0]) == pytest.approx(1000, abs=10)
    for name, labelled in (
        ("MasterDark_60s", dark),
        ("MasterDark_1s", short),
        ("MasterFlat_V", flat),
    ):
        with fits.open(tmp_path / "out" / "masters" / f"{name}.fits") as hdus:
            np.testing.assert_array_equal(labelled["pixels"], hdus[0].data)
            np.testing.assert_array_equal(labelled["uncertainty"], hdus["UNCERT"].data)
    for number, path in enumerate(sorted((tmp_path / "out").glob("object*c.fits"))):
        with fits.open(path) as hdus:
            np.testing.assert_array_equal(found["uncertainty"][number], hdus["UNCERT"].data)


def test_every_public_name_has_an_example() -> None:
    names = [name for name in daskred.__all__ if name != "__version__"]
    assert [n for n in names if "Examples\n" not in (getattr(daskred, n).__doc__ or "")] == []


def test_clocks_that_were_never_set_tell_no_time(write_fits: WriteFits, tmp_path: Path) -> None:
    pixels = np.zeros((4, 5), "u2")
    for number, date in enumerate(("0001-01-01T00:00:00", "2020-02-03T04:05:06", "", "3000-01-01")):
        cards = {"OBSTYPE": "EXPOSE", "EXPTIME": 5.0, "DATE-OBS": date}
        write_fits(f"night/{number}.fits", pixels + number, cards)
    times = daskred.open_frames(daskred.open_night(tmp_path / "night").frames).time.values
    assert np.isnat(times).tolist() == [True, False, True, True]
    assert times[1] == np.datetime64("2020-02-03T04:05:06")


def test_a_frame_is_ccddata_in_its_own_unit_and_with_its_own_coordinates(
    write_fits: WriteFits, tmp_path: Path
) -> None:
    pixels = np.arange(20, dtype="f4").reshape(4, 5)
    pixels[1, 2] = np.nan
    wcs = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 2.0, "CRVAL1": 10.0}
    for unit in ("Jy", "ADU", "furlong", ""):
        cards = {"OBSTYPE": "EXPOSE", "EXPTIME": 5.0, "BUNIT": unit, **wcs}
        write_fits(f"{unit or 'none'}/a.fits", pixels, cards)
        frame = daskred.open_night(tmp_path / (unit or "none")).frames[0]
        found = frame.to_ccddata()
        assert str(found.unit) == {"ADU": "adu", "": "adu"}.get(unit, unit)
        assert found.mask[1, 2]
        assert found.mask.sum() == 1
        assert found.wcs.pixel_to_world(1, 0).ra.deg == pytest.approx(10.0)
    with pytest.raises(RequestError, match="no image 3"):
        frame.to_ccddata(3)
    cube = np.zeros((7, 4, 5), "u2")
    write_fits("cube/c.fits", cube, {"OBSTYPE": "EXPOSE", "EXPTIME": 5.0, **wcs})
    plane = daskred.open_night(tmp_path / "cube").frames[1].to_ccddata()
    assert plane.shape == (4, 5)
    assert plane.wcs is None or plane.wcs.naxis == 2
