"""What a product is made of: its header, its planes, and the file it becomes.

Masters and frames share what they are written with, which makes the file a little longer than
others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from daskred.fits.hdus import Hdu, read_hdus
from daskred.fits.header import (
    Header,
    clipped,
    commentary,
    format_card,
)
from daskred.fits.names import plane_of
from daskred.fits.pack import pack
from daskred.fits.parts import Part
from daskred.fits.storage import map_concurrently
from daskred.fits.write import Bands, BegunPart, begin_part, finish_part, write_atomically
from daskred.model.checks import CHECKS
from daskred.model.frame import Frame
from daskred.model.plan import Master
from daskred.night.times import date_text, span_of
from daskred.options import Options
from daskred.products.coordinates import Grid
from daskred.products.extensions import Extension, extension_units
from daskred.products.layout import cut_out, lay_out
from daskred.products.provenance import CONTENT_CARD, KEY_CARD, LEVEL_CARD, Origin
from daskred.products.quality import check_science, figure_cards
from daskred.steps import steps_of
from daskred.steps.step import Reach, Recipe

_N_FIGURES = sum(check.of == "science" for check in CHECKS)


def _content_card(content: str) -> str:
    return format_card(CONTENT_CARD, content, "of all pixels it was made from")


def _time_of(frame: Frame) -> list[str]:
    """Return when an exposure of a cube began, whose header tells when the first one did."""
    if plane_of(frame.path) is None or not frame.facts.time_obs:
        return []
    return [format_card("DATE-OBS", frame.facts.time_obs, "of this exposure of a cube")]


def _bias_alone(recipe: Recipe) -> list[str]:
    alone = recipe.correction.is_bias_alone
    return commentary("COMMENT", "no dark: the bias alone was subtracted") if alone else []


def _signature(processed_by: str | None) -> list[str]:
    return commentary("COMMENT", f"processed by {processed_by}") if processed_by else []


class CalibratedPixels(Protocol):
    """A frame that is calibrated when its pixels are wanted."""

    @property
    def counts(self) -> Mapping[str, float]:
        """How many pixels each step that counts them has touched, and what else they have found."""

    @property
    def grids(self) -> Sequence[tuple[Grid, Grid]]:
        """Of each image, which columns and rows of the frame's it has."""

    @property
    def content(self) -> str:
        """A digest of all pixels that it is made from, once they have been read; or nothing."""

    @property
    def knows_content(self) -> bool:
        """Whether there is such a digest."""

    @property
    def shared_errors(self) -> Mapping[str, float]:
        """What no uncertainty of single pixels can tell: errors that many pixels, or frames, share.

        They are named ``dark``, ``flat`` and ``overscan``.
        """

    @property
    def has_figures(self) -> bool:
        """Whether a sample of its pixels will say something of it."""

    @property
    def figures(self) -> Mapping[str, float]:
        """What it says, once they have been read and it has been asked; or nothing."""

    @property
    def light(self) -> bytes:
        """Where the light of its stars lies, once the pixels have been read; or nothing."""

    def images(self) -> tuple[list[Bands], list[Extension]]:
        """Return the images, and what stands beside them."""


def step_cards(recipe: Recipe, reach: Reach, counts: Mapping[str, float]) -> list[str]:
    """Return the cards that steps leave, in IRAF's words where it has some."""
    return [
        format_card(keyword, clipped(value) if isinstance(value, str) else value, comment)
        for step in steps_of(recipe, reach)
        for keyword, value, comment in step.cards(recipe, counts)
    ]


def _prepared_cards(frame: Frame, recipe: Recipe) -> list[str]:
    return step_cards(recipe, "amplifier", {}) if frame.is_prepared else []


_SHARED = {
    "dark": ("DARKERR", "of master dark, shared by all frames"),
    "flat": ("FLATERR", "of master flat, relative, shared by all frames"),
    "overscan": ("OVSCERR", "of level of overscan, shared by a row"),
}


def _shared_error_cards(errors: Mapping[str, float]) -> list[str]:
    """Return cards of typical errors that averaging pixels, or frames, does not make smaller."""
    return [
        format_card(_SHARED[name][0], float(f"{error:.4g}"), _SHARED[name][1])
        for name, error in errors.items()
    ]


