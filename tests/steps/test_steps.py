"""The table of steps: their order, and what follows from an entry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from daskred import Options, open_night, reduce_night
from daskred.options import BY_NAME
from daskred.products.log import read_log
from daskred.steps import STEPS
from daskred.steps.step import Band, Card, Step
from tests.conftest import NightMaker


def test_steps_are_in_the_order_of_physics() -> None:
    names = [step.name for step in STEPS]
    order = ("saturation", "overscan", "crosstalk", "linearity", "dark", "flat", "cosmics")
    assert [name for name in names if name in order] == list(order)
    reaches = [step.reach for step in STEPS]
    assert reaches == sorted(reaches, key=["amplifier", "band", "frame"].index)


def test_options_of_steps_are_options() -> None:
    for step in STEPS:
        for option in step.options:
            assert BY_NAME[option.name] is option


def test_a_figure_of_each_frame_is_one_step(
    make_night: NightMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that counts reaches the header, the receipt and the log, whatever the bands."""

    def work(band: Band, recipe: Any) -> int:
        return int(np.count_nonzero(band.pixels > 500.0))

    def cards(recipe: Any, counts: Any) -> list[Card]:
        return [Card("NBRIGHT", counts["bright"], "pixels above 500")]

    bright = Step("bright", 95, "band", lambda recipe: True, work)
    with_card = replace(bright, name="bright2", reach="frame", cards=cards, work=lambda *_: 0)
    steps = (*STEPS, bright, with_card)
    monkeypatch.setattr("daskred.steps.STEPS", tuple(sorted(steps, key=lambda step: step.place)))
    make_night.standard()
    summary = reduce_night(
        open_night(make_night.folder), tmp_path, Options(workers=1, threads=True, mask=True)
    )
    logged = {record.get("source"): record.get("counts") for record in read_log(tmp_path)}
    for receipt in summary.science:
        pixels = fits.getdata(tmp_path / receipt.product)
        expected = int(np.count_nonzero(pixels > 500.0))
        assert receipt.counts["bright"] == expected
        assert logged[receipt.source] == receipt.counts
        assert fits.getheader(tmp_path / receipt.product)["NBRIGHT"] == expected
