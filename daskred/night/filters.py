"""Filters told by names, where no card tells them: of flats, and of the frames they divide."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from daskred.cameras.rules import Camera
from daskred.fits.names import split_name
from daskred.model.frame import Frame
from daskred.model.text import and_more

_BETWEEN = re.compile(r"[\s_.,;()\[\]-]+")
# What is written together with the name of a filter: flatV0, Vflat, DomeFlatV.
_FLAT = re.compile(r"(?i)^(dome|sky|twilight|twi|lamp)?flats?|flats?$")


def _words(text: str, camera: Camera) -> list[tuple[int, str]]:
    """Return the names of filters in a text, with their places."""
    pieces = [piece for piece in _BETWEEN.split(text) if piece]
    return [(n, piece) for n, piece in enumerate(pieces) if camera.filter_words.fullmatch(piece)]


_FOLDER = 2  # of the texts, that of the folder


def _texts(frame: Frame) -> list[str]:
    """Return the names of a frame: its file's, its object's, and its folder's below the night."""
    stem = split_name(frame.basename)
    folders = frame.name.split("/")[:-1]
    return [stem[0] if stem else frame.basename, frame.facts.object or "", *folders[-1:]]


def _of_flat(frame: Frame, camera: Camera) -> str | None:
    """Return the filter that the names of a flat agree on."""
    texts = _texts(frame)
    together = (word for word in _BETWEEN.split(texts[0]) if _FLAT.search(word))
    apart = (_FLAT.sub("", word).rstrip("0123456789") for word in together)
    found = {word for text in (*texts, *apart) for _, word in _words(text, camera)}
    return found.pop() if len(found) == 1 else None


def _of_science(frame: Frame, camera: Camera, filters: Collection[str]) -> str | None:
    """Return the filter that the names of a science frame agree on, of those that flats have.

    A name that begins with a letter may be that of a star: R Leonis, V 404 Cygni.
    """
    known = {name.casefold(): name for name in filters}
    found = {
        known[word.casefold()]
        for number, text in enumerate(_texts(frame))
        for place, word in _words(text, camera)
        if (place or number == _FOLDER) and word.casefold() in known
    }
    return found.pop() if len(found) == 1 else None


def unclear_filters(frames: Sequence[Frame], camera: Camera) -> list[str]:
    """Say where names tell several filters of flats, but not of each, and no card does.

    Parameters
    ----------
    frames
        Of a night, with the filters that their cards and names tell.
    camera
        The rules.
    """
    flats = [frame for frame in frames if frame.kind == "flat"]
    if any(flat.facts.filter for flat in flats):
        return []
    told = {flat.name: _of_flat(flat, camera) for flat in flats}
    filters = sorted({name for name in told.values() if name})
    if len(filters) < 2:
        return []
    unclear = [name for name, filter_name in told.items() if not filter_name] or list(told)
    return [
        f"no card tells the filter of the flats, and their names tell {', '.join(filters)}, but not"
        f" clearly of {and_more(unclear)}: all are taken for one; --filter 'PATTERN'=NAME tells"
    ]


def named_filters(frames: Sequence[Frame], out: Collection[str], camera: Camera) -> list[Frame]:
    """Return frames with the filters that their names tell.

    It is done only where no card of any flat tells a filter, and the names of every flat tell one.

    Parameters
    ----------
    frames
        Of a night.
    out
        Paths of those that are not used.
    camera
        The rules.
    """
    flats = [frame for frame in frames if frame.kind == "flat" and frame.path not in out]
    if not flats or any(flat.facts.filter for flat in flats):
        return list(frames)
    told = {flat.path: _of_flat(flat, camera) for flat in flats}
    filters = {name for name in told.values() if name}
    if None in told.values() or len({name.casefold() for name in filters}) < len(filters):
        return list(frames)

    def with_filter(frame: Frame) -> Frame:
        name = told.get(frame.path)
        if frame.kind == "science" and frame.facts.filter is None:
            name = _of_science(frame, camera, filters)
        return replace(frame, facts=replace(frame.facts, filter=name)) if name else frame

    return [with_filter(frame) for frame in frames]
