"""Make a plan of a night. Pure: from facts to plain data; nothing is read or written here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Literal

from daskred.cameras.rules import Camera
from daskred.fits.names import split_name
from daskred.model.errors import FrameError, RequestError
from daskred.model.frame import Frame
from daskred.model.option import nearest
from daskred.model.plan import (
    Correction,
    Input,
    LeftOut,
    Master,
    MasterKind,
    Plan,
    Science,
    shape_text,
)
from daskred.model.text import and_more
from daskred.night.fields import beside_others
from daskred.night.filters import unclear_filters
from daskred.night.groups import grouped, named
from daskred.night.match import WINDOW, RefusedError, Shelf, window_in
from daskred.night.open import NightOrFolder, as_night
from daskred.night.shutter import Shutter
from daskred.night.sky import Sky
from daskred.night.times import ALL_ONE, date_text, dates_of
from daskred.options import Options

_KINDS = frozenset(("bias", "dark", "flat"))


def product_name(name: str) -> str:
    """Return the name of a calibrated frame: a ``c`` before the extension, as the lab has it.

    Examples
    --------
    >>> product_name("m31/a-0001.fits"), product_name("b24.fits.gz")
    ('m31/a-0001c.fits', 'b24c.fits')
    """
    path = PurePosixPath(name)
    stem, suffix, _ = split_name(path.name) or (path.name, ".fits", "")
    return str(path.with_name(f"{stem}c{suffix}"))


def _of_science_layout(
    frames: Sequence[Frame], science: Sequence[Frame], left_out: list[LeftOut]
) -> list[Frame]:
    """Return the calibration frames whose shape some science frame has; name the others."""
    layouts = {frame.layout for frame in science}
    # One of each place on the detector will do.
    places = {(frame.layout, frame.facts.value(WINDOW)): frame for frame in science}
    windows = [frame for (_, place), frame in places.items() if place]
    kept = []
    for frame in frames:
        covers = any(window_in(window, frame.layout, frame.facts) for window in windows)
        if not layouts or frame.layout in layouts or covers:
            kept.append(frame)
            continue
        shapes = ", ".join(sorted({shape_text(layout) for layout in layouts}))
        shape = shape_text(frame.layout)
        text = f"its shape is {shape}, that of the night's science frames is {shapes}"
        if shape == shapes:
            text = "its images have other names than those of the night's science frames"
        left_out.append(LeftOut(frame.path, frame.name, text, failed=True))
    return kept


def _of_other_sections(frames: Sequence[Frame], camera: Camera) -> dict[str, str]:
    """Return, by path, why frames do not go with the others: they are read out in another way."""
    if not any(frame.is_prepared for frame in frames):
        return {}
    groups: dict[Hashable, list[Frame]] = {}
    always = [c for c in camera.criteria if c.frames == c.masters == _KINDS]
    for frame in frames:
        common = tuple(criterion.key(frame.facts.value(criterion.fact)) for criterion in always)
        groups.setdefault((frame.layout, common), []).append(frame)
    others: dict[str, str] = {}
    for group in groups.values():
        told = [frame.preparation.geometry if frame.preparation else "all of it" for frame in group]
        usual = Counter(told).most_common(1)[0][0]
        for frame, sections in zip(group, told, strict=True):
            if sections != usual:
                text = f"its sections ({sections}) are not those of the other frames ({usual})"
                others[frame.path] = text
    return others


def make_plan(night: NightOrFolder, options: Options | None = None) -> Plan:
    """Group a night's frames into masters, and choose the masters of each frame.

    Parameters
    ----------
    night
        The classified frames, or the folder that they are in.
    options
        What may be done only on request.

    Returns
    -------
    Plan
        The same for the same night: plain data that can be printed, compared and stored.

    Examples
    --------
    >>> import tempfile
    >>> from daskred.night.open import open_night
    >>> from daskred.simulation import simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name, shape=(16, 16), n_darks=2, n_flats=2, n_science=1)
    >>> plan = make_plan(open_night(folder.name))
    >>> [master.name for master in plan.masters]
    ['MasterDark_10s', 'MasterDark_3s', 'MasterFlat_BG40']
    >>> folder.cleanup()
    """
    options = options or Options()
    night = as_night(night, options)
    camera = night.camera
    _check_allowed(options, camera)
    odd = _of_other_sections([frame for frame in night.raw if frame.kind != "unknown"], camera)
    if odd:
        night = night.without(FrameError(path, reason) for path, reason in odd.items())
    left_out = list(night.left_out)
    science_frames = night.select("science")
    dates = ALL_ONE if options.across_nights else dates_of(night.raw)
    no_darks = not any(frame.kind == "dark" for frame in night.frames)
    shelf = Shelf(camera, dates, options, no_darks or not camera.detector.needs_darks)

    def leave(frame: Frame, reason: str) -> None:
        left_out.append(LeftOut(frame.path, frame.name, reason, failed=True))

    def groups(kind: Literal["bias", "dark", "flat"]) -> list[list[Frame]]:
        frames = _of_science_layout(night.select(kind), science_frames, left_out)
        if kind == "dark":
            for frame in frames:
                if frame.facts.dark_exposure_s is None:
                    leave(frame, _UNTIMED.format(name=frame.name))
            frames = [frame for frame in frames if frame.facts.dark_exposure_s is not None]
        return grouped(frames, kind, camera, dates)

    def add(kind: MasterKind, inputs: Sequence[Sequence[Input]]) -> None:
        own = named(kind, inputs, camera, dates)
        names = {master.name for master in own}
        lent = [
            master.named_by_key() if master.name in names else master
            for master in night.given
            if master.kind == kind
        ]
        shelf.put(kind, [*own, *lent])

    add("bias", [[Input(frame) for frame in group] for group in groups("bias")])
    dark_groups = []
    for group in groups("dark"):
        zeros = (shelf.bias_for(frame) for frame in group)
        corrections = (Correction(zero=zero.name if zero else None) for zero in zeros)
        dark_groups.append([Input(*pair) for pair in zip(group, corrections, strict=True)])
    add("dark", dark_groups)

    flat_groups = []
    for group in groups("flat"):
        inputs = []
        for frame in group:
            try:
                inputs.append(Input(frame, shelf.dark_correction(frame)))
            except RefusedError as refusal:
                leave(frame, str(refusal))
        if inputs:
            flat_groups.append(inputs)
    shutter = Shutter(shelf)
    shutter.look_at(flat_groups)
    flat_groups = [
        [Input(i.frame, shutter.correct(i.frame, i.correction)) for i in inputs]
        for inputs in flat_groups
    ]
    add("flat", flat_groups)
    sky = Sky(shelf, night.no_sky)
    if of_sky := sky.flats(science_frames):
        add("flat", [*flat_groups, *of_sky])

    science: list[Science] = []
    products: dict[str, Frame] = {}
    for frame in science_frames:
        try:
            correction = shelf.dark_correction(frame)
            correction = replace(correction, flat=shelf.flat_for(frame))
            correction = shutter.correct(frame, correction)
            window = shelf.window(frame, correction.masters)
        except RefusedError as refusal:
            leave(frame, str(refusal))
            continue
        product = product_name(frame.name)
        other = products.setdefault(product, frame)
        if other is not frame:
            leave(frame, f"its product {product} would be that of {other.name}; rename one")
            continue
        science.append(Science(frame, product, replace(correction, window=window)))

    science = beside_others(sky.correct(science, science_frames), options)
    masters = _used([m for kind in shelf.masters.values() for m in kind], science)
    left_out.sort(key=lambda entry: entry.name)
    warnings = (
        *_of_single_frames(masters),
        *unclear_filters(night.frames, camera),
        *_in_vain(shelf, night.given, masters, science_frames),
        *_unlike(shelf, masters, science),
        *_without_darks(masters, science),
        *shutter.warnings,
        *sky.warnings,
    )
    made = (night.frames, masters, tuple(science), tuple(left_out), warnings)
    return Plan(*made, _camera_text(camera))


def _used(masters: Sequence[Master], science: Sequence[Science]) -> tuple[Master, ...]:
    """Return masters without those of other nights that nothing is calibrated by."""
    corrections = [correction for _, correction in _corrected(masters, science)]
    names = {name for correction in corrections for name in correction.masters}
    names |= {correction.zero for correction in corrections if correction.zero}
    return tuple(master for master in masters if master.given is None or master.name in names)


_UNTIMED = "is a dark whose header tells no exposure time; --exptime '{name}'=SECONDS tells it"


def _check_allowed(options: Options, camera: Camera) -> None:
    """Raise RequestError where an option allows what no criterion is called."""
    names = [criterion.name for criterion in camera.criteria]
    for name in options.allow:
        if name not in names:
            raise RequestError(f"--allow {name}: {nearest(name, names)}; {', '.join(names)}")


def _camera_text(camera: Camera) -> str:
    """Say which camera's rules are used, and why."""
    if not camera.source:
        return f"no rules of a camera: {camera.reason}" if camera.reason else ""
    because = (
        f", recognised by {camera.reason}; --camera none goes without" if camera.reason else ""
    )
    return f"{camera.source} ({camera.name}){because}"