def begin_calibrated(
    target: Path,
    frame: Frame,
    recipe: Recipe,
    calibrated: CalibratedPixels,
    key: str,
    guard: Path | None = None,
) -> BegunPart:
    """Write the pixels of one calibrated frame: its own header, and what was done to it.

    Parameters
    ----------
    target
        The product.
    frame
        The raw frame.
    recipe
        How it is calibrated.
    calibrated
        Its pixels.
    key
        What the product was made from.
    guard
        As of `daskred.fits.write.begin_part`.
    """
    pixels, planes = calibrated.images()
    cards = [
        *_prepared_cards(frame, recipe),
        *step_cards(recipe, "band", calibrated.counts),
        *step_cards(recipe, "frame", calibrated.counts),
        *_shared_error_cards(calibrated.shared_errors),
        format_card("CCDPROC", "CCD processing done", "by daskred"),
        format_card(KEY_CARD, key, "made from these inputs"),
        *commentary("COMMENT", "Calibrated Science Frame"),
        *_bias_alone(recipe),
        *_time_of(frame),
        *_signature(recipe.options.processed_by),
    ]
    units = lay_out(frame.path, read_hdus(frame.path), frame, pixels, cards, None, others=True)
    units = cut_out(frame.path, units, calibrated.grids)
    if beside := extension_units(planes, _unit_of(frame)):
        # Before what is carried along, which may have the same names.
        carried = [unit for unit in units if isinstance(unit, bytes)]
        units = [*(unit for unit in units if not isinstance(unit, bytes)), *beside, *carried]
    n_late = calibrated.has_figures * _N_FIGURES + calibrated.knows_content
    return begin_part(target, units, guard, n_late)


def finish_calibrated(
    begun: BegunPart, frame: Frame, calibrated: CalibratedPixels, options: Options
) -> Part:
    """Finish a calibrated frame, to be placed: what its pixels say goes into its header.

    Raises
    ------
    FrameError
        Where they say that it cannot be what it seems; nothing is left behind then.
    """
    figures = calibrated.figures
    try:
        check_science(frame, figures, options)
        content = [_content_card(calibrated.content)] if calibrated.knows_content else []
    except BaseException:
        begun.remove()
        raise
    packing = options.compress
    packed = None if packing == "none" else partial(pack, packing=packing)
    return finish_part(begun, [*figure_cards(figures), *content], packed)


def _unit_of(frame: Frame) -> str:
    return frame.preparation.unit if frame.preparation else "adu"


def _by_role(frame: Frame) -> dict[tuple[str, int], Hdu]:
    """Return a frame's units by what they are: its so-many-th image, or another unit."""
    numbers = {image.hdu: number for number, image in enumerate(frame.images)}
    return {
        ("image", numbers[hdu.index]) if hdu.index in numbers else ("other", hdu.index): hdu
        for hdu in read_hdus(frame.path)
    }


def shared_headers(frames: Sequence[Frame]) -> list[Hdu]:
    """Return the first frame's units, with the cards on which all frames agree.

    Raises
    ------
    FrameError
        When one cannot be read.
    """
    first = _by_role(frames[0])
    kept = {role: hdu.header.entries for role, hdu in first.items()}
    paths = [frame.path for frame in frames]
    # None is kept: any number of frames fits into memory.
    for found in map_concurrently(_by_role, frames[1:], paths):
        for role, hdu in found.items():
            if role in kept:
                theirs = set(hdu.header.entries)
                kept[role] = [entry for entry in kept[role] if entry in theirs]
    return [
        replace(hdu, header=Header(tuple(card for entry in kept[role] for card in entry)))
        for role, hdu in first.items()
    ]


def combining_words(options: Options) -> list[str]:
    """Return in words how frames are combined, and what is left out before.

    Examples
    --------
    >>> from daskred.options import Options
    >>> combining_words(Options(combine="mean", reject="minmax"))
    ['mean', 'minmax low=1 high=1']
    """
    rejection = options.rejection
    if options.combine == "clipped-mean" and rejection.method == "none":
        rejection = replace(rejection, method="sigma")
    if rejection.method == "none":
        return [options.combine]
    text = f"{rejection.method} low={rejection.low:g} high={rejection.high:g}"
    if rejection.method == "sigma":
        text += f" {rejection.centre} {rejection.scale}"
    return [options.combine, text]


