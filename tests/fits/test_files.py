"""Files as cameras, archives and browsers leave them: packed, misnamed, with more than frames."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.time import Time

from daskred import Options, open_night, reduce_night, verify
from daskred.fits.hdus import read_hdus
from daskred.fits.images import exposures_in
from tests.conftest import NightMaker, tree


def compress(data: bytes) -> bytes:
    """Pack bytes as compress does with codes of nine bits, none of which stands for a string."""
    bits = sum(byte << (9 * place) for place, byte in enumerate(data))
    return b"\x1f\x9d\x09" + bits.to_bytes(-(-9 * len(data) // 8), "little")


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.fits", data)
    return file.getvalue()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".Z": compress,
    ".zip": zipped,
}


@pytest.fixture
def plain(make_night: NightMaker, tmp_path: Path) -> dict[str, bytes]:
    """Pixels of the products of a plain night."""
    return products(make_night.standard(), tmp_path / "plain")


def products(folder: Path, out: Path) -> dict[str, bytes]:
    """Reduce a night; return the pixels of its products."""
    summary = reduce_night(open_night(folder), out)
    assert not summary.failed
    return {name: fits.getdata(out / name).tobytes() for name in tree(out)}


@pytest.mark.parametrize("suffix", PACKINGS)
def test_packed_frames_are_read(
    make_night: NightMaker, plain: dict[str, bytes], tmp_path: Path, suffix: str
) -> None:
    for path in make_night.folder.glob("*.fits"):
        path.with_name(path.name + suffix).write_bytes(PACKINGS[suffix](path.read_bytes()))
        path.unlink()
    assert products(make_night.folder, tmp_path / "out") == plain


def test_bytes_tell_how_a_file_is_packed_not_its_name(
    make_night: NightMaker, plain: dict[str, bytes], tmp_path: Path
) -> None:
    for number, path in enumerate(sorted(make_night.folder.glob("*.fits"))):
        if number % 2:
            path.write_bytes(gzip.compress(path.read_bytes()))
        else:
            path.rename(path.with_name(f"{path.name}.gz"))
    assert products(make_night.folder, tmp_path / "out") == plain


@pytest.mark.parametrize("suffix", PACKINGS)
def test_a_packed_frame_that_is_cut_short_is_named(make_night: NightMaker, suffix: str) -> None:
    path = make_night.add("x.fits", "Dark Frame", 100, 10.0, shape=(64, 64))
    data = PACKINGS[suffix](path.read_bytes())
    path.unlink()
    path.with_name(f"x.fits{suffix}").write_bytes(data[: len(data) // 2])
    (entry,) = open_night(path.parent).left_out
    assert entry.failed
    assert any(word in entry.reason for word in ("broken", "truncated", "cut short"))


def test_an_archive_of_two_files_is_no_frame(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.fits.zip", "w") as archive:
        archive.writestr("a.fits", b"")
        archive.writestr("b.fits", b"")
    (entry,) = open_night(tmp_path).left_out
    assert "it holds 2 files, and a frame is one" in entry.reason


def test_keywords_in_lower_case_are_read(
    make_night: NightMaker, plain: dict[str, bytes], tmp_path: Path
) -> None:
    for path in make_night.folder.glob("*.fits"):
        data = path.read_bytes()
        for keyword in (b"IMAGETYP", b"EXPTIME ", b"FILTER  ", b"OBJECT  ", b"BZERO   "):
            data = data.replace(keyword + b"=", keyword.lower() + b"=")
        path.write_bytes(data)
    assert products(make_night.folder, tmp_path / "out") == plain
    assert "bzero" not in (tmp_path / "out" / "s-0c.fits").read_bytes()[:5760].decode("latin-1")


@pytest.mark.parametrize("packed", [False, True])
def test_axes_of_one_plane_are_none(
    make_night: NightMaker, plain: dict[str, bytes], tmp_path: Path, packed: bool
) -> None:
    for path in make_night.folder.glob("*.fits"):
        with fits.open(path) as hdus:
            data, header = hdus[0].data[None], hdus[0].header
        path.unlink()
        if packed:
            hdu = fits.CompImageHDU(data, header, tile_shape=(1, 4, data.shape[2]))
            hdu.writeto(path.with_name(f"{path.name}.fz"))
        else:
            fits.PrimaryHDU(data, header).writeto(path)
    assert products(make_night.folder, tmp_path / "out") == plain
    assert fits.getheader(tmp_path / "out" / "s-0c.fits")["NAXIS"] == 2


RANDOM = np.random.default_rng(0)
BESIDE = {
    "a thumbnail": fits.ImageHDU(np.ones((4, 6), "u1"), name="THUMBNAIL"),
    "a thumbnail without a name": fits.ImageHDU(np.ones((4, 6), "u1")),
    "temperatures": fits.ImageHDU(np.arange(7.0), name="TEMPS"),
    "a guider's cube": fits.ImageHDU(RANDOM.integers(0, 9, (3, 8, 8)).astype("i2"), name="G"),
    "a mask": fits.ImageHDU(np.zeros((8, 12), "u1"), name="MASK"),
    "a spectrum": fits.ImageHDU(np.ones((1, 12), "f4"), name="SPEC"),
    "a table": fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])], name="T"),
}


@pytest.mark.parametrize("beside", BESIDE)
def test_what_lies_beside_the_detectors_is_carried_along(
    make_night: NightMaker, plain: dict[str, bytes], tmp_path: Path, beside: str
) -> None:
    for path in make_night.folder.glob("*.fits"):
        with fits.open(path, mode="append") as hdus:
            hdus.append(BESIDE[beside].copy())
    assert products(make_night.folder, tmp_path / "out") == plain
    with (
        fits.open(tmp_path / "out" / "s-0c.fits") as made,
        fits.open(make_night.folder / "s-0.fits") as raw,
    ):
        assert not verify(tmp_path / "out").findings
        assert len(made) == 2
        assert made[1].header == raw[1].header
        assert np.array_equal(made[1].data, raw[1].data)


def test_colours_are_refused_in_their_own_words(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.ones((3, 8, 8), "u2")).writeto(tmp_path / "rgb.fits")
    fits.CompImageHDU(np.ones((3, 8, 8), "u2")).writeto(tmp_path / "packed.fits.fz")
    told = {entry.name: entry.reason for entry in open_night(tmp_path).left_out}
    for name in ("rgb.fits", "packed.fits.fz"):
        assert told[name].startswith("its pixels are three colours (3 x 8 x 8)")


@pytest.mark.parametrize("stored", ["plain", "gz", "bz2", "extension", "tiles"])
@pytest.mark.parametrize("cards", [{}, {"KCT": 12.5}])
def test_a_cube_is_as_many_frames_each_with_its_time(
    make_night: NightMaker, tmp_path: Path, stored: str, cards: dict[str, float]
) -> None:
    night = make_night.standard()
    with fits.open(night / "s-0.fits") as hdus:
        data, header = hdus[0].data, hdus[0].header
    stack = np.stack([data + n for n in range(5)])
    (night / "s-0.fits").unlink()
    header.update({"DATE-OBS": "2020-01-01T00:59:55", **cards})
    cube = night / "series.fits"
    if stored == "tiles":
        cube = night / "series.fits.fz"
        fits.CompImageHDU(stack, header).writeto(cube)
    elif stored == "extension":
        for path in night.glob("*.fits"):
            with fits.open(path) as hdus:
                image = fits.ImageHDU(hdus[0].data, hdus[0].header)
            fits.HDUList([fits.PrimaryHDU(), image]).writeto(path, overwrite=True)
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(stack, header)]).writeto(cube)
    else:
        fits.PrimaryHDU(stack, header).writeto(cube)
    packings: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress}
    if pack := packings.get(stored):
        cube = night / f"series.fits.{stored}"
        cube.write_bytes(pack((night / "series.fits").read_bytes()))
        (night / "series.fits").unlink()
    before = cube.read_bytes()
    out = tmp_path / "out"
    summary = reduce_night(open_night(night), out)
    assert not summary.failed
    names = [f"series-{n:04d}c.fits" for n in range(1, 6)]
    assert [receipt.product for receipt in summary.science] == ["s-1c.fits", *names]
    image = int(stored == "extension")
    dark = fits.getdata(out / "masters/MasterDark_10s.fits", image)
    flat = fits.getdata(out / "masters/MasterFlat_V.fits", image)
    cycle = cards.get("KCT", 10.0)
    for number, name in enumerate(names):
        expected = (stack[number].astype("f8") - dark) / flat
        np.testing.assert_allclose(fits.getdata(out / name, image), expected, rtol=1e-6)
        begin = Time("2020-01-01T00:59:55") + number * cycle * u.s
        assert abs((Time(fits.getval(out / name, "DATE-OBS", 0)) - begin).sec) < 0.01
        with fits.open(out / name) as hdus:
            assert [len(hdu.shape) for hdu in hdus if hdu.data is not None] == [2]
    assert cube.read_bytes() == before
    assert not verify(out).findings
    assert not any(receipt.made for receipt in reduce_night(open_night(night), out).science)


@pytest.mark.parametrize("stored", ["tiles", "extension"])
@pytest.mark.parametrize("beside", [(4, 5), (8, 12)])
@pytest.mark.parametrize("first", [False, True])
def test_an_image_beside_a_cube_is_not_taken_for_the_frame(
    tmp_path: Path, stored: str, beside: tuple[int, int], first: bool
) -> None:
    kind = fits.CompImageHDU if stored == "tiles" else fits.ImageHDU
    cube = kind(np.ones((5, 8, 12), "u2"), name="" if stored == "tiles" else "SCI")
    images = [cube, fits.ImageHDU(np.ones(beside, "u2"), name="PREVIEW")]
    images = images[::-1] if first else images
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / "a.fits")
    assert exposures_in(str(tmp_path / "a.fits"), read_hdus(str(tmp_path / "a.fits"))) == 5
    # And what has smaller planes than an image beside it is a guider's.
    guider = fits.ImageHDU(np.ones((5, 4, 6), "u2"), name="G")
    detector = fits.ImageHDU(np.ones((8, 12), "u2"), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), guider, detector]).writeto(tmp_path / "b.fits")
    assert exposures_in(str(tmp_path / "b.fits"), read_hdus(str(tmp_path / "b.fits"))) == 0


def test_darks_may_be_a_cube(make_night: NightMaker, tmp_path: Path) -> None:
    night = make_night.standard()
    stack = np.stack([fits.getdata(night / f"d10-{n}.fits") for n in range(3)])
    header = fits.getheader(night / "d10-0.fits")
    reduce_night(open_night(night), tmp_path / "single")
    for n in range(3):
        (night / f"d10-{n}.fits").unlink()
    fits.PrimaryHDU(np.concatenate([stack, stack[:1] + 1]), header).writeto(night / "darks.fits")
    summary = reduce_night(open_night(night, kinds=[("unknown", "darks-0004*")]), tmp_path / "cube")
    assert summary.masters[0].n_inputs == 3
    for name in ("masters/MasterDark_10s.fits", "s-0c.fits"):
        single, cube = (fits.getdata(tmp_path / out / name) for out in ("single", "cube"))
        np.testing.assert_array_equal(single, cube)


def test_the_own_mask_comes_before_one_that_is_carried_along(
    make_night: NightMaker, tmp_path: Path
) -> None:
    for path in make_night.standard().glob("*.fits"):
        with fits.open(path, mode="append") as hdus:
            hdus.append(fits.ImageHDU(np.full((8, 12), 77, "u1"), name="MASK"))
    reduce_night(open_night(make_night.folder), tmp_path / "out", Options(mask=True))
    with fits.open(tmp_path / "out" / "s-0c.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASK", "MASK"]
        assert not (hdus["MASK"].data == 77).any()
        assert (hdus[2].data == 77).all()
    assert not verify(tmp_path / "out").findings
