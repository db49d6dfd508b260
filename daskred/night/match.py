"""Which masters calibrate a frame; a refusal says what was looked for and what there was."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from daskred.cameras.criteria import Criterion
from daskred.cameras.rules import Camera
from daskred.kernels.line import line_factors
from daskred.model.frame import Facts, Frame
from daskred.model.plan import Correction, Given, Master, MasterKind, shape_text
from daskred.night.times import Dates, mjd_of
from daskred.options import Options

WINDOW = "window"
Layout = tuple[tuple[str, tuple[int, int]], ...]


def window_in(target: Frame, layout: Layout, facts: Facts) -> tuple[int, int, int, int] | None:
    """Return which part of larger frames a subframe is, where its header tells its place.

    Only of science frames, and where nothing is binned: cameras count the place in pixels of either
    kind.

    Returns
    -------
    window
        First row and column, rows and columns; None where it is none, or nobody can know.
    """
    place, whole = _corner(target.facts.value(WINDOW)), _corner(facts.value(WINDOW) or "0 0")
    binned = target.facts.binning not in (None, (1, 1))
    single = len(layout) == len(target.layout) == 1
    if place is None or whole is None or binned or not single or target.kind != "science":
        return None
    (height, width), (full_height, full_width) = target.layout[0][1], layout[0][1]
    column, row = place[0] - whole[0], place[1] - whole[1]
    inside = 0 <= row <= full_height - height and 0 <= column <= full_width - width
    return (row, column, height, width) if inside else None


def _corner(text: object) -> tuple[int, int] | None:
    """Return the column and row that a header tells as those of the first pixel."""
    try:
        column, row = (int(float(word)) for word in str(text).split())
    except ValueError:
        return None
    return column, row


def _is_dated(target: Frame, given: Given) -> bool:
    return given.mjd is not None and mjd_of(target.facts.time_obs) is not None


def _days_between(target: Frame, given: Given) -> float:
    """Return how far a master of another night is from a frame, days; 0 where nobody knows."""
    mjd = mjd_of(target.facts.time_obs)
    return 0.0 if mjd is None or given.mjd is None else abs(mjd - given.mjd)


class RefusedError(Exception):
    """A frame cannot be calibrated as wished; the message says why and the way out."""


@dataclass
class Shelf:
    """The masters of a night, and which of them go with a frame.

    Parameters
    ----------
    camera
        The rules: what must agree.
    dates
        In which night each frame was exposed.
    options
        What may be done only on request.
    bias_will_do
        Whether the bias alone is subtracted where there is no dark: the night has none at all, or
        the camera needs none.
    masters
        By kind, those that there are.
    """

    camera: Camera
    dates: Dates
    options: Options
    bias_will_do: bool = False
    masters: dict[MasterKind, list[Master]] = field(
        default_factory=lambda: {kind: [] for kind in get_args(MasterKind)}
    )
    _found: dict[tuple[Hashable, ...], list[Master]] = field(default_factory=dict)
    _criteria: dict[MasterKind, list[Criterion]] = field(default_factory=dict)

    def put(self, kind: MasterKind, masters: list[Master]) -> None:
        """Put the masters of a kind in the place of those that there were."""
        self.masters[kind] = masters
        self._found = {key: found for key, found in self._found.items() if key[0] != kind}

    def criteria(self, kind: MasterKind) -> list[Criterion]:
        """Return what masters of a kind must share with the frames that they calibrate."""
        if kind not in self._criteria:
            allowed = self.options.allow
            known = self.camera.criteria_of(kind)
            self._criteria[kind] = [c for c in known if c.name not in allowed]
        return self._criteria[kind]

    def disagreement(self, target: Frame, master: Master) -> str | None:
        """Return the first criterion that keeps two from belonging together, or None."""
        if master.given and (text := self._not_lent(target, master.kind, master.given)):
            return text
        if (
            target.layout != master.layout
            and window_in(target, master.layout, master.facts) is None
        ):
            theirs, wanted = shape_text(master.layout), shape_text(target.layout)
            if theirs == wanted:
                names = [", ".join(repr(name) for name, _ in f.layout) for f in (master, target)]
                return f"images named {names[0]}, not {names[1]}"
            return f"shape {theirs}, not {wanted}"
        return next((text for _, text in self._differences(target, master, "refuse")), None)

    def _not_lent(self, target: Frame, kind: MasterKind, given: Given) -> str | None:
        """Return why a master of another night is no master of a frame; None where it may be."""
        days = _days_between(target, given)
        if given.most_days is not None and not _is_dated(target, given):
            return f"nobody knows how many days away; --master {kind}=FILE uses it"
        if given.most_days is not None and days > given.most_days:
            return f"{days:.0f} days away; --library-days {kind}={math.ceil(days)} goes so far"
        beside = any(amplifier.overscan for amplifier in target.readout.amplifiers)
        if given.has_overscan != (target.is_prepared and beside and bool(target.readout.overscan)):
            less = "was" if given.has_overscan else "was not"
            return f"the level of an overscan {less} subtracted from it"
        bent = any(a.linearity or a.linearity_table for a in target.readout.amplifiers)
        if given.is_linear != (target.is_prepared and bent):
            return f"{'made' if given.is_linear else 'not made'} linear"
        if given.unit in ("adu", "electron") and given.unit != target.readout.unit:
            return f"in {given.unit}, not {target.readout.unit}"
        if self.options.uncertainty and not given.is_uncertain:
            return "without uncertainties"
        return None

    def window(self, target: Frame, names: Iterable[str]) -> tuple[int, int, int, int] | None:
        """Return which part of larger masters a subframe is; None where none is larger.

        Raises
        ------
        RefusedError
            When it is another part of each.
        """
        known = {master.name: master for kind in self.masters.values() for master in kind}
        larger = [known[name] for name in names if known[name].layout != target.layout]
        windows = {window_in(target, master.layout, master.facts) for master in larger}
        if len(windows) > 1:
            raise RefusedError("is another part of each of its masters")
        return windows.pop() if windows else None

    def worth_a_look(self, target: Frame, master: Master) -> list[str]:
        """Return in what a master differs from a frame that it calibrates all the same."""
        return [text for _, text in self._differences(target, master, "warn")]

    def _allowing(self, target: Frame, masters: Iterable[Master]) -> str:
        """Return the advice to go by the one criterion that keeps a master from a frame."""
        for master in masters:
            if target.layout != master.layout:
                continue
            differing = [criterion for criterion, _ in self._differences(target, master, "refuse")]
            if len(differing) == 1:
                return f"--allow '{differing[0].name}' uses {master.name}, "
        return ""

    def _differences(
        self, target: Frame, master: Master, differs: str
    ) -> Iterator[tuple[Criterion, str]]:
        """Yield the criteria in which a master differs from a frame, and how."""
        for criterion in self.criteria(master.kind):
            if criterion.differs != differs:
                continue
            if criterion.fact.startswith(WINDOW) and target.layout != master.layout:
                continue
            mine, other = (f.facts.value(criterion.fact) for f in (target, master))
            if text := criterion.difference(mine, other):
                yield criterion, text

    def matching(self, kind: MasterKind, target: Frame) -> list[Master]:
        """Return the masters of a kind that agree with a frame, the best first.

        It is the one that differs least in what only asks for a look, then the nearest in time,
        then the one of most frames. Frames that tell the same need the same masters: they are
        looked for once.
        """
        criteria = self.criteria(kind)
        night = self.dates.night_of(target)
        values = tuple(target.facts.value(criterion.fact) for criterion in criteria)
        key = (kind, target.layout, night, values)
        if key not in self._found:
            fitting = [m for m in self.masters[kind] if self.disagreement(target, m) is None]
            softly = [c for c in criteria if c.differs == "warn"]

            def rank(master: Master) -> tuple[int, bool, list[float], float, int]:
                apart = [
                    c.distance(target.facts.value(c.fact), master.facts.value(c.fact))
                    for c in softly
                ]
                given = master.given
                days = self.dates.days_between(night, self.night_of(master))
                if given:
                    days = _days_between(target, given)
                # What is given by hand, then what the night has itself.
                origin = (0 if given.by_hand else 2) if given else 1
                return origin, master.layout != target.layout, apart, days, -master.n_inputs

            self._found[key] = sorted(fitting, key=rank)
        return self._found[key]

    def night_of(self, master: Master) -> int | None:
        """Return the number of the night of a master's frames."""
        return self.dates.night_of(master.inputs[0].frame)

    def listed(self, masters: Sequence[Master], target: Frame) -> str:
        """Say what masters there were, and what kept each from matching."""
        if not masters:
            return "there was none"
        entries = []
        for master in masters[:4]:
            why = self.disagreement(target, master)
            entries.append(f"{master.name} ({why})" if why else master.name)
        more = f" and {len(masters) - 4} more" if len(masters) > 4 else ""
        return f"there was {', '.join(entries)}{more}"

    def bias_for(self, target: Frame) -> Master | None:
        """Choose the master bias of a frame, or None."""
        return next(iter(self.matching("bias", target)), None)

    def flat_for(self, target: Frame) -> str | None:
        """Choose the master flat that a science frame is divided by.

        Raises
        ------
        RefusedError
            When nothing matches and the user did not ask to go without.
        """
        if matching := self.matching("flat", target):
            return matching[0].name
        if self.options.missing_flat:
            return None
        name = target.facts.filter
        wanted = f"a flat in filter {name}" if name else "a flat without a filter's name"
        flats = self.masters["flat"]
        same = [flat for flat in flats if flat.facts.filter == name]
        there_was = self.listed(same or flats, target)
        way_out = f"{self._allowing(target, same)}--missing-flat goes without"
        if not self.options.sky_flats:
            way_out += ", --sky-flats makes one of the science frames"
        raise RefusedError(f"needs {wanted}; {there_was}; {way_out}")

    def dark_correction(self, target: Frame) -> Correction:
        """Choose what is subtracted from a frame.

        Raises
        ------
        RefusedError
            When nothing matches and the user did not ask to go without.
        """
        bias = self.bias_for(target)
        chosen = self._dark_correction(target, bias)
        return replace(chosen, zero=bias.name if bias else None)

    def _dark_correction(self, target: Frame, bias: Master | None) -> Correction:
        exptime_s = target.facts.dark_exposure_s
        usable = [(_time(dark), dark) for dark in self.matching("dark", target)]
        if exptime_s is not None:
            same = [dark for time, dark in usable if self.camera.same_exptime(time, exptime_s)]
            if same:
                return Correction(dark=same[0].name)
            if self.options.dark_model and (terms := _line_through(usable, bias, exptime_s)):
                zero = () if bias else _line_through(usable, bias, 0.0)
                return Correction(terms=terms, zero_terms=zero)
            longer = [pair for pair in usable if pair[0] > exptime_s]
            shorter = [pair for pair in usable if 0 < pair[0] < exptime_s]
            scalable = longer or (shorter if self.options.scale_dark_up else [])
            if bias and scalable:
                # The nearest exposure time needs the least faith in a linear dark current.
                time, dark = min(scalable, key=lambda pair: abs(pair[0] - exptime_s))
                return Correction(dark=dark.name, dark_scale=exptime_s / time, bias=bias.name)
        if self.options.missing_dark or (self.bias_will_do and bias):
            return Correction(bias=bias.name if bias else None)
        raise RefusedError(self._refusal(target, bias, usable))

    def _refusal(
        self, target: Frame, bias: Master | None, usable: Sequence[tuple[float, Master]]
    ) -> str:
        """Say why nothing can be subtracted from a frame, and the way out."""
        exptime_s = target.facts.dark_exposure_s
        way_out = "--missing-dark goes without"
        if exptime_s is None:
            told = f"--exptime '{target.name}'=SECONDS tells it"
            text = "its header tells no exposure time, so no dark can be chosen"
            return f"{text}; {told}, {way_out}"
        darks, biases = self.masters["dark"], self.masters["bias"]
        if self.bias_will_do and biases and not darks:
            text = f"needs a bias; {self.listed(biases, target)}"
            return f"{text}; {self._allowing(target, biases)}{way_out}"
        text = f"needs a dark of {exptime_s:g} s; {self.listed(darks, target)}"
        of_time = [dark for dark in darks if self.camera.same_exptime(_time(dark), exptime_s)]
        way_out = f"{self._allowing(target, of_time)}{way_out}"
        if len(usable) > 1 and exptime_s < max(time for time, _ in usable):
            text += ", and no bias to scale one by exposure time"
            way_out = f"--dark-model fits a line through them, {way_out}"
        elif usable and not bias:
            text += ", and no bias to scale it by exposure time"
        elif usable:
            way_out = f"--scale-dark-up scales the shorter one, {way_out}"
        elif bias:
            way_out = f"--missing-dark subtracts {bias.name} alone"
        return f"{text}; {way_out}"


def _time(dark: Master) -> float:
    """Return the time that a master dark gathered dark current, seconds."""
    return float(dark.facts.dark_exposure_s or 0)


def _line_through(
    darks: Sequence[tuple[float, Master]], bias: Master | None, exptime_s: float
) -> tuple[tuple[str, float], ...]:
    """Return the factors of masters that make the dark of an exposure time.

    It is the straight line through them over exposure time, each with the weight of its number of
    frames; none where there are fewer than two times, or beyond the longest of them.
    """
    points = [(0.0, bias)] if bias else []
    points += sorted(darks, key=lambda pair: pair[0])
    times = [time for time, _ in points]
    if len(set(times)) < 2 or exptime_s > max(times):
        return ()
    factors = line_factors(times, [len(master.inputs) for _, master in points], exptime_s)
    return tuple((master.name, factor) for (_, master), factor in zip(points, factors, strict=True))