def _level_cards(levels: Sequence[float]) -> list[str]:
    """Return what a dark tells of the level without its current."""
    text = "level without dark current, by scatter"
    return [
        format_card(f"{LEVEL_CARD}{n:03d}", "unknown" if math.isnan(level) else level, text)
        for n, level in enumerate(levels, start=1)
    ]


def _scatter_card(scatter: float) -> list[str]:
    if math.isnan(scatter):
        return []
    text = "variance of frames over that stated"
    return [format_card("SCATTER", float(f"{scatter:.4g}"), text)]


def _shared_step_cards(master: Master, recipe: Recipe) -> list[str]:
    """Return the cards of what was done alike to all inputs of a master."""
    corrections = dict.fromkeys(member.correction for member in master.inputs)
    found = [step_cards(replace(recipe, correction=c), "band", {}) for c in corrections]
    return [card for card in found[0] if all(card in cards for cards in found)]


def write_master(
    target: Path,
    master: Master,
    options: Options,
    template: Sequence[Hdu],
    pixels: Sequence[Bands],
    planes: Sequence[Extension],
    origin: Origin,
) -> int:
    """Write a master: the header that its inputs share, and what it was made from.

    Parameters
    ----------
    target
        The product.
    master
        The master as planned.
    options
        How it was made.
    template
        What its inputs share; see `shared_headers`.
    pixels
        For each image its pixels, float32 or float64.
    planes
        What stands beside the pixels.
    origin
        What it was made from.

    Returns
    -------
    int
        The number of pixels without a value.
    """
    combined = combining_words(options)
    recipe = Recipe(master.inputs[0].frame.readout, master.inputs[0].correction, options)
    frames = [member.frame for member in master.inputs]
    n_inputs = master.n_inputs
    title = "master " + master.kind
    if master.kind == "flat" and master.has_objects:
        title = "master flat of the night sky"
    cards = _prepared_cards(frames[0], recipe)
    if master.kind == "dark":
        exptime_s = master.facts.dark_exposure_s
        title = f"master {exptime_s:g}-second dark"
        if "EXPTIME" not in template[0].header:
            cards.append(format_card("EXPTIME", exptime_s, "exposure time, seconds"))
    made = f"{n_inputs} frames {combined[0]} combined"
    if master.given:
        made = f"as another program made it: {frames[0].basename}"
    told = "frames combined" if n_inputs else "frames combined: nobody knows how many"
    cards.append(format_card("NCOMBINE", n_inputs, told))
    if not master.given:
        cards.append(format_card("COMBINE", combined[0], "per pixel, over frames"))
        cards += [format_card("REJECT", clipped(text), "values left out") for text in combined[1:]]
    if master.kind == "shutter":
        title = "by how much longer than told pixels are exposed, seconds"
        cards.append(format_card("IMAGETYP", "shutter", "no flat, though made of flats"))
    if master.is_lit:
        text = f"{options.normalize}, of each colour" if origin.colours else options.normalize
        cards.append(format_card("NORMALIZ", text, "how levels were measured"))
    cards += _shared_step_cards(master, recipe)
    if span := span_of(frames):
        cards += [
            format_card("DATE-BEG", date_text(span[0]), "the first exposure began"),
            format_card("DATE-END", date_text(span[1]), "the last exposure ended"),
        ]
    if n_inputs < 1000:
        names = [frame.basename for frame in frames]
        if len(set(names)) < len(names):  # only their folders tell them apart
            names = [frame.name for frame in frames]
        cards += [
            format_card(f"IMCMB{number:03d}", clipped(name))
            for number, name in enumerate(names, start=1)
        ]
    cards += [
        *figure_cards(origin.figures),
        *_level_cards(origin.levels),
        *_scatter_card(origin.scatter),
        format_card(KEY_CARD, origin.key, "made from these inputs"),
        _content_card(origin.content),
        *commentary("COMMENT", title),
        *commentary("COMMENT", made),
        *_signature(options.processed_by),
    ]
    unit = {"shutter": "s", "flat": "", "sky": ""}.get(master.kind)
    units = lay_out(frames[0].path, template, frames[0], pixels, cards, unit, others=False)
    units += extension_units(planes, "" if master.is_lit else _unit_of(frames[0]))
    return write_atomically(target, units, sync=options.sync)
