"""Which master is made from which frames, and which masters calibrate which frame.

Pure: from facts to plain data; nothing is read or written here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any, Literal

from daskred.cameras import Camera
from daskred.frames import Facts, Frame
from daskred.night import LeftOut, Night

MasterKind = Literal["bias", "dark", "flat"]
MASTERS_FOLDER = "masters"
# Facts that must agree between a frame and its masters where both headers give them.
_AGREE = ("camera", "binning", "gain_setting", "readout", "window")
_SUFFIX = re.compile(r"(\.(?:fits|fit|fts))(?:\.gz|\.fz)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Allowances:
    """What a plan may do only because the user asked for it.

    Parameters
    ----------
    missing_dark
        Frames without a matching dark are calibrated without one (with the bias if there is one).
    missing_flat
        Science frames without a matching flat are calibrated without one.
    scale_dark_up
        A shorter dark may be scaled up by exposure time.
    """

    missing_dark: bool = False
    missing_flat: bool = False
    scale_dark_up: bool = False


@dataclass(frozen=True, slots=True)
class Correction:
    """The masters that calibrate one frame, by name.

    Parameters
    ----------
    dark
        The master dark, or None.
    dark_scale
        The factor for the dark current; 1 where the exposure times agree.
    bias
        The master bias: subtracted where there is no dark; where the dark is scaled, taken from
        it before.
    flat
        The master flat, or None.
    """

    dark: str | None = None
    dark_scale: float = 1.0
    bias: str | None = None
    flat: str | None = None

    @property
    def masters(self) -> tuple[str, ...]:
        """All names."""
        return tuple(name for name in (self.bias, self.dark, self.flat) if name)


@dataclass(frozen=True, slots=True)
class Input:
    """A frame that goes into a master, and what is subtracted from it before."""

    frame: Frame
    correction: Correction = field(default_factory=Correction)


@dataclass(frozen=True, slots=True)
class Master:
    """A master to be made.

    Parameters
    ----------
    name
        Its name, that of its file without the suffix.
    kind
        bias, dark or flat.
    inputs
        The frames that are combined.
    facts
        What they have in common; the exposure time is the most frequent one.
    """

    name: str
    kind: MasterKind
    inputs: tuple[Input, ...]
    facts: Facts

    @property
    def product(self) -> str:
        """The file, below the folder of products."""
        return f"{MASTERS_FOLDER}/{self.name}.fits"

    @property
    def layout(self) -> tuple[tuple[str, tuple[int, int]], ...]:
        """Names and shapes of its images."""
        return self.inputs[0].frame.layout

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the masters that its inputs need."""
        return tuple(dict.fromkeys(name for i in self.inputs for name in i.correction.masters))


@dataclass(frozen=True, slots=True)
class Science:
    """A science frame, its product below the folder of products, and its masters."""

    frame: Frame
    product: str
    correction: Correction


