"""The report shows what went wrong in a night, from the log and the products alone."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from astropy.io import fits

from daskred import Options, RequestError, open_night, reduce_night, simulate, write_report
from daskred.cli import main
from daskred.products.log import read_log
from tests.evening import (
    CLOUDED,
    DAWN,
    DEFOCUSED,
    HOT_COLUMN,
    HOT_FRAMES,
    N_FRAMES,
    TRAILED,
    expose_night,
    name_of,
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evening")
    expose_night(folder / "night")
    reduce_night(open_night(folder / "night"), folder / "out")
    write_report(folder / "out")
    return folder / "out"


def told(out: Path) -> dict[str, dict[str, Any]]:
    found = json.loads((out / "report.json").read_text())
    return {frame["name"]: frame for frame in found["frames"] if frame["kind"] == "science"}


def standing_out(out: Path, *rules: str) -> set[int]:
    frames = told(out)
    return {
        number
        for number in range(N_FRAMES)
        if any(rule in frames[name_of(number)]["stands_out"] for rule in rules)
    }


def test_what_went_wrong_is_named_frame_by_frame(out: Path) -> None:
    assert len(told(out)) == N_FRAMES
    assert standing_out(out, "starlight", "stars") == set(CLOUDED)
    assert standing_out(out, "ellipticity") == set(TRAILED)
    # The first steps of a drift are smaller than what is told.
    drift = standing_out(out, "width") - set(TRAILED)
    assert set(list(DEFOCUSED)[-4:]) <= drift <= set(DEFOCUSED)
    assert standing_out(out, "columns") == set(HOT_FRAMES)
    assert all(told(out)[name_of(n)]["columns"] == [HOT_COLUMN + 1] for n in HOT_FRAMES)
    assert standing_out(out, "level") == set(DAWN)
    assert standing_out(out, "shift", "saturated", "negative", "missing") == set()


def test_a_sound_night_has_nothing_that_stands_out(tmp_path: Path) -> None:
    expose_night(tmp_path / "night", n_frames=12, spoilt=False)
    reduce_night(open_night(tmp_path / "night"), tmp_path / "out")
    report = write_report(tmp_path / "out")
    assert [dict(row.stands_out) for row in report.rows] == [{}] * 12


def test_figures_are_those_of_the_pixels(out: Path) -> None:
    frames = told(out)
    for number in (0, 20, N_FRAMES - 1):
        pixels = fits.getdata(out / name_of(number).replace(".fits", "c.fits"))
        frame = frames[name_of(number)]
        assert frame["level"] == pytest.approx(np.median(pixels), rel=0.01)
        sky = pixels - np.median(pixels)
        assert frame["noise"] == pytest.approx(1.4826 * np.median(np.abs(sky)), rel=0.1)
        assert frame["negative"] == pytest.approx(np.mean(pixels < 0), abs=0.01)
    assert frames[name_of(0)]["fwhm_pixels"] == pytest.approx(3.0, rel=0.08)
    assert frames[name_of(11)]["starlight"] == pytest.approx(0.35, rel=0.08)


def test_json_and_csv_have_the_same_figures(out: Path) -> None:
    with (out / "report.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    frames = told(out)
    assert list(rows) == list(frames)
    for name, row in rows.items():
        assert float(row["level"]) == frames[name]["level"]
        assert row["stands_out"] == ";".join(frames[name]["stands_out"].values())


class Links(HTMLParser):
    """What a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_log_gets_the_figures_of_each_frame_once(tmp_path: Path) -> None:
    simulate(tmp_path / "night", shape=(96, 128), n_darks=3, n_flats=3, n_science=3)
    reduce_night(open_night(tmp_path / "night"), tmp_path / "out")
    rows = write_report(tmp_path / "out").rows
    write_report(tmp_path / "out")
    told = [line for line in read_log(tmp_path / "out") if line["event"] == "numbers"]
    assert len(told) == 3
    for line, row in zip(told, rows, strict=True):
        assert line["product"].endswith("c.fits")
        assert line["figures"]["level"] == row.numbers["level"]
        assert line["figures"]["n_stars"] == row.numbers["n_stars"]


def test_the_page_holds_all_that_it_shows(out: Path) -> None:
    text = (out / "report.html").read_text()
    links = Links()
    links.feed(text)
    pictures = [link for link in links.found if link.startswith("data:")]
    assert len(pictures) == N_FRAMES + 2
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    files = [link for link in links.found if not link.startswith(("data:", "#"))]
    assert files
    assert all((out / unquote(link)).exists() for link in files)
    assert len(text) < 10_000_000


def test_the_report_of_many_frames_stays_small() -> None:
    from daskred.report.thumbnails import address_of, side_for

    noise = np.random.default_rng(1).integers(0, 256, (512, 512)).astype("u1")
    for n_frames in (10, 300, 1000):
        side = side_for(n_frames)
        assert n_frames * len(address_of(noise[:side, :side], side)) < 9_500_000


def test_names_of_others_are_no_part_of_the_page(tmp_path: Path) -> None:
    expose_night(tmp_path / "night", n_frames=4, spoilt=False)
    odd = "a<b>&'c#1?%20"
    for number in range(4):
        path = tmp_path / "night" / name_of(number)
        with fits.open(path, mode="update") as hdus:
            hdus[0].header["OBJECT"] = "<script>alert(1)</script>"
        path.rename(path.with_name(f"{odd}{number}.fits"))
    reduce_night(open_night(tmp_path / "night"), tmp_path / "out")
    text = write_report(tmp_path / "out").page.read_text()
    assert "<script>alert" not in text
    assert "a<b>" not in text
    assert "a&lt;b&gt;&amp;" in text
    links = Links()
    links.feed(text)
    products = [link for link in links.found if link.endswith("c.fits")]
    assert len(products) == 4
    assert all((tmp_path / "out" / unquote(link)).exists() for link in products)


