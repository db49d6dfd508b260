"""A mask of bad pixels, from a night's darks and flats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.engine.progress import Progress, Silent
from daskred.fits.header import Header, commentary, format_card
from daskred.fits.write import as_bands, write_atomically
from daskred.kernels.defects import clusters_of
from daskred.measure.dead_pixels import mark_dead, mark_nonlinear
from daskred.measure.hot_pixels import mark_hot, mark_unstable
from daskred.measure.limits import COMPLETENESS, Limit, Marks
from daskred.model.errors import FrameError, RequestError
from daskred.model.mask import BAD, HOT, LEGEND, NONLINEAR, UNSTABLE
from daskred.model.paths import absolute
from daskred.model.plan import LeftOut
from daskred.model.readout import Section
from daskred.night.open import NightOrFolder, as_night
from daskred.night.plan import make_plan
from daskred.options import Options
from daskred.products.extensions import legend_cards
from daskred.products.names import MASK_FILE, MEASURED_FOLDER
from daskred.products.provenance import KEY_CARD, check_own
from daskred.run.reduce import plan_memory, reduce_night

_FEW = 5  # bad pixels that touch each other are a cluster
_MOST_LISTED = 99
# What is held of each pixel: sums over frames, and what follows from them, in double precision.
_PIXEL_BYTES = 130


@dataclass(frozen=True, eq=False)
class BadPixels:
    """A mask of bad pixels.

    Parameters
    ----------
    path
        The file.
    masks
        The bits of each image.
    columns, clusters
        Of each image the sections of bad columns, or parts of columns, and of clusters of other bad
        pixels.
    limits
        Beyond what pixels of each kind are found.
    missing
        What could not be told, and why.
    failed
        Frames that could not be used.

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name + "/night", shape=(64, 64), n_darks=5, n_flats=5)
    >>> found = daskred.find_bad_pixels(folder.name + "/night", folder.name + "/out")
    >>> found.path.name
    'BadPixels.fits'
    >>> folder.cleanup()
    """

    path: Path
    masks: list[NDArray[np.uint8]]
    columns: tuple[tuple[Section, ...], ...]
    clusters: tuple[tuple[Section, ...], ...]
    limits: tuple[Limit, ...]
    missing: tuple[str, ...]
    failed: tuple[LeftOut, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what was found as plain data, ready for JSON."""
        return {
            "mask": str(self.path),
            "pixels": self.counts,
            "columns": [[str(section) for section in image] for image in self.columns],
            "clusters": [[str(section) for section in image] for image in self.clusters],
            "limits": [asdict(limit) for limit in self.limits],
            "missing": list(self.missing),
        }

    @property
    def counts(self) -> dict[str, int]:
        """How many pixels there are of each kind."""
        return {
            meaning: sum(int(np.count_nonzero(mask & bit)) for mask in self.masks)
            for bit, meaning in LEGEND.items()
            if bit in (BAD, HOT, UNSTABLE, NONLINEAR)
        }

    @property
    def completeness(self) -> float:
        """What part of the bad pixels at a limit is found."""
        return COMPLETENESS

    @property
    def n_pixels(self) -> int:
        """How many pixels there are."""
        return sum(mask.size for mask in self.masks)


