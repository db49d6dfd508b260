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
    strips = [(_strip(a, "beside"), _strip(a, "above")) for a in amplifiers]
    flats = [m.frame for master in plan.masters if master.kind == "flat" for m in master.inputs]
    if not flats or not any(strip for pair in strips for strip in pair):
        return [Transfer(None, None) for _ in amplifiers]
    found: list[tuple[list[Inefficiency], list[Inefficiency]]] = [([], []) for _ in amplifiers]
    flats = flats[:_MOST_FRAMES]
    progress.begin("Charge transfer", len(flats), "flats")
    for frame in flats:
        images = read_images(frame.path)
        for amplifier, pair, lists in zip(amplifiers, strips, found, strict=True):
            for strip, measured in zip(pair, lists, strict=True):
                one = _of_edge(images[amplifier.image], amplifier, strip) if strip else None
                if one:
                    measured.append(one)
        progress.advance(1)
    progress.end()
    return [
        Transfer(*(mean_inefficiency(measured) if measured else None for measured in lists))
        for lists in found
    ]


class _Edge(NamedTuple):
    """An overscan next to pixels that see light."""

    strip: Section
    along_rows: bool
    comes_after: bool


def _strip(amplifier: Amplifier, where: str) -> _Edge | None:
    """Return the overscan that comes next to the last pixels of an amplifier; None for none."""
    along_rows = where == "beside"
    for strip in getattr(amplifier, where):
        span, data = (
            section.columns if along_rows else section.rows for section in (strip, amplifier.data)
        )
        wide = span[1] - span[0] >= DEFERRED + _FEW_PIXELS
        # What lies between may see light, or be another amplifier's.
        if wide and span[0] == data[1]:
            return _Edge(strip, along_rows, comes_after=True)
        if wide and span[1] == data[0]:
            return _Edge(strip, along_rows, comes_after=False)
    return None


def _of_edge(image: Any, amplifier: Amplifier, edge: _Edge) -> Inefficiency | None:
    """Return what one flat tells, turned so that lines run towards the overscan."""
    data, strip = amplifier.data, edge.strip
    if not edge.along_rows:
        image = image.T
        data, strip = (Section(s.columns, s.rows) for s in (data, strip))
    lines = image[slice(*data.rows)].astype("f8")
    (first, stop), (begin, end) = data.columns, strip.columns
    if edge.comes_after:
        last, behind = lines[:, stop - 1], lines[:, stop:end]
    else:
        last, behind = lines[:, first], lines[:, begin:first][:, ::-1]
    limit = amplifier.saturation_adu
    if limit is not None and np.median(last) > _UNSATURATED * limit:
        return None
    return inefficiency_of(last, behind, stop - first)