def test_products_that_are_gone_or_damaged_are_named(out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    (copy / "m67-002c.fits").unlink()
    damaged = copy / "m67-003c.fits"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    write_report(copy)
    frames = told(copy)
    assert frames["m67-002.fits"]["error"]
    assert "truncated" in frames["m67-003.fits"]["error"]
    assert frames["m67-004.fits"]["error"] is None


def test_the_masters_of_an_earlier_night_are_compared(out: Path, tmp_path: Path) -> None:
    expose_night(tmp_path / "night", n_frames=3, spoilt=False)
    for path in (tmp_path / "night").glob("bias*"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].data[50, 60:65] += 300
    for path in (tmp_path / "night").glob("flat*"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].data[96:112, 96:112] = hdus[0].data[96:112, 96:112] * 0.9
    reduce_night(open_night(tmp_path / "night"), tmp_path / "out")
    text = write_report(tmp_path / "out", before=out).page.read_text()
    assert "5 new hot pixels" in text
    assert "4 blocks of 8 x 8 pixels with other dust" in text


def test_a_log_that_names_no_products_is_no_hindrance(tmp_path: Path) -> None:
    expose_night(tmp_path / "night", n_frames=3, spoilt=False)
    night = open_night(tmp_path / "night")
    reduce_night(night, tmp_path / "out", Options(log_level="warning"))
    report = write_report(tmp_path / "out")
    assert len(report.rows) == 3
    assert report.page.read_text().count('<div class="card">') == 2


def test_a_failed_frame_stands_on_the_page(tmp_path: Path) -> None:
    expose_night(tmp_path / "night", n_frames=3, spoilt=False)
    path = tmp_path / "night" / name_of(1)
    path.write_bytes(path.read_bytes()[:40000])
    assert main(["reduce", str(tmp_path / "night"), "-o", str(tmp_path / "out"), "--report"]) == 1
    text = (tmp_path / "out/report.html").read_text()
    assert 'class="alarm">m67-002.fits' in text
    assert "truncated" in text


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_folder_without_a_run_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="no run of daskred has written there"):
        write_report(tmp_path / name)


@pytest.mark.parametrize("name", ["report.html", "report.json", "report.csv"])
def test_files_of_others_are_not_replaced(out: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    write_report(copy)
    (copy / name).write_text("mine")
    with pytest.raises(RequestError, match="did not make it"):
        write_report(copy)
    assert (copy / name).read_text() == "mine"


def test_the_command_on_the_page_repeats_the_run(out: Path) -> None:
    command = json.loads((out / "report.json").read_text())["command"]
    command = command.replace("daskred reduce", f"{sys.executable} -m daskred.cli reduce")
    ended = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert f"{N_FRAMES} were there already" in ended.stdout


def test_the_command_on_the_page_has_what_was_asked_for(tmp_path: Path) -> None:
    expose_night(tmp_path / "night", n_frames=3, spoilt=False)
    words = ["--kind", "science=m67*", "--camera", "none", "--combine", "mean", "--report"]
    assert main(["reduce", str(tmp_path / "night"), "-o", str(tmp_path / "out"), *words]) == 0
    command = json.loads((tmp_path / "out/report.json").read_text())["command"]
    assert "--kind 'science=m67*'" in command
    assert "--combine mean" in command
    # Also when the night has gone.
    shutil.rmtree(tmp_path / "night")
    write_report(tmp_path / "out")
    assert "--combine mean" in json.loads((tmp_path / "out/report.json").read_text())["command"]


@pytest.fixture(scope="module")
def browsed(out: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if not CHROMIUM:
        pytest.skip("there is no Chromium here")
    profile = tmp_path_factory.mktemp("profile")

    def browse(anchor: str, width: int, dark: bool = False) -> str:
        command = [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={profile}",
            f"--window-size={width},900",
            *(["--force-dark-mode"] if dark else []),
            *("--virtual-time-budget=2000", "--dump-dom"),
            f"file://{out}/report.html#{anchor}",
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=120).stdout

    return browse


def names_in(page: str) -> list[str]:
    rows = re.findall(r"<tr id=\"frame-[^>]*>", page)
    shown = [row for row in rows if "display: none" not in row]
    return [found.group(1) for row in shown if (found := re.search('data-name="([^"]*)"', row))]


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_sorts_filters_and_opens_pictures(browsed: Any, width: int, dark: bool) -> None:
    page = browsed("sort=width&down=1", width, dark)
    assert names_in(page)[0] == name_of(TRAILED[0])
    assert names_in(page)[1] == name_of(DEFOCUSED[-1])
    assert 'aria-sort="descending"' in page
    page = browsed("text=m67-01", width, dark)
    assert names_in(page) == [name_of(number) for number in range(9, 19)]
    assert "10 of 40 frames" in page
    page = browsed("only=1&open=3", width, dark)
    assert name_of(CLOUDED[0]) in names_in(page)
    assert name_of(0) not in names_in(page)
    dialog = page[page.index('<dialog id="large"') :]
    assert " open" in dialog[:60]
    assert name_of(2) in dialog[:400]
