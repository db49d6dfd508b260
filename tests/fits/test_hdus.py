"""Reading against astropy for every type on disk; writing against astropy's verification.

There are many cases, each short, which makes the file longer than others.
"""

from __future__ import annotations

import gzip
import re
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from daskred.fits.hdus import read_hdus
from daskred.fits.header import BLOCK, Header, format_card
from daskred.fits.images import images_of
from daskred.fits.pixels import read_rows
from daskred.fits.write import as_bands, write_atomically
from daskred.model.errors import FrameError
from tests.conftest import WriteFits

DTYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


def read(path: Path, start: int = 0, stop: int | None = None, image: int = 0) -> Any:
    one = images_of(str(path), read_hdus(str(path)))[image]
    stop = one.shape[0] if stop is None else stop
    out = np.empty((stop - start, one.shape[1]), one.dtype)
    read_rows(str(path), one, start, stop, out)
    return out


def some_pixels(dtype: str, shape: tuple[int, int] = (7, 11), seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    if dtype.startswith("f"):
        return rng.normal(1000, 300, shape).astype(dtype)
    info = np.iinfo(dtype)
    pixels = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    pixels.flat[:2] = info.min, info.max
    return pixels


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz", ".FIT", ".fts"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_reads_as_astropy_reads_it(
    write_fits: WriteFits, dtype: str, suffix: str
) -> None:
    pixels = some_pixels(dtype)
    path = write_fits(f"a{suffix}", pixels)
    found = read(path)
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)
    np.testing.assert_array_equal(read(path, 2, 5), pixels[2:5])


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4"])
def test_tile_compressed_images_read_as_they_were(tmp_path: Path, dtype: str) -> None:
    pixels = some_pixels(dtype, (20, 30)) if dtype != "i4" else some_pixels("i2").astype("i4")
    path = tmp_path / "a.fits.fz"
    fits.CompImageHDU(pixels, compression_type="RICE_1").writeto(path)
    np.testing.assert_array_equal(read(path, 3, 6), pixels[3:6])
    assert read(path).dtype == pixels.dtype


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bitpix=st.sampled_from([8, 16, 32, 64, -32, -64]),
    bscale=st.sampled_from([1.0, 2.0, 0.1, -1.0]),
    bzero=st.sampled_from([0.0, 1.0, -128.0, 32768.0, 2.0**31, 0.5]),
    blank=st.sampled_from([None, 0, 7]),
    seed=st.integers(0, 100),
)
def test_every_scaling_reads_as_astropy_reads_it(
    tmp_path: Path, bitpix: int, bscale: float, bzero: float, blank: int | None, seed: int
) -> None:
    assume((bitpix, bscale, bzero) != (8, 1.0, -128.0))  # astropy wants BZERO as an integer there
    dtype = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}[bitpix]
    rng = np.random.default_rng(seed)
    stored = rng.integers(0, 100, (5, 6)).astype(dtype)
    header = fits.Header({"BSCALE": bscale, "BZERO": bzero})
    if blank is not None and bitpix > 0:
        header["BLANK"] = blank
    raw = fits.PrimaryHDU(stored).header.tostring(endcard=False, padding=False)
    cards = raw + header.tostring(endcard=False, padding=False)
    text = (cards + "END".ljust(80)).encode()
    path = tmp_path / "scaled.fits"
    data = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(text + b" " * (-len(text) % BLOCK) + data + bytes(-len(data) % BLOCK))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = fits.getdata(path)
    found = read(path)
    # astropy keeps unsigned integers unblanked; a blank pixel has no value, so ours are floats.
    if blank is not None and bitpix > 0:
        physical = np.where(stored == blank, np.nan, stored * np.float64(bscale) + bzero)
        assert found.dtype.kind == "f"
        np.testing.assert_allclose(found, physical, rtol=1e-6)
    else:
        assert found.dtype == expected.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, expected)


