"""Make a plan of a night. Pure: from facts to plain data; nothing is read or written here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from daskred.cameras.rules import Camera
from daskred.fits.names import split_name
from daskred.model.errors import FrameError
from daskred.model.frame import Frame
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
from daskred.night.groups import grouped, named
from daskred.night.match import AGREE, RefusedError, bias_for, dark_correction, flat_for
from daskred.night.open import Night
from daskred.options import Options


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
    kept = []
    for frame in frames:
        if not layouts or frame.layout in layouts:
            kept.append(frame)
            continue
        shapes = ", ".join(sorted({shape_text(layout) for layout in layouts}))
        own = shape_text(frame.layout)
        text = f"its shape is {own}, that of the night's science frames is {shapes}"
        if own == shapes:
            text = "its images have other names than those of the night's science frames"
        left_out.append(LeftOut(frame.path, frame.name, text, failed=True))
    return kept


def _zero_of(frame: Frame, biases: Sequence[Master], camera: Camera) -> str | None:
    bias = bias_for(frame, biases, camera)
    return bias.name if bias else None


def _of_other_sections(frames: Sequence[Frame]) -> dict[str, str]:
    """Return, by path, why frames do not go with the others: they are read out in another way."""
    if not any(frame.is_prepared for frame in frames):
        return {}
    groups: dict[Hashable, list[Frame]] = {}
    for frame in frames:
        common = tuple(getattr(frame.facts, criterion) for criterion in AGREE)
        groups.setdefault((frame.layout, common), []).append(frame)
    others: dict[str, str] = {}
    for group in groups.values():
        told = [one.preparation.geometry if one.preparation else "all of it" for one in group]
        usual = Counter(told).most_common(1)[0][0]
        for frame, own in zip(group, told, strict=True):
            if own != usual:
                text = f"its sections ({own}) are not those of the other frames ({usual})"
                others[frame.path] = text
    return others


def make_plan(night: Night, options: Options | None = None) -> Plan:
    """Group a night's frames into masters, and choose the masters of each frame.

    Parameters
    ----------
    night
        The classified frames.
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
    camera = night.camera
    odd = _of_other_sections([frame for frame in night.raw if frame.kind != "unknown"])
    if odd:
        night = night.without(FrameError(path, reason) for path, reason in odd.items())
    left_out = list(night.left_out)
    science_frames = night.select("science")

    def leave(frame: Frame, reason: str) -> None:
        left_out.append(LeftOut(frame.path, frame.name, reason, failed=True))

    def usable(kind: MasterKind) -> list[Frame]:
        return _of_science_layout(night.select(kind), science_frames, left_out)

    def plain(kind: MasterKind, frames: Sequence[Frame]) -> list[Master]:
        groups = grouped(frames, kind, camera)
        return named(kind, [[Input(frame) for frame in group] for group in groups])

    biases = plain("bias", usable("bias"))
    timed = []
    for frame in usable("dark"):
        if frame.facts.exptime_s is None:
            leave(frame, "is a dark whose header tells no exposure time")
        else:
            timed.append(frame)
    darks = named(
        "dark",
        [
            [Input(frame, Correction(zero=_zero_of(frame, biases, camera))) for frame in group]
            for group in grouped(timed, "dark", camera)
        ],
    )

    flat_groups = []
    for group in grouped(usable("flat"), "flat", camera):
        inputs = []
        for frame in group:
            try:
                correction = dark_correction(frame, biases, darks, camera, options)
                inputs.append(Input(frame, correction))
            except RefusedError as refusal:
                leave(frame, str(refusal))
        if inputs:
            flat_groups.append(inputs)
    flats = named("flat", flat_groups)

    science: list[Science] = []
    products: dict[str, Frame] = {}
    for frame in science_frames:
        try:
            correction = dark_correction(frame, biases, darks, camera, options)
            flat = flat_for(frame, flats, camera, options)
        except RefusedError as refusal:
            leave(frame, str(refusal))
            continue
        product = product_name(frame.name)
        other = products.setdefault(product, frame)
        if other is not frame:
            leave(frame, f"its product {product} would be that of {other.name}; rename one")
            continue
        science.append(Science(frame, product, replace(correction, flat=flat)))

    masters = (*biases, *darks, *flats)
    warnings = tuple(
        f"{master.name} is made from one frame: nothing can be rejected, its noise stays"
        for master in masters
        if len(master.inputs) == 1
    )
    left_out.sort(key=lambda entry: entry.name)
    return Plan(night.frames, masters, tuple(science), tuple(left_out), warnings)
