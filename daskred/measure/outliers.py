"""Which frames of a night stand out, and in what: a table of rules, by what each figure differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from daskred.kernels.robust import medians, scaled_mad
from daskred.kernels.shifts import shift_between
from daskred.measure.quality import Quality

_FEW = 4  # frames: of fewer nobody knows which is the odd one
_SIGMA = 5.0


@dataclass(frozen=True)
class Rule:
    """When a figure stands out.

    Parameters
    ----------
    words
        What is said of it; its figure, and what the others have, are filled in.
    figure
        Its name: see `daskred.measure.quality.Quality.figure`.
    least
        By how much it differs at least from the median of the others, which is given.
    above, below
        Whether what is larger stands out, and what is smaller.
    """

    words: str
    figure: str
    least: Callable[[float], float]
    above: bool = True
    below: bool = True


def _part(share: float, floor: float = 0.0) -> Callable[[float], float]:
    return lambda usual: max(share * abs(usual), floor)


RULES = {
    "level": Rule("its sky is {0:.4g}, others have {1:.4g}", "level", _part(0.3)),
    "noise": Rule("its noise is {0:.3g}, others have {1:.3g}", "noise", _part(0.3)),
    "stars": Rule(
        "{0:.0f} stars are seen, in others {1:.0f}", "n_stars", _part(0.4, 5), above=False
    ),
    "starlight": Rule(
        "its stars have {0:.2f} times the light, others {1:.2f}",
        "starlight",
        _part(0.2, 0.1),
        above=False,
    ),
    "width": Rule(
        "its stars are {0:.1f} pixels wide, others {1:.1f}",
        "fwhm_pixels",
        _part(0.25, 0.3),
        below=False,
    ),
    "ellipticity": Rule(
        "its stars are longer than wide by {0:.2f}, others by {1:.2f}",
        "ellipticity",
        _part(0.0, 0.15),
        below=False,
    ),
    "shift": Rule(
        "it points {0:.0f} pixels from the first frame, others {1:.0f}",
        "shift_pixels",
        _part(0.5, 8.0),
    ),
    "saturated": Rule(
        "{0:.1%} of it is saturated, of others {1:.1%}", "saturated", _part(1.0, 0.005)
    ),
    "negative": Rule(
        "{0:.1%} of it is negative, of others {1:.1%}",
        "negative",
        _part(0.5, 0.05),
        below=False,
    ),
    "missing": Rule(
        "{0:.1%} of it has no value, of others {1:.1%}",
        "missing",
        _part(1.0, 0.005),
        below=False,
    ),
}


def beside_the_first(group: Sequence[Quality]) -> list[Quality]:
    """Return frames of one field, in the order of time, with their stars beside the first's.

    Where another field follows, whose stars do not agree, nothing is known.
    """
    first = next((quality.places for quality in group if len(quality.places)), None)
    if first is None:
        return list(group)
    found = []
    for quality in group:
        shift = shift_between(first, quality.places)
        found.append(
            replace(quality, shift_y_pixels=shift.y, shift_x_pixels=shift.x, starlight=shift.light)
            if shift
            else quality
        )
    return found


def standing_out(group: Sequence[Quality]) -> list[dict[str, str]]:
    """Return in what each frame of a group stands out: names of figures, and sentences.

    Parameters
    ----------
    group
        Frames of one filter and exposure time, in the order of time.

    Examples
    --------
    >>> night = [Quality(level=level) for level in (500.0, 510, 490, 505, 900)]
    >>> standing_out(night)[-1]
    {'level': 'its sky is 900, others have 505'}
    """
    found: list[dict[str, str]] = [{} for _ in group]
    if len(group) < _FEW:
        return found
    for name, rule in RULES.items():
        values = np.array([quality.figure(rule.figure) for quality in group])
        known = values[np.isfinite(values)]
        if known.size < _FEW:
            continue
        usual = float(medians(known))
        limit = max(_SIGMA * scaled_mad(known, usual), rule.least(usual))
        for number, value in enumerate(values):
            away = value - usual
            if (rule.above and away > limit) or (rule.below and away < -limit):
                found[number][name] = rule.words.format(value, usual)
    for number, text in _new_columns(group).items():
        found[number]["columns"] = text
    return found


def _new_columns(group: Sequence[Quality]) -> dict[int, str]:
    """Return where columns stand out that do not in most frames of a group."""
    often: dict[int, int] = {}
    for quality in group:
        for column in quality.faint_columns:
            often[column] = often.get(column, 0) + 1
    found = {}
    for number, quality in enumerate(group):
        own = [column + 1 for column in quality.columns if 2 * often[column] < len(group)]
        if own:
            more = f" and {len(own) - 1} more" if len(own) > 1 else ""
            found[number] = f"column {own[0]}{more} stands out, in most others not"
    return found