def test_a_mosaic_has_one_image_for_each_extension(write_fits: WriteFits) -> None:
    pixels = [some_pixels("u2", seed=n) for n in range(3)]
    path = write_fits("mosaic.fits", pixels)
    images = images_of(str(path), read_hdus(str(path)))
    assert [image.name for image in images] == ["AMP,1", "AMP,2", "AMP,3"]
    for number, own in enumerate(pixels):
        np.testing.assert_array_equal(read(path, image=number), own)


def blocks(*cards: str) -> bytes:
    text = "".join(card.ljust(80) for card in cards).encode()
    return text + b" " * (-len(text) % BLOCK)


SIMPLE = "SIMPLE  =                    T"
AXES = ("NAXIS   =                    2", "NAXIS1  =                    4")
BROKEN = {
    "empty": (b"", "is empty"),
    "garbage": (bytes(range(256)) * 50, "not a FITS file"),
    "text": (b"dear observer,\n" * 300, "not a FITS file"),
    "no END": (blocks(SIMPLE, "BITPIX  =                   16"), "no END"),
    "no BITPIX": (blocks(SIMPLE, "END"), "BITPIX"),
    "no axis": (blocks(SIMPLE, "BITPIX  =  16", "NAXIS   =  0", "END"), "no image"),
    "three axes": (
        blocks(SIMPLE, "BITPIX  = 8", "NAXIS   = 3", *(f"NAXIS{n}  = 2" for n in (1, 2, 3)), "END")
        + bytes(BLOCK),
        "is a cube of 2 exposures",
    ),
    "huge": (
        blocks(SIMPLE, "BITPIX  = 16", AXES[0], "NAXIS1  = 1000000000", "NAXIS2  = 9", "END"),
        "truncated",
    ),
    "negative": (blocks(SIMPLE, "BITPIX  = 16", AXES[0], "NAXIS1  = -4", "END"), "no count"),
    "float axis": (blocks(SIMPLE, "BITPIX  = 16", AXES[0], "NAXIS1  = 4.5", "END"), "no count"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named_with_the_reason(tmp_path: Path, name: str) -> None:
    data, reason = BROKEN[name]
    path = tmp_path / "broken.fits"
    path.write_bytes(data)
    with pytest.raises(FrameError, match=reason) as caught:
        images_of(str(path), read_hdus(str(path)))
    assert caught.value.path == str(path)


@pytest.mark.parametrize("cut", [1, 2881, 5000])
def test_truncated_files_are_named(write_fits: WriteFits, cut: int) -> None:
    path = write_fits("a.fits", some_pixels("u2", (50, 60)))
    # Astropy pads the pixels to a whole block; the cut goes into the pixels themselves.
    path.write_bytes(path.read_bytes()[: BLOCK + 6000 - cut])
    with pytest.raises(FrameError, match=r"truncated|no END"):
        read_hdus(str(path))


def test_a_file_without_padding_is_whole(write_fits: WriteFits) -> None:
    pixels = some_pixels("u2", (50, 60))
    path = write_fits("a.fits", pixels)
    path.write_bytes(path.read_bytes()[: BLOCK + 6000])
    np.testing.assert_array_equal(read(path), pixels)


def test_broken_gzip_streams_are_named(write_fits: WriteFits, tmp_path: Path) -> None:
    path = write_fits("a.fits", some_pixels("u2", (50, 60)))
    packed = bytearray(gzip.compress(path.read_bytes()))
    packed[len(packed) // 2] ^= 0xFF
    target = tmp_path / "b.fits.gz"
    target.write_bytes(packed)
    with pytest.raises(FrameError, match=r"gzip|truncated"):
        read(target)
    target.write_bytes(b"no gzip at all")
    with pytest.raises(FrameError, match="gzip"):
        read(target)


def test_gzip_streams_of_several_members_are_read(write_fits: WriteFits, tmp_path: Path) -> None:
    pixels = some_pixels("u2", (50, 60))
    whole = write_fits("a.fits", pixels).read_bytes()
    target = tmp_path / "b.fits.gz"
    target.write_bytes(gzip.compress(whole[:5000]) + gzip.compress(whole[5000:]))
    np.testing.assert_array_equal(read(target), pixels)


@pytest.mark.parametrize("last", [b"", gzip.compress(b"", mtime=0)])
def test_all_units_of_a_gzip_stream_of_members_are_found(tmp_path: Path, last: bytes) -> None:
    pixels = some_pixels("i2")
    hdus = fits.HDUList([fits.PrimaryHDU(pixels), fits.ImageHDU(pixels), fits.ImageHDU(pixels)])
    hdus[0].header["EXTEND"] = True
    hdus.writeto(tmp_path / "a.fits")
    data = (tmp_path / "a.fits").read_bytes()
    third = len(data) // 3
    members = (data[:third], data[third : 2 * third], data[2 * third :])
    packed = tmp_path / "b.fits.gz"
    packed.write_bytes(b"".join(gzip.compress(member) for member in members) + last)
    assert len(read_hdus(str(packed))) == 3


def test_extensions_are_found_without_an_extend_card(tmp_path: Path) -> None:
    pixels = some_pixels("i2")
    first, second = fits.PrimaryHDU(pixels), fits.ImageHDU(pixels + 1)
    data = b"".join(
        hdu.header.tostring().replace("EXTEND  =                    T", " " * 30).encode()
        + hdu.data.astype(">i2").tobytes().ljust(BLOCK, b"\0")
        for hdu in (first, second)
    )
    for name, content in (("a.fits", data), ("a.fits.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(read(tmp_path / name, image=1), pixels + 1)


@pytest.mark.parametrize("card", ["BZERO   = 1E400", "BSCALE  = 'one'"])
def test_scalings_that_are_no_numbers(tmp_path: Path, card: str) -> None:
    cards = (SIMPLE, "BITPIX  = 16", *AXES, "NAXIS2  =                    3", card, "END")
    path = tmp_path / "a.fits"
    path.write_bytes(blocks(*cards) + bytes(BLOCK))
    with pytest.raises(FrameError, match="is no number"):
        read(path)


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ("BITPIX  = 16.0", "BITPIX = 16.0"),
        ("NAXIS1  = 4.0", "NAXIS1 = 4.0"),
        ("SIMPLE  = F", "SIMPLE = False"),
        ("SIMPLE  = 'T'", "SIMPLE = 'T'"),
        ("GROUPS  = T", "GROUPS = T"),
        ("GCOUNT  = 1.0", "GCOUNT = 1.0"),
        ("PCOUNT  = '0'", "PCOUNT = '0'"),
        # What astropy reads of these, or takes for text, others do not.
        (" BSCALE = 8", "' BSCALE = 8'"),
        (" NAXIS1 = 2", "' NAXIS1 = 2'"),
        ("BSCALE  =8", "'BSCALE  =8'"),
        ("GROUPS  = 'F'   ' / none", "quotes are out of place"),
        ("BZERO   =\t8", "'BZERO   =\\t8'"),
    ],
)
def test_structural_cards_that_astropy_does_not_read_are_refused_by_name(
    tmp_path: Path, card: str, told: str
) -> None:
    cards = [SIMPLE, "BITPIX  = 16", *AXES, "NAXIS2  =                    3"]
    others = [other for other in cards if other[:8] != card[:8]]
    # At its place, where it has one.
    place = next((n for n, other in enumerate(cards) if other[:8] == card[:8]), len(cards))
    path = tmp_path / "a.fits"
    path.write_bytes(blocks(*others[:place], card, *others[place:], "END") + bytes(BLOCK))
    with pytest.raises(FrameError, match=re.escape(told)):
        read(path)


@pytest.mark.parametrize("card", ["bzero   = 32768", "BSCALE  = 1E-320", "BSCALE  = 1D0"])
def test_odd_scalings_read_as_astropy_reads_them(tmp_path: Path, card: str) -> None:
    path = tmp_path / "a.fits"
    cards = (SIMPLE, "BITPIX  = 16", *AXES, "NAXIS2  =                    3", card, "END")
    pixels = np.arange(12, dtype=">i2").tobytes()
    path.write_bytes(blocks(*cards) + pixels.ljust(BLOCK, b"\0"))
    np.testing.assert_array_equal(read(path), fits.getdata(path))


def test_an_offset_that_is_nearly_that_of_unsigned_integers(tmp_path: Path) -> None:
    cards = (SIMPLE, "BITPIX  = 16", *AXES, "NAXIS2  = 1", "BZERO   = 32768.5", "END")
    path = tmp_path / "a.fits"
    path.write_bytes(blocks(*cards) + bytes(BLOCK))
    np.testing.assert_array_equal(read(path), [[32768.5] * 4])


def test_a_file_that_shrinks_after_its_header_was_read(write_fits: WriteFits) -> None:
    path = write_fits("a.fits", some_pixels("u2", (50, 60)))
    image = images_of(str(path), read_hdus(str(path)))[0]
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(FrameError, match="truncated"):
        read_rows(str(path), image, 0, 50, np.empty((50, 60), "u2"))


def test_eight_threads_read_what_one_reads(write_fits: WriteFits) -> None:
    pixels = some_pixels("u2", (64, 64))
    path = write_fits("a.fits", pixels)
    barrier = threading.Barrier(8)
    wrong: list[int] = []

    def work(number: int) -> None:
        barrier.wait()
        wrong.extend(
            number
            for start in range(64)
            if not np.array_equal(read(path, start, start + 1), pixels[start : start + 1])
        )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dtype=st.sampled_from(["f4", "f8", "u2"]),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 40)),
    seed=st.integers(0, 1000),
    mosaic=st.booleans(),
)
def test_what_we_write_astropy_verifies(
    tmp_path: Path, dtype: str, shape: tuple[int, int], seed: int, mosaic: bool
) -> None:
    pixels = some_pixels(dtype, shape, seed)
    header = Header((format_card("SEED", seed),))
    units: list[Any] = [(header, as_bands(pixels))]
    if mosaic:
        named = Header((format_card("EXTNAME", "A"),))
        units = [(header, None), (named, as_bands(pixels)), (header, as_bands(pixels))]
    path = tmp_path / "sub" / "product.fits"
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, units)
    with fits.open(path, checksum=True) as hdus:  # a wrong sum warns, and a warning is an error
        hdus.verify("exception")
        assert "CHECKSUM" in hdus[-1].header
        np.testing.assert_array_equal(hdus[-1].data, pixels)
        assert hdus[0].header["SEED"] == seed
    assert [entry.name for entry in path.parent.iterdir()] == ["product.fits"]


def test_a_failed_write_leaves_nothing_and_keeps_what_stood(tmp_path: Path) -> None:
    path = tmp_path / "product.fits"
    path.write_text("what stood")
    with pytest.raises(KeyError):
        write_atomically(path, [(Header(()), as_bands(np.zeros((2, 2), "c16")))])
    assert path.read_text() == "what stood"
    assert [entry.name for entry in tmp_path.iterdir()] == ["product.fits"]


@pytest.mark.parametrize("dtype", ["f4", "u2"])
@pytest.mark.parametrize("summed", [True, False])
@pytest.mark.parametrize("n_cards", range(22, 34))
def test_headers_end_where_pixels_begin(
    tmp_path: Path, n_cards: int, summed: bool, dtype: str
) -> None:
    cards = Header(tuple(format_card(f"CARD{n}", n) for n in range(n_cards)))
    pixels = some_pixels(dtype)
    write_atomically(tmp_path / "a.fits", [(cards, as_bands(pixels))], summed=summed)
    with fits.open(tmp_path / "a.fits", checksum=summed) as hdus:
        np.testing.assert_array_equal(hdus[0].data, pixels)
        assert ("DATASUM" in hdus[0].header) == summed
