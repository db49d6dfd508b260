"""What one file is: a frame of some kind, or the reason why it is none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import PurePath

import numpy as np

from daskred.cameras.rules import Camera
from daskred.fits.hdus import Hdu, frame_errors, read_hdus
from daskred.fits.header import COMMENTARY, Header, Value, is_structural, keyword_of
from daskred.fits.images import exposures_in, images_of
from daskred.fits.names import plane_of
from daskred.fits.pixels import read_rows
from daskred.fits.remote import keeping_first_bytes, tag_of
from daskred.fits.storage import state_of
from daskred.kernels.robust import any_floats
from daskred.model.errors import FrameError
from daskred.model.frame import Facts, Frame, Image
from daskred.model.plan import LeftOut
from daskred.model.readout import Readout
from daskred.night.choices import Choices
from daskred.night.facts import facts_of
from daskred.night.kinds import kind_of
from daskred.night.processed import processed_sign
from daskred.night.readout import readout_of
from daskred.night.signs import signs_of, source_sign
from daskred.night.times import date_text, mjd_of
from daskred.night.values import parse_number, present

_SAMPLE_PIXELS = 1024
_NONE = Choices()


_MEANINGS = {
    "calibrated": "is already calibrated",
    "master": "is a master, not a raw frame",
    "product": "was made by daskred",
}


def _digest_of(path: str, hdus: Sequence[Hdu], sample: bytes, prepared: Readout | None) -> str:
    digest = hashlib.sha256(sample)
    if prepared:
        digest.update(repr(prepared).encode())
    for hdu in hdus:
        digest.update("".join(hdu.header.cards).encode("utf-8"))
    digest.update(str((hdus[-1].end, plane_of(path))).encode())
    with frame_errors(path):
        digest.update(tag_of(path).encode())
    return digest.hexdigest()[:32]


@any_floats
def _sample(path: str, image: Image) -> bytes:
    """Return a digest of an image's first pixels, alike for all ways in which they are stored."""
    n_rows = min(image.shape[0], -(-_SAMPLE_PIXELS // image.shape[1]))
    pixels = np.empty((n_rows, image.shape[1]), image.dtype)
    read_rows(path, image, 0, n_rows, pixels)
    return hashlib.sha256(pixels.astype("f8").tobytes()).digest()


@dataclass(frozen=True, slots=True)
class Description:
    """What one file is.

    Parameters
    ----------
    frame
        The frame; None for a file that holds none.
    left_out
        Why it is not used; None for a raw frame.
    sample
        A digest of its first pixels, to tell duplicates by.
    lamps
        The cards that say that a lamp is on.
    n_exposures
        Of a cube: how many frames the file holds, each to be described by itself.
    """

    frame: Frame | None
    left_out: LeftOut | None
    sample: bytes = b""
    lamps: frozenset[str] = frozenset()
    n_exposures: int = 0


def telling_headers(hdus: Sequence[Hdu]) -> list[Header]:
    """Return the primary header and, where its unit holds no pixels, the next one."""
    n_empty = sum(hdu.data_size == 0 for hdu in hdus[:1])
    return [hdu.header for hdu in hdus[: 1 + n_empty]]


@dataclass(frozen=True, slots=True)
class Rules:
    """By what a file is described.

    Parameters
    ----------
    camera
        What its headers mean.
    choices
        What is settled by hand.
    stuck
        Cards of lamps that tell nothing, since they are on all night.
    """

    camera: Camera
    choices: Choices = _NONE
    stuck: frozenset[str] = frozenset()


def telling_cards(path: str) -> dict[str, Value]:
    """Return what the cards of a file say of its exposure, and not of how its pixels lie.

    Raises
    ------
    FrameError
        When it cannot be read.
    """
    return {
        keyword: header.get(keyword)
        for header in telling_headers(read_hdus(path))
        for keyword in header.keywords
        if keyword not in COMMENTARY and not is_structural(keyword)
    }


@keeping_first_bytes()
def describe(path: str, name: str, rules: Rules) -> Description:
    """Read the headers and the first pixels of a file, and say what it is."""
    try:
        with frame_errors(path):
            state = state_of(path)  # before anything is read, so that no later change escapes
        hdus = read_hdus(path)
        if n_exposures := exposures_in(path, hdus):
            return Description(None, None, n_exposures=n_exposures)
        processed = processed_sign(name, telling_headers(hdus), rules.camera)
        if processed is None:
            return _describe(path, name, hdus, rules, state)
        meaning, sign = processed
        text = _MEANINGS[meaning] + (f": {sign}" if meaning != "product" else "")
        left_out = LeftOut(path, name, text, failed=False)
    except FrameError as error:
        return Description(None, LeftOut(path, name, error.reason, failed=True))
    try:
        return replace(_describe(path, name, hdus, rules, state), left_out=left_out)
    except FrameError:
        return Description(None, left_out)


def _describe(path: str, name: str, hdus: Sequence[Hdu], rules: Rules, state: str) -> Description:
    camera, choices = rules.camera, rules.choices
    images = images_of(path, hdus)
    headers = telling_headers(hdus)
    exptime_s, filter_name = choices.exptime_s(name, path), choices.filter(name, path)
    facts = facts_of(path, headers, camera, exptime_s, filter_name)
    if (plane := plane_of(path)) is not None:
        facts = replace(facts, time_obs=_time_of_plane(headers, facts, plane))
    sample = _sample(path, images[0])
    levels = tuple(card for cards in camera.facts["saturation_adu"] for card in cards)
    readout = readout_of(path, hdus, images, camera, facts)
    readout = _shared(replace(readout, level_cards=levels))
    is_prepared = _changes(readout)
    above = str(PurePath(path).parents[name.count("/")].name)
    signs = signs_of(name, headers, facts.exptime_s, camera, rules.stuck)
    kind, reason = kind_of(name, signs, source_sign(above, camera))
    frame = Frame(
        path=path,
        name=name,
        images=images,
        facts=facts,
        kind=kind,
        reason=reason,
        digest=_digest_of(path, hdus, sample, readout if is_prepared else None),
        n_cards=sum(
            not is_structural(keyword_of(card)) for hdu in hdus for card in hdu.header.cards
        ),
        state=state,
        readout=readout,
        is_prepared=is_prepared,
        has_sums=any(card in hdu.header for hdu in hdus for card in ("CHECKSUM", "DATASUM")),
    )
    lamps = frozenset(sign.card for sign in signs if sign.card)
    return Description(frame, None, sample, lamps)


# How long it takes from the begin of one exposure of a cube to that of the next, seconds.
_CYCLES = ("KCT", "CYCLE", "FRAMETIM", "ACCTIME")


def _time_of_plane(headers: Sequence[Header], facts: Facts, plane: int) -> str | None:
    """Return when an exposure of a cube began."""
    begin = mjd_of(facts.time_obs)
    cycles = (parse_number(value) for card in _CYCLES for value in present(headers, card))
    known = [number[0] for number in cycles if number and number[0] > 0]
    cycle_s = known[0] if known else facts.exptime_s or 0.0
    return facts.time_obs if begin is None else date_text(begin + plane * cycle_s / 86400)


@lru_cache(maxsize=256)
def _changes(readout: Readout) -> bool:
    return readout.changes_pixels


@lru_cache(maxsize=256)
def _shared(readout: Readout) -> Readout:
    """Return one object for all that are equal: frames of one camera are read out alike."""
    return readout
