"""How much charge is left behind in each transfer: from flats, and the overscans at their edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from daskred.engine.progress import Progress
from daskred.fits.pixels import read_image
from daskred.kernels.deferred import DEFERRED, Inefficiency, inefficiency_of, mean_inefficiency
from daskred.model.plan import Plan
from daskred.model.readout import Amplifier, Section

_MOST_FRAMES = 20
_FEW_PIXELS = 6  # beside those with deferred charge, which tell the level
_UNSATURATED = 0.8
_CERTAIN = 3.0  # errors from which on charge that was left behind is none by chance


class Transfer(NamedTuple):
    """What is left behind along rows (serial) and along columns (parallel), of one amplifier."""

    serial: Inefficiency | None
    parallel: Inefficiency | None


def charge_transfer(
    plan: Plan, amplifiers: tuple[Amplifier, ...], missing: list[str], progress: Progress
) -> list[Transfer]:
    """Return how much charge each amplifier leaves behind.

    Parameters
    ----------
    plan
        Its flats are measured.
    amplifiers
        Those of the detector.
    missing
        What cannot be measured is added.
    progress
        Told how far it is.
    """
    nothing = [Transfer(None, None) for _ in amplifiers]
    edges = [[_edges(a, turned) for turned in (False, True)] for a in amplifiers]
    flats = [m.frame for master in plan.masters if master.kind == "flat" for m in master.inputs]
    if not flats:
        missing.append("charge transfer: needs flats")
        return nothing
    if not any(edge for lines in edges for both in lines for edge in both):
        text = f"needs an overscan of {DEFERRED + _FEW_PIXELS} pixels next to those that see light"
        missing.append(f"charge transfer: {text}")
        return nothing
    found: dict[_Edge, list[Inefficiency]] = {}
    flats = flats[:_MOST_FRAMES]
    progress.begin("Charge transfer", len(flats), "flats")
    for frame in flats:
        images = [read_image(frame.path, image) for image in frame.images]
        for amplifier, lines in zip(amplifiers, edges, strict=True):
            for edge in (edge for both in lines for edge in both):
                one = _of_edge(images[amplifier.image], amplifier, edge)
                found.setdefault(edge, []).extend([one] if one else [])
        progress.advance(1)
    progress.end()
    return [
        Transfer(*(_behind(both, found, amplifier.name, missing) for both in lines))
        for amplifier, lines in zip(amplifiers, edges, strict=True)
    ]


def _behind(
    edges: Sequence[_Edge],
    found: dict[_Edge, list[Inefficiency]],
    name: str,
    missing: list[str],
) -> Inefficiency | None:
    """Return what the strips on either side of lines tell; None where they do not."""
    of = f" of {name}" if name else ""
    known = [(edge, mean_inefficiency(found[edge])) for edge in edges if found[edge]]
    if edges and not known:
        text = f"no flat has light, and is not saturated, next to the {edges[0].place}"
        missing.append(f"charge transfer{of}: {text}")
    if not known:
        return None
    # Charge comes out behind the pixels, and a strip read before them has none.
    edge, measured = max(known, key=lambda one: one[1].part / one[1].error)
    if len(known) == 1 and edge.is_first and measured.part < _CERTAIN * measured.error:
        text = f"nothing is left behind in the {edge.place}, but it may be read before the pixels"
        missing.append(f"charge transfer{of}: {text}")
        return None
    return measured


class _Edge(NamedTuple):
    """Pixels that see light, and an overscan beside them; rows and columns exchanged if turned."""

    data: Section
    strip: Section
    turned: bool
    image: int

    @property
    def is_first(self) -> bool:
        """Whether the overscan comes before the pixels, counted as the image is."""
        return self.strip.columns[1] == self.data.columns[0]

    @property
    def place(self) -> str:
        """Where the overscan lies, in words."""
        begin, end = self.strip.columns
        return f"overscan of {'rows' if self.turned else 'columns'} {begin + 1} to {end}"


def _edges(amplifier: Amplifier, turned: bool) -> list[_Edge]:
    """Return the overscans that come next to the pixels of an amplifier, on either side."""
    sections = (amplifier.data, *(amplifier.above if turned else amplifier.beside))
    data, *strips = (Section(s.columns, s.rows) if turned else s for s in sections)
    found = []
    for strip in strips:
        begin, end = strip.columns
        # What lies between may see light, or be another amplifier's.
        touches = begin == data.columns[1] or end == data.columns[0]
        if touches and end - begin >= DEFERRED + _FEW_PIXELS:
            found.append(_Edge(data, strip, turned, amplifier.image))
    return found


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
