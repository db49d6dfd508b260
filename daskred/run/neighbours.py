"""Which science frames stand out beside others of their filter and exposure time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from daskred.kernels.fields import Comparison, compared
from daskred.kernels.robust import medians
from daskred.model.frame import Frame
from daskred.model.plan import Science
from daskred.model.receipt import Receipt
from daskred.model.text import and_more
from daskred.night.times import mjd_of
from daskred.options import Options
from daskred.steps.cosmics import ALONE, UNSAMPLED

# Of fewer frames nobody knows which is the odd one.
_FEW_NEIGHBOURS = 3
_CLEAR = 3.0  # sigma of a pixel
_ELSEWHERE = 0.3  # of the correlation of the light of two frames
_UNRELATED = 0.1  # less than trails leave of it
_UNLIKE, _FAR = 0.12, 6.0  # by so much it may be less than usual, or times what is usual
_MORE = 0.12  # of the light of stars
_MUCH_MORE = 4.0  # times what is usual
_STEADY_LIKE, _MOST = 0.85, 0.75  # of most frames of a field that is followed

# What steps count of frames, and what that says of their cosmic rays.
_RAYS = {
    UNSAMPLED: "where stars are too sharp to be told from cosmic rays, none were looked for;"
    " --cosmics-objlim looks for them",
    ALONE: "fewer than two other frames show the same stars: the shape of cosmic rays tells them",
}


class _Made(NamedTuple):
    """A science frame, and what was made of it."""

    frame: Frame
    receipt: Receipt


def standing_out(
    science: Sequence[Science], receipts: Sequence[Receipt], options: Options
) -> list[str]:
    """Name the science frames that are far from others of their filter and exposure time.

    Parameters
    ----------
    science, receipts
        The frames, and what became of each.
    options
        The limits.
    """
    groups: dict[object, list[_Made]] = {}
    for item, receipt in zip(science, receipts, strict=True):
        facts = item.frame.facts
        alike = facts.exptime_s, facts.filter, facts.object, item.frame.layout, item.correction.flat
        if receipt.figures:
            groups.setdefault(alike, []).append(_Made(item.frame, receipt))
    limits = options.limits
    found: dict[str, str] = {}
    for group in groups.values():
        group.sort(key=lambda made: mjd_of(made.frame.facts.time_obs) or 0.0)
        for name, text in (*_far_from(group, limits), *_of_other_light(group, limits)):
            found.setdefault(name, f"{name} stands out: {text}")
    rays = _of_rays(science, receipts)
    return [*found.values(), *_piles(groups.values(), limits), *rays]


def _of_rays(science: Sequence[Science], receipts: Sequence[Receipt]) -> Iterator[str]:
    """Say in which frames cosmic rays were not looked for, or not as it was asked for."""
    for counted, text in _RAYS.items():
        names = [
            item.frame.name
            for item, receipt in zip(science, receipts, strict=True)
            if receipt.counts.get(counted)
        ]
        if names:
            yield f"{and_more(names)}: {text}"


def _piles(groups: Iterable[Sequence[_Made]], limits: Mapping[str, float]) -> Iterator[str]:
    """Say where pixels pile up, once for all frames of one level."""
    piles: dict[float, list[str]] = {}
    for made in (made for group in groups for made in group):
        level = made.receipt.figures["clipped"]
        if level > limits.get("clipped", math.inf):
            piles.setdefault(level, []).append(made.frame.name)
    for level, names in piles.items():
        yield f"{and_more(names)}: pixels pile up at {level:g} ADU, which is taken for saturation"


def _median(values: Sequence[float]) -> float:
    return float(medians(np.array(values)))


def _far_from(group: Sequence[_Made], limits: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Say which frames of a group are far from the others in level, noise and length of stars."""
    if len(group) < _FEW_NEIGHBOURS:
        return
    level, noise, blank = (
        _median([made.receipt.figures[name] for made in group])
        for name in ("level", "noise", "blank")
    )
    for number, (frame, receipt) in enumerate(group):
        # Where no card tells the target, the frames beside it may be of another one.
        near = (n for n in (number - 2, number - 1, number + 1, number + 2) if 0 <= n < len(group))
        length = max(group[n].receipt.figures["trail"] for n in near)
        figures = receipt.figures
        if figures["blank"] > blank + limits.get("blank", math.inf):
            text = f"{figures['blank']:.0%} of it has one value, without noise"
            yield frame.name, f"{text}, of others {blank:.0%}: was it read out whole?"
            continue
        apart = abs(figures["level"] - level) > _CLEAR * noise
        times = limits.get("level", math.inf)
        if apart and not level / times <= figures["level"] <= level * times:
            yield frame.name, f"its level is {figures['level']:.4g}, others have {level:.4g}"
        elif figures["noise"] > limits.get("noise", math.inf) * noise > 0:
            yield frame.name, f"its noise is {figures['noise']:.4g}, others have {noise:.4g}"
        elif figures["trail"] > length + limits.get("trail", math.inf):
            text = f"its stars are longer than wide by {figures['trail']:.2f}"
            yield frame.name, f"{text}, others by {length:.2f}: trails, or what crossed it?"


def _of_other_light(
    group: Sequence[_Made], limits: Mapping[str, float]
) -> Iterator[tuple[str, str]]:
    """Say in which frames stars are fainter or elsewhere than in those beside them."""
    field = [made for made in group if made.receipt.light]
    if "stars" not in limits or len(field) < _FEW_NEIGHBOURS:
        return
    found = compared([np.frombuffer(made.receipt.light, "f2") for made in field])
    known = [comparison for comparison in found if comparison]
    usual_like = _median([comparison.like for comparison in known] or [0.0])
    usual_more = _median([comparison.more for comparison in known] or [0.0])
    spread = _median([abs(comparison.like - usual_like) for comparison in known] or [0.0])
    least_like = usual_like - max(_UNLIKE, _FAR * spread)
    steady = sum(comparison.like > usual_like - _UNLIKE for comparison in known)
    # A telescope that is moved between exposures shows other stars in each.
    follows = usual_like > _STEADY_LIKE and steady >= _MOST * len(field)
    target = field[0].frame.facts.object
    for made, comparison in zip(field, found, strict=True):
        # What comes before all others, or after them, may be another field, with its own stars.
        if comparison and (
            comparison.is_between or target or comparison.like > _ELSEWHERE or not comparison.more
        ):
            unlike = comparison.like < least_like
            more = comparison.more > max(_MORE, _MUCH_MORE * usual_more)
            # A cloud dims the stars where they are.
            faint = comparison.share * limits["stars"] < 1 and (
                follows or comparison.like > _STEADY_LIKE
            )
            text = _told(comparison, faint, follows and unlike, follows and more)
            if text:
                yield made.frame.name, text


def _told(comparison: Comparison, faint: bool, unlike: bool, more: bool) -> str:
    """Say how the light of a frame differs from that of the frames beside it; nothing if not."""
    beside = "the frames beside it"
    unrelated = comparison.like < _UNRELATED and not faint
    if unlike and comparison.like < _ELSEWHERE and (more or unrelated):
        return f"its stars are elsewhere than those of {beside}"
    if faint:
        text = f"its stars have {comparison.share:.2f} times the light of those of {beside}"
        return f"{text}: a cloud, or trails?"
    if more:
        text = f"it has {comparison.more:.0%} of the light of stars where {beside} have none"
        return f"{text}: did something cross it?"
    if unlike:
        return f"its light lies otherwise than that of {beside}: trails, or a jump?"
    return ""
