"""Which frames make one master, and what it is called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np

from daskred.cameras.criteria import Criterion
from daskred.cameras.rules import Camera
from daskred.kernels.robust import medians
from daskred.model.frame import Facts, Frame
from daskred.model.plan import Input, Master, MasterKind, shape_text
from daskred.night.times import Dates


def _clusters(values: Iterable[float], near: Callable[[float, float], bool]) -> dict[float, float]:
    """Map each value to the smallest of those that a chain of near ones leads to."""
    anchors: dict[float, float] = {}
    before: float | None = None
    for value in sorted(set(values)):
        is_near = before is not None and near(before, value)
        anchors[value] = anchors[before] if is_near and before is not None else value
        before = value
    return anchors


def _keys(criterion: Criterion, frames: Sequence[Frame]) -> list[Hashable]:
    """Return, for each frame, what is equal for frames that agree in a criterion."""
    keys = [criterion.key(frame.facts.value(criterion.fact)) for frame in frames]
    if not criterion.tolerance:
        return keys
    numbers = [key for key in keys if isinstance(key, float)]
    anchors = _clusters(numbers, lambda first, second: not criterion.distance(first, second))
    if criterion.turn and len(set(anchors.values())) > 1:  # 359.5 and 0.5 degrees
        first, last = min(numbers), max(numbers)
        if not criterion.distance(first, last):
            anchors |= {n: anchors[last] for n in anchors if anchors[n] == anchors[first]}
    return [anchors.get(key, key) for key in keys]


def _alike(kind: MasterKind | str) -> str:
    """Return of which kind the criteria count: what is made of light goes by those of flats."""
    return "flat" if kind in ("shutter", "sky") else kind


def criteria_of_frames(kind: MasterKind, camera: Camera) -> list[Criterion]:
    """Return in what the frames of a master must agree."""
    return [criterion for criterion in camera.criteria if _alike(kind) in criterion.frames]


def criteria_of_use(kind: str, camera: Camera) -> Sequence[Criterion]:
    """Return in what a master must agree with the frames that it calibrates."""
    return camera.criteria_of(_alike(kind))


def grouped(
    frames: Sequence[Frame], kind: MasterKind, camera: Camera, dates: Dates
) -> list[list[Frame]]:
    """Group frames of one kind by all that must agree, and by the night.

    What no header gives is its own value.
    """
    nights: dict[int | None, list[Frame]] = {}
    for frame in frames:
        nights.setdefault(dates.night_of(frame), []).append(frame)
    groups: dict[tuple[Hashable, ...], list[Frame]] = {}
    for night, of_night in nights.items():
        columns = [_keys(criterion, of_night) for criterion in criteria_of_frames(kind, camera)]
        if kind == "dark":
            seconds = [frame.facts.dark_exposure_s or 0.0 for frame in of_night]
            times = _clusters(seconds, camera.same_exptime)
            columns.append([times[time] for time in seconds])
        for frame, *key in zip(of_night, *columns, strict=True):
            groups.setdefault((night, frame.layout, *key), []).append(frame)
    return list(groups.values())


def common_facts(frames: Sequence[Frame]) -> Facts:
    """Return the facts that frames of one group share."""
    first = frames[0].facts
    filters = {f.facts.filter for f in frames}
    measured = [f.facts.ccd_temp_c for f in frames if f.facts.ccd_temp_c is not None]
    return Facts(
        exptime_s=_most_frequent(f.facts.exptime_s for f in frames),
        dark_time_s=_most_frequent(f.facts.dark_exposure_s for f in frames),
        filter=first.filter if len(filters) == 1 else None,
        binning=first.binning,
        camera=first.camera,
        set_temp_c=first.set_temp_c,
        ccd_temp_c=round(float(medians(np.array(measured))), 2) if measured else None,
        settings=first.settings,
    )


def _most_frequent(times: Iterable[float | None]) -> float | None:
    counts = Counter(time for time in times if time is not None)
    return min(counts, key=lambda time: (-counts[time], time)) if counts else None


def base_name(kind: MasterKind, facts: Facts) -> str:
    """Return the name of a master, but for what tells it from others that would have the same."""
    if kind in ("bias", "shutter"):
        return f"Master{kind.capitalize()}"
    if kind == "dark":
        return f"MasterDark_{facts.dark_exposure_s:g}s"
    filter_name = re.sub(r"[^A-Za-z0-9+.-]+", "_", facts.filter or "").strip("_")
    name = f"Master{kind.capitalize()}"
    return f"{name}_{filter_name}" if filter_name else name


def named(
    kind: MasterKind, groups: Sequence[Sequence[Input]], camera: Camera, dates: Dates
) -> list[Master]:
    """Name the masters of one kind; where names would be the same, by what sets them apart.

    Those of the first night are named as if there were no other; others add their date.
    """
    masters = [
        Master("", kind, tuple(group), common_facts([member.frame for member in group]))
        for group in groups
    ]
    masters = [replace(master, name=base_name(kind, master.facts)) for master in masters]

    def night(master: Master) -> int:
        return dates.night_of(master.inputs[0].frame) or 0

    masters.sort(
        key=lambda master: (master.name.lower(), night(master), master.inputs[0].frame.name)
    )
    named: list[Master] = []
    taken: set[str] = set()
    for (base, number), same in groupby(masters, key=lambda m: (m.name.lower(), night(m))):
        alike = list(same)
        is_later = number > min(night(m) for m in masters if m.name.lower() == base)
        for master in alike:
            name = unique = (
                master.name
                + _distinction(master, alike, camera)
                + (f"_{dates.date(number)}" if is_later else "")
            )
            count = 1
            # Also among all others, and where a file system does not tell cases apart.
            while unique.lower() in taken:
                count += 1
                unique = f"{name}_{count}"
            taken.add(unique.lower())
            named.append(replace(master, name=unique))
    return named


def _distinction(master: Master, alike: Sequence[Master], camera: Camera) -> str:
    """Return what to add to a master's name to tell it from others of the same name."""
    parts = []
    if len({other.layout for other in alike}) > 1:
        parts.append(shape_text(master.layout))
    for criterion in criteria_of_frames(master.kind, camera):
        if criterion.fact == "filter":
            continue
        value = master.facts.value(criterion.fact)
        if value is not None and any(_sets_apart(criterion, value, other) for other in alike):
            parts.append(criterion.text(value).replace(" ", "" if criterion.unit else " "))
    texts = (re.sub(r"[^A-Za-z0-9+.-]+", "-", part).rstrip("-") for part in parts)
    return "".join(f"_{text}" for text in dict.fromkeys(texts) if text)


def _sets_apart(criterion: Criterion, value: Any, other: Master) -> bool:
    theirs = other.facts.value(criterion.fact)
    return theirs is None or bool(criterion.distance(value, theirs))
