"""Filters told by names, where no card tells them: of flats, and of the frames they divide."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from daskred.cameras.rules import Camera
from daskred.fits.names import split_name
from daskred.model.frame import Frame

_BETWEEN = re.compile(r"[\s_.,;()\[\]-]+")


def _words(text: str, camera: Camera) -> list[tuple[int, str]]:
    """Return the names of filters in a text, with their places."""
    pieces = [piece for piece in _BETWEEN.split(text) if piece]
    return [(n, piece) for n, piece in enumerate(pieces) if camera.filter_words.fullmatch(piece)]


def _texts(frame: Frame) -> list[str]:
    stem = split_name(frame.basename)
    return [stem[0] if stem else frame.basename, frame.facts.object or ""]


def _of_flat(frame: Frame, camera: Camera) -> str | None:
    """Return the filter that the names of a flat agree on."""
    found = {word for text in _texts(frame) for _, word in _words(text, camera)}
    return found.pop() if len(found) == 1 else None


def _of_science(frame: Frame, camera: Camera, filters: Collection[str]) -> str | None:
    """Return the filter that the names of a science frame agree on, of those that flats have.

    A name that begins with a letter may be that of a star: R Leonis, V 404 Cygni.
    """
    known = {name.casefold(): name for name in filters}
    found = {
        known[word.casefold()]
        for text in _texts(frame)
        for place, word in _words(text, camera)
        if place and word.casefold() in known
    }
    return found.pop() if len(found) == 1 else None


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
