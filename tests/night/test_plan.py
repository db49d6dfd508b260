"""Grouping and matching; refusals that say what was looked for and what there was."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import daskred.night.plan
from daskred.model.frame import Facts, Frame, Image, Kind
from daskred.model.plan import Plan
from daskred.model.readout import Readout
from daskred.night.open import Night
from daskred.night.plan import make_plan, product_name
from daskred.options import Options


def frame(
    name: str,
    kind: Kind,
    exptime_s: float | None = 10.0,
    shape: tuple[int, int] = (8, 8),
    **facts: Any,
) -> Frame:
    image = Image("", 0, shape, 16, 1.0, 32768.0, None, 2880, compressed=False)
    known = Facts(exptime_s, **facts)
    readout = Readout((), ("",), (shape,), None)
    return Frame(f"/n/{name}", name, (image,), known, kind, "test", name, 9, readout)


def plan_of(*frames: Frame, **allow: Any) -> Plan:
    return make_plan(Night(tuple(frames)), Options(**allow))


def reason(plan: Plan, name: str) -> str:
    return next(entry.reason for entry in plan.left_out if entry.name == name)


DARKS = (frame("d1", "dark"), frame("d2", "dark"))
FLAT = frame("f1", "flat", filter="V")
SCIENCE = frame("s1.fits", "science", filter="V")


def test_a_dark_of_the_same_exposure_time_and_a_flat_of_the_same_filter() -> None:
    plan = plan_of(*DARKS, frame("d3", "dark", 3.0), FLAT, frame("f2", "flat", filter="R"), SCIENCE)
    names = [master.name for master in plan.masters]
    assert names == ["MasterDark_10s", "MasterDark_3s", "MasterFlat_R", "MasterFlat_V"]
    assert plan.science[0].correction.masters == ("MasterDark_10s", "MasterFlat_V")
    assert plan.science[0].product == "s1c.fits"
    assert plan.master("MasterFlat_V").needs == ("MasterDark_10s",)
    assert not plan.left_out


def test_exposure_times_that_were_written_alike_are_one_group() -> None:
    plan = plan_of(*(frame(f"d{t}", "dark", t) for t in (300.0, 300.1, 300.2)), frame("e", "dark"))
    assert {master.name: len(master.inputs) for master in plan.masters} == {
        "MasterDark_10s": 1,
        "MasterDark_300s": 3,
    }
    assert "MasterDark_10s is made from one frame" in plan.warnings[0]


def test_a_longer_dark_is_scaled_down_where_there_is_a_bias() -> None:
    dark = frame("d", "dark", 300.0)
    flat, science = frame("f", "flat", 2.0), frame("s", "science", 300.0)
    plan = plan_of(dark, frame("b", "bias", 0.0), flat, science)
    correction = plan.master("MasterFlat").inputs[0].correction
    assert correction.masters == ("MasterBias", "MasterDark_300s")
    assert correction.dark_scale == pytest.approx(2 / 300)
    assert plan.science[0].correction.dark_scale == 1
    without = plan_of(dark, flat, science)
    assert "no bias to scale it" in reason(without, "f")
    assert "needs a flat" in reason(without, "s")


def test_a_dark_is_scaled_up_only_on_request() -> None:
    frames = (*DARKS, frame("b", "bias", 0.0), FLAT, frame("s", "science", 60.0, filter="V"))
    refused = plan_of(*frames)
    assert "needs a dark of 60 s; there was MasterDark_10s" in reason(refused, "s")
    assert "--scale-dark-up" in reason(refused, "s")
    assert plan_of(*frames, scale_dark_up=True).science[0].correction.dark_scale == 6


def test_the_nearest_longer_dark_is_taken() -> None:
    darks = [frame(f"d{t}", "dark", float(t)) for t in (1, 100, 30, 900)]
    plan = plan_of(*darks, frame("b", "bias", 0.0), frame("s", "science", 20.0), missing_flat=True)
    assert plan.science[0].correction.dark == "MasterDark_30s"


def test_going_without_is_possible_on_request() -> None:
    plan = plan_of(SCIENCE)
    assert "needs a dark of 10 s; there was none" in reason(plan, "s1.fits")
    assert "--missing-dark" in reason(plan, "s1.fits")
    plan = plan_of(SCIENCE, missing_dark=True)
    assert "needs a flat in filter V; there was none" in reason(plan, "s1.fits")
    plan = plan_of(SCIENCE, missing_dark=True, missing_flat=True)
    assert plan.science[0].correction.masters == ()
    plan = plan_of(SCIENCE, frame("b", "bias", 0.0), missing_dark=True, missing_flat=True)
    assert plan.science[0].correction.masters == ("MasterBias",)


CRITERIA: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"binning": (2, 2)}, {"binning": (1, 1)}, "binning 2x2, not 1x1"),
    ({"set_temp_c": -20.0}, {"set_temp_c": -10.0}, "set temperature -20 C, not -10 C"),
    (
        {"settings": (("readout", "fast"),)},
        {"settings": (("readout", "slow"),)},
        "readout fast, not slow",
    ),
    (
        {"settings": (("gain_setting", "1"),)},
        {"settings": (("gain_setting", "2"),)},
        "gain setting 1, not 2",
    ),
    ({"camera": "A"}, {"camera": "B"}, "camera A, not B"),
    ({"settings": (("window", "0 0"),)}, {"settings": (("window", "9 0"),)}, "window 0 0, not 9 0"),
]


@pytest.mark.parametrize(("dark", "science", "message"), CRITERIA)
def test_what_keeps_a_master_from_matching_is_named(
    dark: dict[str, Any], science: dict[str, Any], message: str
) -> None:
    plan = plan_of(frame("d", "dark", **dark), frame("s", "science", **science))
    assert f"MasterDark_10s ({message})" in reason(plan, "s")


@pytest.mark.parametrize(("dark", "science", "message"), CRITERIA)
def test_facts_that_a_header_does_not_give_keep_nothing_apart(
    dark: dict[str, Any], science: dict[str, Any], message: str
) -> None:
    plan = plan_of(frame("d", "dark", **dark), frame("s", "science"), missing_flat=True)
    assert plan.science[0].correction.dark == "MasterDark_10s"


def test_masters_of_one_name_are_told_apart() -> None:
    darks = [frame(f"d{b}", "dark", binning=(b, b)) for b in (1, 2)]
    plan = plan_of(*darks)
    assert [master.name for master in plan.masters] == ["MasterDark_10s_1x1", "MasterDark_10s_2x2"]
    odd = plan_of(*(frame(name, "flat", filter=name) for name in ("u'", 'u"')), missing_dark=True)
    assert [master.name for master in odd.masters] == ["MasterFlat_u", "MasterFlat_u_2"]


def test_no_two_masters_share_a_name() -> None:
    names = ["r", "r'", "r 2", "r_2", "B", "a", "b"]
    flats = [frame(f"f{n}", "flat", filter=name) for n, name in enumerate(names)]
    binned = [frame(f"v{b}", "flat", filter="V", binning=(b, b)) for b in (1, 2)]
    odd = frame("w", "flat", filter="V_1x1", binning=(2, 2))
    plan = plan_of(*flats, *binned, odd, missing_dark=True)
    found = [master.name.lower() for master in plan.masters]
    assert len(set(found)) == len(found) == 10


def test_calibration_frames_of_another_shape_are_named() -> None:
    plan = plan_of(*DARKS, frame("odd", "dark", shape=(4, 4)), FLAT, SCIENCE)
    assert "its shape is 4x4" in reason(plan, "odd")
    assert next(entry for entry in plan.left_out if entry.name == "odd").failed
    assert len(plan.master("MasterDark_10s").inputs) == 2


def test_products_never_collide() -> None:
    plan = plan_of(
        *DARKS,
        FLAT,
        frame("a.fits", "science", filter="V"),
        frame("a.fits.gz", "science", filter="V"),
    )
    assert [one.product for one in plan.science] == ["ac.fits"]
    assert "would be that of a.fits" in reason(plan, "a.fits.gz")


@pytest.mark.parametrize(
    ("name", "product"),
    [
        ("k-0001.fits", "k-0001c.fits"),
        ("x/UB17.fit", "x/UB17c.fit"),
        ("a.FTS", "ac.FTS"),
        ("b24.fits.gz", "b24c.fits"),
        ("s.fits.fz", "sc.fits"),
        ("odd", "oddc.fits"),
    ],
)
def test_names_of_products(name: str, product: str) -> None:
    assert product_name(name) == product


KINDS: st.SearchStrategy[Kind] = st.sampled_from(["bias", "dark", "flat", "science"])
FRAMES = st.lists(
    st.builds(
        lambda number, kind, exptime_s, side, filter_name: frame(
            f"f{number}.fits", kind, exptime_s, (side, side), filter=filter_name
        ),
        st.integers(0, 10**6),
        KINDS,
        st.sampled_from([None, 0.0, 2.0, 10.0, 10.01, 300.0]),
        st.sampled_from([4, 8]),
        st.sampled_from([None, "V", "R"]),
    ),
    max_size=14,
    unique_by=lambda one: one.path,
)


@given(FRAMES, st.booleans(), st.booleans(), st.booleans())
def test_every_frame_is_used_or_named_and_masters_come_before_their_users(
    frames: list[Frame], dark: bool, flat: bool, up: bool
) -> None:
    plan = plan_of(*frames, missing_dark=dark, missing_flat=flat, scale_dark_up=up)
    used = [one.frame.path for master in plan.masters for one in master.inputs]
    used += [one.frame.path for one in plan.science]
    named = [entry.path for entry in plan.left_out]
    assert sorted([*used, *named]) == sorted(one.path for one in frames)
    made: set[str] = set()
    for master in plan.masters:
        assert made.issuperset(master.needs)
        made.add(master.name)
    assert len(made) == len(plan.masters)
    for one in plan.science:
        assert made.issuperset(one.correction.masters)
        masters = [plan.master(name) for name in one.correction.masters]
        assert all(master.layout == one.frame.layout for master in masters)
    assert plan == plan_of(*frames, missing_dark=dark, missing_flat=flat, scale_dark_up=up)
    json.dumps(plan.to_dict())


def test_the_plan_touches_no_file() -> None:
    source = ast.parse(Path(daskred.night.plan.__file__).read_text())
    names = {node.id for node in ast.walk(source) if isinstance(node, ast.Name)}
    assert not names & {"open", "os", "Path"}