def _corrected(
    masters: Sequence[Master], science: Sequence[Science]
) -> list[tuple[Frame, Correction]]:
    """Return every frame that is used, and what calibrates it."""
    uses = [(i.frame, i.correction) for master in masters for i in master.inputs]
    return uses + [(entry.frame, entry.correction) for entry in science]


def _without_darks(masters: Sequence[Master], science: Sequence[Science]) -> list[str]:
    """Say which frames are less a bias alone, or nothing, since there is no dark."""
    alone: dict[str, list[Frame]] = {}
    whole = []
    for frame, correction in _corrected(masters, science):
        if correction.bias and correction.is_bias_alone:
            alone.setdefault(correction.bias, []).append(frame)
        elif frame.kind in ("flat", "science") and not (correction.dark or correction.terms):
            whole.append(frame)
    found = [
        f"{name} alone is subtracted, no dark: dark current stays ({_named(frames)})"
        for name, frames in alone.items()
    ]
    if whole and any(master.kind == "bias" for master in masters):
        found.append(f"no bias, and no dark, is subtracted ({_named(whole)})")
    return found


def _of_single_frames(masters: Sequence[Master]) -> list[str]:
    return [
        f"{master.name} is made from one frame: nothing can be rejected, its noise stays"
        for master in masters
        if master.n_inputs == 1
    ]


