"""How much charge is left behind in each transfer: from flats, and the overscans at their edges."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from daskred.arrays.masterfiles import read_images
from daskred.engine.progress import Progress
from daskred.kernels.deferred import DEFERRED, Inefficiency, inefficiency_of, mean_inefficiency
from daskred.model.plan import Plan
from daskred.model.readout import Amplifier, Section

_MOST_FRAMES = 20
_FEW_PIXELS = 6  # beside those with deferred charge, which tell the level
_UNSATURATED = 0.8


class Transfer(NamedTuple):
    """What is left behind along rows (serial) and along columns (parallel), of one amplifier."""

    serial: Inefficiency | None
    parallel: Inefficiency | None


def charge_transfer(
    plan: Plan, amplifiers: tuple[Amplifier, ...], progress: Progress
) -> list[Transfer]:
    """Return how much charge each amplifier leaves behind.

    Parameters
    ----------
    plan
        Its flats are measured.
    amplifiers
        Those of the detector.
    progress
        Told how far it is.
    """
    edges = [(_edge(a, turned=False), _edge(a, turned=True)) for a in amplifiers]
    flats = [m.frame for master in plan.masters if master.kind == "flat" for m in master.inputs]
    if not flats or not any(edge for pair in edges for edge in pair):
        return [Transfer(None, None) for _ in amplifiers]
    found: list[tuple[list[Inefficiency], list[Inefficiency]]] = [([], []) for _ in amplifiers]
    flats = flats[:_MOST_FRAMES]
    progress.begin("Charge transfer", len(flats), "flats")
    for frame in flats:
        images = read_images(frame.path)
        for amplifier, pair, lists in zip(amplifiers, edges, found, strict=True):
            for edge, measured in zip(pair, lists, strict=True):
                one = _of_edge(images[amplifier.image], amplifier, edge) if edge else None
                if one:
                    measured.append(one)
        progress.advance(1)
    progress.end()
    return [
        Transfer(*(mean_inefficiency(measured) if measured else None for measured in lists))
        for lists in found
    ]


class _Edge(NamedTuple):
    """Pixels that see light, and an overscan beside them; rows and columns exchanged if turned."""

    data: Section
    strip: Section
    turned: bool


def _edge(amplifier: Amplifier, turned: bool) -> _Edge | None:
    """Return the overscan that comes next to the last pixels of an amplifier; None for none."""
    sections = (amplifier.data, *(amplifier.above if turned else amplifier.beside))
    data, *strips = (Section(s.columns, s.rows) if turned else s for s in sections)
    for strip in strips:
        begin, end = strip.columns
        # What lies between may see light, or be another amplifier's.
        touches = begin == data.columns[1] or end == data.columns[0]
        if touches and end - begin >= DEFERRED + _FEW_PIXELS:
            return _Edge(data, strip, turned)
    return None


def _of_edge(image: Any, amplifier: Amplifier, edge: _Edge) -> Inefficiency | None:
    """Return what one flat tells, turned so that lines run towards the overscan."""
    lines = (image.T if edge.turned else image)[slice(*edge.data.rows)].astype("f8")
    (first, stop), (begin, end) = edge.data.columns, edge.strip.columns
    if begin == stop:
        last, behind = lines[:, stop - 1], lines[:, stop:end]
    else:
        last, behind = lines[:, first], lines[:, begin:first][:, ::-1]
    limit = amplifier.saturation_adu
    if limit is not None and np.median(last) > _UNSATURATED * limit:
        return None
    return inefficiency_of(last, behind, stop - first)