@dataclass(frozen=True)
class Plan:
    """What is made from what.

    Parameters
    ----------
    frames
        Every frame whose headers could be read.
    masters
        In an order in which they can be made.
    science
        The science frames that will be calibrated.
    left_out
        Every frame that is not used, with the reason.
    warnings
        What is done, but is worth a look.
    """

    frames: tuple[Frame, ...]
    masters: tuple[Master, ...]
    science: tuple[Science, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]

    def master(self, name: str) -> Master:
        """Return a master by name."""
        return next(master for master in self.masters if master.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data, ready for JSON."""
        return {
            "frames": [
                {
                    "path": frame.path,
                    "kind": frame.kind,
                    "reason": frame.reason,
                    "exptime_s": frame.facts.exptime_s,
                    "filter": frame.facts.filter,
                    "images": [
                        {"name": i.name, "shape": list(i.shape), "dtype": i.dtype.name}
                        for i in frame.images
                    ],
                }
                for frame in self.frames
            ],
            "masters": [
                {
                    "name": master.name,
                    "kind": master.kind,
                    "product": master.product,
                    "inputs": [one.frame.path for one in master.inputs],
                    "masters": list(master.needs),
                }
                for master in self.masters
            ],
            "science": [
                {
                    "path": science.frame.path,
                    "product": science.product,
                    "masters": list(science.correction.masters),
                    "dark_scale": science.correction.dark_scale,
                }
                for science in self.science
            ],
            "left_out": [
                {"path": entry.path, "reason": entry.reason, "failed": entry.failed}
                for entry in self.left_out
            ],
            "warnings": list(self.warnings),
        }


def shape_text(layout: Iterable[tuple[str, tuple[int, int]]]) -> str:
    """Return the shapes of a layout in words, rows first.

    Examples
    --------
    >>> shape_text((("", (1020, 1530)),)), shape_text((("A", (4, 6)), ("B", (4, 6))))
    ('1020x1530', '2 images of 4x6')
    """
    counts = Counter(f"{shape[0]}x{shape[1]}" for _, shape in layout)
    if list(counts.values()) == [1]:
        return next(iter(counts))
    return " and ".join(f"{n} image{'s'[: n > 1]} of {shape}" for shape, n in counts.items())


def _text(value: object) -> str:
    """Return a fact as people write it."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def disagreement(first: Frame | Master, second: Frame | Master, camera: Camera) -> str | None:
    """Return the first criterion that keeps two from belonging together; None where all agree.

    Facts that a header does not give do not keep anything apart.
    """
    if first.layout != second.layout:
        return f"shape {shape_text(second.layout)}, not {shape_text(first.layout)}"
    for criterion in _AGREE:
        mine, other = getattr(first.facts, criterion), getattr(second.facts, criterion)
        if mine is not None and other is not None and mine != other:
            name = criterion.replace("_", " ")
            return f"{name} {_text(other)}, not {_text(mine)}"
    mine, other = first.facts.set_temp_c, second.facts.set_temp_c
    if mine is None or other is None or camera.same_temperature(mine, other):
        return None
    return f"set temperature {other:g} C, not {mine:g} C"


def _clusters(values: Iterable[float], near: Any) -> dict[float, float]:
    """Map each value to the smallest of those that it is near to."""
    anchors: dict[float, float] = {}
    anchor: float | None = None
    for value in sorted(set(values)):
        if anchor is None or not near(anchor, value):
            anchor = value
        anchors[value] = anchor
    return anchors


def _grouped(frames: Sequence[Frame], kind: MasterKind, camera: Camera) -> list[list[Frame]]:
    """Group frames of one kind by all that must agree; what no header gives is its own value."""
    times = _clusters(
        (f.facts.exptime_s for f in frames if f.facts.exptime_s is not None), camera.same_exptime
    )
    temperatures = _clusters(
        (f.facts.set_temp_c for f in frames if f.facts.set_temp_c is not None),
        camera.same_temperature,
    )

    def key(frame: Frame) -> tuple[Hashable, ...]:
        facts = frame.facts
        own: tuple[Hashable, ...] = ()
        if kind == "dark":
            own = (times.get(facts.exptime_s or 0.0),)
        elif kind == "flat":
            own = (facts.filter,)
        common = tuple(getattr(facts, criterion) for criterion in _AGREE)
        temperature = None if facts.set_temp_c is None else temperatures[facts.set_temp_c]
        return (*own, frame.layout, *common, temperature)

    groups: dict[tuple[Hashable, ...], list[Frame]] = {}
    for frame in frames:
        groups.setdefault(key(frame), []).append(frame)
    return list(groups.values())


def _common_facts(frames: Sequence[Frame]) -> Facts:
    """Return the facts that frames of one group share."""
    first = frames[0].facts
    times = Counter(f.facts.exptime_s for f in frames if f.facts.exptime_s is not None)
    exptime = min(times, key=lambda t: (-times[t], t)) if times else None
    filters = {f.facts.filter for f in frames}
    return Facts(
        exptime_s=exptime,
        filter=first.filter if len(filters) == 1 else None,
        set_temp_c=first.set_temp_c,
        **{criterion: getattr(first, criterion) for criterion in _AGREE},
    )


def _base_name(kind: MasterKind, facts: Facts) -> str:
    if kind == "bias":
        return "MasterBias"
    if kind == "dark":
        return f"MasterDark_{facts.exptime_s:g}s"
    filter_name = re.sub(r"[^A-Za-z0-9+.-]+", "_", facts.filter or "").strip("_")
    return f"MasterFlat_{filter_name}" if filter_name else "MasterFlat"


def _named(kind: MasterKind, groups: Sequence[Sequence[Input]]) -> list[Master]:
    """Name the masters of one kind; where names would be the same, by what sets them apart."""
    masters = [
        Master("", kind, tuple(group), _common_facts([one.frame for one in group]))
        for group in groups
    ]
    masters = [replace(master, name=_base_name(kind, master.facts)) for master in masters]
    masters.sort(key=lambda master: (master.name, master.inputs[0].frame.name))
    named: list[Master] = []
    for _, same in groupby(masters, key=lambda master: master.name.lower()):
        alike = list(same)
        taken: set[str] = set()
        for master in alike:
            name = master.name + _distinction(master, alike)
            unique, number = name, 1
            while unique.lower() in taken:
                number += 1
                unique = f"{name}_{number}"
            taken.add(unique.lower())
            named.append(replace(master, name=unique))
    return named


def _distinction(master: Master, alike: Sequence[Master]) -> str:
    """Return what to add to a master's name to tell it from others of the same name."""
    parts = []
    for criterion in ("layout", *_AGREE, "set_temp_c"):
        of = (lambda m: m.layout) if criterion == "layout" else _fact_getter(criterion)
        if len({of(other) for other in alike}) > 1:
            value = of(master)
            text = shape_text(value) if criterion == "layout" else _text(value)
            if criterion == "set_temp_c" and value is not None:
                text += "C"
            parts.append("_" + re.sub(r"[^A-Za-z0-9+.-]+", "-", text).strip("-"))
    return "".join(parts)


def _fact_getter(criterion: str) -> Any:
    return lambda master: getattr(master.facts, criterion)


class _RefusedError(Exception):
    """A frame cannot be calibrated as wished; the message says why and the way out."""


def _listed(masters: Sequence[Master], target: Frame, camera: Camera) -> str:
    """Say what masters there were, and what kept each from matching."""
    if not masters:
        return "there was none"
    entries = []
    for master in masters[:4]:
        why = disagreement(target, master, camera)
        entries.append(f"{master.name} ({why})" if why else master.name)
    more = f" and {len(masters) - 4} more" if len(masters) > 4 else ""
    return f"there was {', '.join(entries)}{more}"


def _matching(masters: Iterable[Master], target: Frame, camera: Camera) -> list[Master]:
    """Return the masters that agree with a frame, the one of most frames first."""
    matching = [m for m in masters if disagreement(target, m, camera) is None]
    return sorted(matching, key=lambda master: -len(master.inputs))


def _dark_correction(
    target: Frame,
    biases: Sequence[Master],
    darks: Sequence[Master],
    camera: Camera,
    allow: Allowances,
) -> Correction:
    """Choose what is subtracted from a frame.

    Raises
    ------
    _RefusedError
        When nothing matches and the user did not ask to go without.
    """
    exptime_s = target.facts.exptime_s
    bias = next(iter(_matching(biases, target, camera)), None)
    usable = _matching(darks, target, camera)
    if exptime_s is not None:
        of_time = [(float(d.facts.exptime_s or 0), d) for d in usable]
        same = [pair for pair in of_time if camera.same_exptime(pair[0], exptime_s)]
        if same:
            best = min(same, key=lambda pair: abs(pair[0] - exptime_s))[1]
            return Correction(dark=best.name)
        longer = [pair for pair in of_time if pair[0] > exptime_s]
        shorter = [pair for pair in of_time if 0 < pair[0] < exptime_s]
        scalable = longer or (shorter if allow.scale_dark_up else [])
        if bias and scalable:
            # The nearest exposure time needs the least faith in a linear dark current.
            time, dark = min(scalable, key=lambda pair: abs(pair[0] - exptime_s))
            return Correction(dark=dark.name, dark_scale=exptime_s / time, bias=bias.name)
    if allow.missing_dark:
        return Correction(bias=bias.name if bias else None)
    wanted = "a dark" if exptime_s is None else f"a dark of {exptime_s:g} s"
    text = f"needs {wanted}; {_listed(darks, target, camera)}"
    way_out = "--missing-dark goes without"
    if exptime_s is None:
        text = f"its header tells no exposure time, so no dark can be chosen; {way_out}"
        raise _RefusedError(text)
    if usable and not bias:
        text += ", and no bias to scale it by exposure time"
    elif usable:
        way_out = f"--scale-dark-up scales the shorter one, {way_out}"
    elif bias:
        way_out = f"--missing-dark subtracts {bias.name} alone"
    raise _RefusedError(f"{text}; {way_out}")


def _flat_for(
    target: Frame, flats: Sequence[Master], camera: Camera, allow: Allowances
) -> str | None:
    """Choose the master flat that a science frame is divided by."""
    same = [flat for flat in flats if flat.facts.filter == target.facts.filter]
    if matching := _matching(same, target, camera):
        return matching[0].name
    if allow.missing_flat:
        return None
    name = target.facts.filter
    wanted = f"a flat in filter {name}" if name else "a flat without a filter's name"
    there_was = _listed(same or flats, target, camera)
    raise _RefusedError(f"needs {wanted}; {there_was}; --missing-flat goes without")


def product_name(name: str) -> str:
    """Return the name of a calibrated frame: a ``c`` before the extension, as the lab has it.

    Examples
    --------
    >>> product_name("m31/a-0001.fits"), product_name("b24.fits.gz")
    ('m31/a-0001c.fits', 'b24c.fits')
    """
    path = PurePosixPath(name)
    match = _SUFFIX.search(path.name)
    stem, suffix = (path.name[: match.start()], match.group(1)) if match else (path.name, ".fits")
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


def make_plan(night: Night, allow: Allowances | None = None) -> Plan:
    """Group a night's frames into masters, and choose the masters of each frame.

    Parameters
    ----------
    night
        The classified frames.
    allow
        What may be done only on request.

    Returns
    -------
    Plan
        The same for the same night: plain data that can be printed, compared and stored.

    Examples
    --------
    >>> import tempfile
    >>> from daskred.night import open_night
    >>> from daskred.simulate import simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name, shape=(16, 16), n_darks=2, n_flats=2, n_science=1)
    >>> plan = make_plan(open_night(folder.name))
    >>> [master.name for master in plan.masters]
    ['MasterDark_10s', 'MasterDark_3s', 'MasterFlat_BG40']
    >>> folder.cleanup()
    """
    allow = allow or Allowances()
    camera = night.camera
    left_out = list(night.left_out)
    science_frames = night.select("science")

    def leave(frame: Frame, reason: str) -> None:
        left_out.append(LeftOut(frame.path, frame.name, reason, failed=True))

    def usable(kind: MasterKind) -> list[Frame]:
        return _of_science_layout(night.select(kind), science_frames, left_out)

    def plain(kind: MasterKind, frames: Sequence[Frame]) -> list[Master]:
        groups = _grouped(frames, kind, camera)
        return _named(kind, [[Input(frame) for frame in group] for group in groups])

    biases = plain("bias", usable("bias"))
    timed = []
    for frame in usable("dark"):
        if frame.facts.exptime_s is None:
            leave(frame, "is a dark whose header tells no exposure time")
        else:
            timed.append(frame)
    darks = plain("dark", timed)

    flat_groups = []
    for group in _grouped(usable("flat"), "flat", camera):
        inputs = []
        for frame in group:
            try:
                correction = _dark_correction(frame, biases, darks, camera, allow)
                inputs.append(Input(frame, correction))
            except _RefusedError as refusal:
                leave(frame, str(refusal))
        if inputs:
            flat_groups.append(inputs)
    flats = _named("flat", flat_groups)

    science: list[Science] = []
    products: dict[str, Frame] = {}
    for frame in science_frames:
        try:
            correction = _dark_correction(frame, biases, darks, camera, allow)
            flat = _flat_for(frame, flats, camera, allow)
        except _RefusedError as refusal:
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
