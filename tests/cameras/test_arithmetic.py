"""Sums of camera files: as Python computes them, and bounded."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskred.cameras.arithmetic import compute

CARDS = {"NAXIS1": 1064, "PRESCAN": 50, "OVER_2": 7}
numbers = st.integers(0, 5000).map(str) | st.sampled_from(sorted(CARDS))
sums = st.recursive(
    numbers,
    lambda inner: (
        st.tuples(inner, st.sampled_from([" + ", "-", " * ", "/", "//"]), inner).map("".join)
        | inner.map("( {} )".format)
    ),
    max_leaves=8,
)


@given(sums)
def test_sums_come_to_what_python_makes_of_them(text: str) -> None:
    try:
        expected = eval(text.replace("//", "/").replace("/", "//"), {}, CARDS)
    except ZeroDivisionError:
        with pytest.raises(ValueError, match=r"by zero|too large"):
            compute(text, CARDS.__getitem__)
        return
    if len(text) < 100 and abs(expected) < 2**40 and "*" not in text:
        assert compute(text, CARDS.__getitem__) == expected
    with contextlib.suppress(ValueError):  # what comes between may be too large
        assert compute(text, CARDS.__getitem__) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is missing"),
        ("1 2", "is missing"),
        ("1 +", "is missing"),
        ("-1", "is missing"),
        ("(1", "bracket"),
        ("1)", "bracket"),
        ("1 % 2", "whole numbers, cards"),
        ("NAXIS1.real", "whole numbers, cards"),
        ("len(NAXIS1)", "is missing"),
        ("9*9**9", "is missing"),
        ("*".join(["999999"] * 4), "too large"),
        ("9" * 150, "too large"),
        ("1/(NAXIS1-1064)", "by zero"),
        ("9" * 5000, "letters"),
        ("(" * 100_000, "letters"),
        ("(" * 200, "is missing"),
    ],
)
def test_what_is_no_sum_is_told_at_once(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        compute(text, CARDS.__getitem__)
