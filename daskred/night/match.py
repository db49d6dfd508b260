"""Which masters calibrate a frame; a refusal says what was looked for and what there was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from daskred.cameras.rules import Camera
from daskred.kernels.line import line_factors
from daskred.model.frame import Frame
from daskred.model.plan import Correction, Master, shape_text
from daskred.options import Options

# Facts that must agree between a frame and its masters where both headers give them.
AGREE = ("camera", "binning", "gain_setting", "readout", "window")


def fact_text(value: object) -> str:
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
    for criterion in AGREE:
        mine, other = getattr(first.facts, criterion), getattr(second.facts, criterion)
        if mine is not None and other is not None and mine != other:
            name = criterion.replace("_", " ")
            return f"{name} {fact_text(other)}, not {fact_text(mine)}"
    mine, other = first.facts.set_temp_c, second.facts.set_temp_c
    if mine is None or other is None or camera.same_temperature(mine, other):
        return None
    return f"set temperature {other:g} C, not {mine:g} C"


class RefusedError(Exception):
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


def dark_correction(
    target: Frame,
    biases: Sequence[Master],
    darks: Sequence[Master],
    camera: Camera,
    options: Options,
) -> Correction:
    """Choose what is subtracted from a frame.

    Raises
    ------
    RefusedError
        When nothing matches and the user did not ask to go without.
    """
    bias = bias_for(target, biases, camera)
    chosen = _dark_correction(target, bias, darks, camera, options)
    return replace(chosen, zero=bias.name if bias else None)


def bias_for(target: Frame, biases: Sequence[Master], camera: Camera) -> Master | None:
    """Choose the master bias of a frame, or None."""
    return next(iter(_matching(biases, target, camera)), None)


def _dark_correction(
    target: Frame,
    bias: Master | None,
    darks: Sequence[Master],
    camera: Camera,
    options: Options,
) -> Correction:
    exptime_s = target.facts.exptime_s
    usable = _matching(darks, target, camera)
    if exptime_s is not None:
        of_time = [(float(d.facts.exptime_s or 0), d) for d in usable]
        same = [pair for pair in of_time if camera.same_exptime(pair[0], exptime_s)]
        if same:
            best = min(same, key=lambda pair: abs(pair[0] - exptime_s))[1]
            return Correction(dark=best.name)
        if options.dark_model and (terms := _line_through(of_time, bias, exptime_s)):
            zero = () if bias else _line_through(of_time, bias, 0.0)
            return Correction(terms=terms, zero_terms=zero)
        longer = [pair for pair in of_time if pair[0] > exptime_s]
        shorter = [pair for pair in of_time if 0 < pair[0] < exptime_s]
        scalable = longer or (shorter if options.scale_dark_up else [])
        if bias and scalable:
            # The nearest exposure time needs the least faith in a linear dark current.
            time, dark = min(scalable, key=lambda pair: abs(pair[0] - exptime_s))
            return Correction(dark=dark.name, dark_scale=exptime_s / time, bias=bias.name)
    if options.missing_dark:
        return Correction(bias=bias.name if bias else None)
    wanted = "a dark" if exptime_s is None else f"a dark of {exptime_s:g} s"
    text = f"needs {wanted}; {_listed(darks, target, camera)}"
    way_out = "--missing-dark goes without"
    if exptime_s is None:
        text = f"its header tells no exposure time, so no dark can be chosen; {way_out}"
        raise RefusedError(text)
    if len(usable) > 1 and exptime_s < max(float(d.facts.exptime_s or 0) for d in usable):
        text += ", and no bias to scale one by exposure time"
        way_out = f"--dark-model fits a line through them, {way_out}"
    elif usable and not bias:
        text += ", and no bias to scale it by exposure time"
    elif usable:
        way_out = f"--scale-dark-up scales the shorter one, {way_out}"
    elif bias:
        way_out = f"--missing-dark subtracts {bias.name} alone"
    raise RefusedError(f"{text}; {way_out}")


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


def flat_for(
    target: Frame, flats: Sequence[Master], camera: Camera, options: Options
) -> str | None:
    """Choose the master flat that a science frame is divided by."""
    same = [flat for flat in flats if flat.facts.filter == target.facts.filter]
    if matching := _matching(same, target, camera):
        return matching[0].name
    if options.missing_flat:
        return None
    name = target.facts.filter
    wanted = f"a flat in filter {name}" if name else "a flat without a filter's name"
    there_was = _listed(same or flats, target, camera)
    raise RefusedError(f"needs {wanted}; {there_was}; --missing-flat goes without")
