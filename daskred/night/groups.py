"""Which frames make one master, and what it is called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from daskred.cameras.rules import Camera
from daskred.model.frame import Facts, Frame
from daskred.model.plan import Input, Master, MasterKind, shape_text
from daskred.night.match import AGREE, fact_text


def _clusters(values: Iterable[float], near: Any) -> dict[float, float]:
    """Map each value to the smallest of those that it is near to."""
    anchors: dict[float, float] = {}
    anchor: float | None = None
    for value in sorted(set(values)):
        if anchor is None or not near(anchor, value):
            anchor = value
        anchors[value] = anchor
    return anchors


def grouped(frames: Sequence[Frame], kind: MasterKind, camera: Camera) -> list[list[Frame]]:
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
        common = tuple(getattr(facts, criterion) for criterion in AGREE)
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
        **{criterion: getattr(first, criterion) for criterion in AGREE},
    )


def _base_name(kind: MasterKind, facts: Facts) -> str:
    if kind == "bias":
        return "MasterBias"
    if kind == "dark":
        return f"MasterDark_{facts.exptime_s:g}s"
    filter_name = re.sub(r"[^A-Za-z0-9+.-]+", "_", facts.filter or "").strip("_")
    return f"MasterFlat_{filter_name}" if filter_name else "MasterFlat"


def named(kind: MasterKind, groups: Sequence[Sequence[Input]]) -> list[Master]:
    """Name the masters of one kind; where names would be the same, by what sets them apart."""
    masters = [
        Master("", kind, tuple(group), _common_facts([one.frame for one in group]))
        for group in groups
    ]
    masters = [replace(master, name=_base_name(kind, master.facts)) for master in masters]
    masters.sort(key=lambda master: (master.name.lower(), master.inputs[0].frame.name))
    named: list[Master] = []
    taken: set[str] = set()
    for _, same in groupby(masters, key=lambda master: master.name.lower()):
        alike = list(same)
        for master in alike:
            name = unique = master.name + _distinction(master, alike)
            number = 1
            # Also among all others, and where a file system does not tell cases apart.
            while unique.lower() in taken:
                number += 1
                unique = f"{name}_{number}"
            taken.add(unique.lower())
            named.append(replace(master, name=unique))
    return named


def _distinction(master: Master, alike: Sequence[Master]) -> str:
    """Return what to add to a master's name to tell it from others of the same name."""
    parts = []
    for criterion in ("layout", *AGREE, "set_temp_c"):
        of = (lambda m: m.layout) if criterion == "layout" else _fact_getter(criterion)
        if len({of(other) for other in alike}) > 1:
            value = of(master)
            text = shape_text(value) if criterion == "layout" else fact_text(value)
            if criterion == "set_temp_c" and value is not None:
                text += "C"
            parts.append("_" + re.sub(r"[^A-Za-z0-9+.-]+", "-", text).strip("-"))
    return "".join(parts)


def _fact_getter(criterion: str) -> Any:
    return lambda master: getattr(master.facts, criterion)
