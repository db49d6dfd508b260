"""Cards against astropy, which is the oracle for what a header means."""

from __future__ import annotations

import re

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from daskred.fits.header import Header, clipped, commentary, format_card, keyword_of, value_of

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=68)
# astropy misreads a quote in the comment behind an empty string.
COMMENTS = TEXT.map(lambda text: text.replace("'", "`"))
# Nor does it know that a slash behind a quote in a string begins no comment.
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(10**15), 10**15),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT.map(lambda text: clipped(re.sub("' */", "`/", text)).rstrip()),
)


@given(VALUES)
def test_cards_that_we_write_mean_the_same_to_astropy(value: str | float | bool) -> None:
    card = format_card("KEY", value, "a comment")
    assert len(card) == 80
    assert fits.Card.fromstring(card).value == value
    assert Header((card,)).get("KEY") == value


@given(VALUES, COMMENTS)
def test_cards_that_astropy_writes_mean_the_same_to_us(value: object, comment: str) -> None:
    room = 80 - len(fits.Card("KEY", value).image.rstrip()) - len(" / ")
    image = fits.Card("KEY", value, comment[: max(room, 0)]).image
    cards = tuple(image[i : i + 80] for i in range(0, len(image), 80))
    # astropy cuts long floats, so what it reads back is the oracle, not the value.
    assert Header(cards).get("KEY") == fits.Card.fromstring(image).value


def test_a_slash_behind_a_quote_in_a_string_begins_no_comment() -> None:
    card = format_card("KEY", "'/ 5'/", "a comment")
    assert card.startswith("KEY     = '''/ 5''/' ")
    assert Header((card,)).get("KEY") == "'/ 5'/"


def test_long_strings_are_joined_and_dropped_whole() -> None:
    text = "x" * 150
    image = fits.Card("LONG", text).image
    cards = tuple(image[i : i + 80] for i in range(0, len(image), 80))
    header = Header((*cards, format_card("NEXT", 1)))
    assert header.get("LONG") == text
    assert header.without(lambda keyword: keyword == "LONG").cards == (format_card("NEXT", 1),)


def test_hierarch_and_repeated_cards() -> None:
    hierarch = "HIERARCH ESO DPR TYPE = 'FLAT,SKY' / type".ljust(80)
    header = Header((hierarch, format_card("OBSTYPE", "OBJECT"), format_card("OBSTYPE", 0)))
    assert keyword_of(hierarch) == "ESO DPR TYPE"
    assert header.get("ESO DPR TYPE") == "FLAT,SKY"
    assert list(header.values("OBSTYPE")) == ["OBJECT", 0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" 1.5D2 / s", 150.0),
        ("                    / nothing", None),
        (" 'it''s'", "it's"),
        (" 'never closed", "never closed"),
        (" abc / no FITS value", "abc"),
        ("                 +.5E-1", 0.05),
        (" '' / empty", ""),
    ],
)
def test_values_as_cameras_write_them(text: str, value: object) -> None:
    assert value_of(text) == value


def test_a_value_that_does_not_fit_is_an_error_not_a_cut() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        format_card("KEY", "x" * 69)


def test_commentary_is_continued() -> None:
    cards = commentary("COMMENT", "y" * 100)
    assert [len(card) for card in cards] == [80, 80]
    assert "".join(card[8:] for card in cards).strip() == "y" * 100


def test_bytes_are_whole_blocks_and_read_back() -> None:
    header = Header((format_card("A", 1), "COMMENT no ascii: \u00e4".ljust(80)))
    data = header.to_bytes()
    assert len(data) == 2880
    assert fits.Header.fromstring(data.decode("latin-1"))["A"] == 1
    assert Header.parse(data[:160]) == header