def find_bad_pixels(
    night: NightOrFolder,
    out: str | Path,
    options: Options | None = None,
    progress: Progress | None = None,
) -> BadPixels:
    """Find hot, unstable, dead and non-linear pixels, and write them as a mask.

    Hot: the longest master dark is far above that of the pixels around. Unstable: the scatter of
    these darks is larger than their own signal's noise makes it. Dead: the master flat is below
    four fifths of the response of the pixels around, or has no value. Not linear: bright flats over
    faint ones are far from those of other pixels. Columns, and parts of columns, are bad where all
    of their pixels together are. Amplifiers are judged each by itself.

    The mask's header says beyond what pixels of a kind are found (``HOTLIM`` and others), which
    part of those at these limits (``COMPLETE``), and where columns and clusters lie.

    Parameters
    ----------
    night
        Darks and flats of one detector.
    out
        The folder of the mask, ``BadPixels.fits``, and in ``measured`` of the masters.
    options
        How masters are made.
    progress
        Told how far it is.

    Raises
    ------
    RequestError
        When there are neither darks nor flats.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name + "/night", shape=(64, 64), n_darks=5, n_flats=5)
    >>> found = find_bad_pixels(open_night(folder.name + "/night"), folder.name + "/out")
    >>> 0 < found.counts["hot"] < 40
    True
    >>> folder.cleanup()
    """
    progress = progress or Silent()
    options = options or Options()
    night, out = as_night(night, options), absolute(out)
    try:
        check_own(out / MASK_FILE)
    except FrameError as error:
        raise RequestError(str(error)) from error
    if not night.select("dark") and not night.select("flat"):
        raise RequestError("a mask of bad pixels needs darks or flats, and there are none")
    options = options.but(masters_only=True, missing_dark=True)
    plan_memory(make_plan(night, options), options, measured_bytes=_PIXEL_BYTES)
    path, out = out / MASK_FILE, out / MEASURED_FOLDER
    summary = reduce_night(night, out, options, progress)
    plan = summary.plan
    darks = [master for master in plan.masters if master.kind == "dark"]
    flats = [master for master in plan.masters if master.kind == "flat"]
    layouts = {master.layout for master in (*darks, *flats)}
    if not layouts:
        reasons = "; ".join(f"{entry.name}: {entry.reason}" for entry in summary.failed[:3])
        raise RequestError(f"no master could be made: {reasons}")
    if len(layouts) > 1:
        raise RequestError("the darks and flats are of several detectors; name those of one")
    masks = [np.zeros(shape, "u1") for _, shape in layouts.pop()]
    marks = Marks(masks, [[] for _ in masks])
    missing: list[str] = []
    limits: list[Limit] = []
    if darks:
        longest = max(darks, key=lambda master: master.facts.exptime_s or 0.0)
        limits += mark_hot(marks, longest, out)
        limits += mark_unstable(marks, longest, missing, progress)
    else:
        missing.append("hot and unstable pixels: there are no darks")
    if flats:
        best = max(flats, key=lambda master: len(master.inputs))
        limits += mark_dead(marks, best, out)
        limits += mark_nonlinear(marks, best, out, missing, progress)
    else:
        missing.append("dead and non-linear pixels: there are no flats")
    found = BadPixels(
        path,
        masks,
        tuple(tuple(sorted(found, key=_by_column)) for found in marks.columns),
        tuple(map(_clusters, masks, marks.columns)),
        tuple(limit for limit in limits if math.isfinite(limit.value)),
        tuple(missing),
        summary.failed,
    )
    _write(found, options.sync)
    return found


def _by_column(section: Section) -> tuple[int, int]:
    return section.columns[0], section.rows[0]


def _clusters(mask: NDArray[np.uint8], columns: Sequence[Section]) -> tuple[Section, ...]:
    """Return where bad pixels touch each other that lie in no bad column."""
    bad = mask != 0
    for section in columns:
        bad[section.slices] = False
    return tuple(section for section, _ in clusters_of(bad, _FEW))


def _write(found: BadPixels, sync: bool) -> None:
    units: list[Any] = []
    for number, mask in enumerate(found.masks):
        cards = [format_card("EXTNAME", "BADPIX"), format_card("EXTVER", number + 1)]
        if number == 0:
            cards = [format_card(KEY_CARD, "bad pixels", "made by daskred"), *legend_cards()]
            cards += [
                format_card(limit.card, float(f"{limit.value:.4g}"), limit.text)
                for limit in found.limits
            ]
            if found.limits:
                text = "part of those at these limits that is found"
                cards.append(format_card("COMPLETE", COMPLETENESS, text))
        for card, word, sections in (
            ("COLUMN", "bad columns, or parts of such", found.columns[number]),
            ("CLUST", "clusters of bad pixels", found.clusters[number]),
        ):
            cards.append(format_card(f"N{card}", len(sections), word))
            cards += [
                format_card(f"{card}{place:02d}", str(section))
                for place, section in enumerate(sections[:_MOST_LISTED], start=1)
            ]
        if number == 0:
            cards += commentary("COMMENT", "bad pixels: 0 is good")
        units.append((Header(tuple(cards)), as_bands(mask, is_data=False)))
    write_atomically(found.path, units, sync=sync)