def _in_vain(
    shelf: Shelf, given: Sequence[Master], used: Sequence[Master], science: Sequence[Frame]
) -> list[str]:
    """Say which masters that are given by hand nothing is calibrated by, and why."""
    paths = {master.given.path for master in used if master.given}
    found = []
    for master in given:
        if master.given and master.given.by_hand and master.given.path not in paths:
            reasons = (shelf.disagreement(frame, master) for frame in science)
            why = next((reason for reason in reasons if reason), "no frame needs it")
            found.append(f"{master.given.path}, given by hand, calibrates nothing: {why}")
    return found


def _unlike(shelf: Shelf, masters: Sequence[Master], science: Sequence[Science]) -> list[str]:
    """Say which masters differ from what they calibrate, and which are of another night."""
    by_name = {master.name: master for master in masters}
    found: dict[tuple[str, str], list[Frame]] = {}
    for frame, correction in _corrected(masters, science):
        for name in dict.fromkeys(correction.masters):
            master = by_name[name]
            for difference in shelf.worth_a_look(frame, master):
                found.setdefault((name, f"differs in {difference}"), []).append(frame)
            if master.given:
                date = (
                    "" if master.given.mjd is None else f" of {date_text(master.given.mjd)[:10]},"
                )
                found.setdefault((name, f"is borrowed:{date} {master.given.path}"), []).append(
                    frame
                )
                continue
            night, wanted = shelf.night_of(master), shelf.dates.night_of(frame)
            if shelf.dates.days_between(night, wanted) and night is not None and wanted is not None:
                dates = shelf.dates.date(night), shelf.dates.date(wanted)
                if dates[0] == dates[1]:  # the afternoon before
                    continue
                text = f"is of {dates[0]}, the nearest that there is to {dates[1]}"
                found.setdefault((name, text), []).append(frame)
    return [f"{name} {text} ({_named(frames)})" for (name, text), frames in sorted(found.items())]


def _named(frames: Sequence[Frame]) -> str:
    return f"calibrates {and_more([frame.name for frame in frames])}"
