"""Do the frames of a master belong together? Pixels say it; headers, in what they differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.frames import TASK_PIXELS, frame_tasks, frames_in
from daskred.arrays.tiles import Tile
from daskred.engine.executor import Executor
from daskred.engine.progress import Progress
from daskred.fits.header import Value
from daskred.fits.remote import is_remote
from daskred.fits.sums import wrong_raw_sum
from daskred.kernels.robust import any_floats, known_values
from daskred.kernels.witness import Verdict, lit_verdicts, unlit_verdicts
from daskred.model.checks import BY_NAME, SUMS
from daskred.model.errors import FallsApartError, FrameError, FramesError
from daskred.model.frame import Frame
from daskred.model.plan import Master
from daskred.model.text import and_more
from daskred.night.describe import telling_cards
from daskred.options import Options
from daskred.products.quality import NO_VALUE

# How many of the others are asked for their cards.
_MOST_OTHERS = 8
_MOST_CARDS = 4
# Cards that differ from exposure to exposure.
_OF_TIME = re.compile(
    r".*(DATE|TIME|MJD|JD|UT|LST|EXPNUM|FRAMENO|FILE|NAME|PATH|SUM|HASH|UUID|AIRM|HA$|RA$|DEC$|ALT|AZ"
    r"|TEL(?!ESCOP)|FOCUS|SEEING|HUMID|PRESS|WIND|DOME|TEMP$|NUMBER|RUN|SEQ|OBSID|COUNTER).*"
)
# What tells the kind, the target or the time, in which frames differ from what they calibrate.
_OF_KIND = re.compile(
    r"EXP|XPOS|.*EXPOS|ITIME|INT_?TIME|TEXP|ELAP|ONTIME|DARKTIME|OBJ|TARG|FIELD|IMA?GE?TYP|OBSTYPE"
    r"|OBSMODE|FRAME|PICTTYPE|CCDTYPE|DATA.?TYP"
)
_WORDS = {
    "offset": "its level is {figure:+.1f} sigma off that of the others",
    "pattern": "of their fixed pattern it has the part {figure:.2f}",
    "hot": "its hot pixels have {figure:.2f} times what those of the others have",
    "scatter": "its noise is {figure:.1f} times that of the others",
    "shape": "its light has another shape than that of the others, by {figure:+.1%}",
}


@any_floats
def check_inputs(
    master: Master,
    tiles: Sequence[Tile],
    levels: Sequence[float],
    options: Options,
    figures: dict[str, float],
) -> None:
    """See whether the frames of a master belong together.

    Parameters
    ----------
    master
        The master.
    tiles
        In order, with samples of its frames.
    levels
        Of flats.
    options
        The limits.
    figures
        Of each check the worst one is added.

    Raises
    ------
    FramesError
        Naming the frames that do not belong to the others; or all, where nobody can tell which:
        then it is a `FallsApartError`.
    """
    limits = {n: value for n, value in options.limits.items() if BY_NAME[n].of == "inputs"}
    if master.kind == "bias":
        limits.pop("hot", None)  # without exposure they tell no time, and no temperature
    if options.scale != "none" or options.zero_level != "none":
        limits.pop("offset", None)  # which these options take away
    if options.scale != "none":
        limits = {}  # frames of other times, or of other light
    sample = _joined([tile.sample for tile in tiles])
    frames = [member.frame for member in master.inputs]
    blank = [
        f for f, part in zip(frames, sample, strict=True) if part.size and np.isnan(part).all()
    ]
    if blank:
        raise FramesError(tuple(FrameError(frame.path, NO_VALUE) for frame in blank))
    if master.kind == "flat":
        verdicts = lit_verdicts(sample, levels, limits)
    else:
        verdicts = unlit_verdicts(sample, limits, _joined([tile.hot_pixels for tile in tiles]))
    errors: dict[str, FrameError] = {}
    apart: tuple[str, ...] | None = None
    for verdict in verdicts:
        worse = min if verdict.name == "pattern" else max
        figures[verdict.name] = worse(figures.get(verdict.name, verdict.worst), verdict.worst)
        for error in _errors(master.name, frames, verdict, options):
            errors.setdefault(error.path, error)
        if apart is None and 2 * len(verdict.parts[0]) <= len(frames):
            sides = [[frames[n] for n in part] for part in verdict.parts[:2]]
            cards = _cards_between(sides[1], sides[0]) if len(verdict.parts) == 2 else {}
            apart = tuple(card for card in cards if not _OF_KIND.match(card))
    if apart is not None:
        raise FallsApartError(tuple(errors.values()), apart)
    if errors:
        raise FramesError(tuple(errors.values()))


def same_pixels(master: Master, tiles: Sequence[Tile]) -> str:
    """Say which frames have the very pixels of another, noise and all; or nothing.

    That is no chance: the camera has stood still, or a frame was copied under another date.
    """
    sample = _joined([tile.sample for tile in tiles])
    first: dict[bytes, str] = {}
    same = []
    for member, pixels in zip(master.inputs, sample, strict=True):
        name = member.frame.name
        if pixels.size and np.ptp(pixels) > 0 and first.setdefault(pixels.tobytes(), name) != name:
            same.append(name)
    if not same:
        return ""
    return f"{master.name}: {and_more(same)}: the very pixels of another frame, noise and all"


def _joined(samples: Sequence[NDArray[Any] | None]) -> NDArray[np.float32]:
    parts = [sample for sample in samples if sample is not None]
    return known_values(np.concatenate(parts, axis=1).astype("f4", copy=False))


def _errors(
    name: str, frames: Sequence[Frame], verdict: Verdict, options: Options
) -> list[FrameError]:
    """Name the frames that do not belong to the others; all, where there is no majority."""
    largest, *others = verdict.parts
    if not others:
        return []
    if 2 * len(largest) > len(frames):
        usual = [frames[number] for number in largest]
        return [
            FrameError(
                frames[number].path,
                f"does not belong to {name}: {_told(verdict, number, largest)}"
                f"{_differing([frames[number]], usual)};"
                f" {_way_out(verdict, options, [frames[number]], usual)}"
                f"--unchecked {verdict.name} uses it",
            )
            for part in others
            for number in part
        ]
    sides = [[frames[number] for number in part] for part in (largest, others[0])]
    told = "; ".join(f"{len(side)} as {side[0].name}" for side in sides)
    text = (
        f"the frames of {name} fall apart into {len(verdict.parts)} groups by their {verdict.name}"
        f" ({told}){_differing(sides[1], sides[0])}; {_way_out(verdict, options, *sides)}"
        f"--tell-apart CARD makes a master of each,"
        f" --kind unknown='PATTERN' leaves some out, --unchecked {verdict.name} combines all"
    )
    return [FrameError(frame.path, text) for frame in frames]


def _told(verdict: Verdict, number: int, usual: Sequence[int]) -> str:
    """Say what is wrong with a frame."""
    figures = sorted(verdict.figures[n] for n in usual)
    figure = verdict.figures[number]
    if verdict.name in ("offset", "shape"):
        figure -= figures[len(figures) // 2]
    return _WORDS[verdict.name].format(figure=figure)


def _way_out(
    verdict: Verdict, options: Options, frames: Sequence[Frame], others: Sequence[Frame]
) -> str:
    """Say what a shutter may have done to flats of different exposure times; or nothing."""
    times = [{frame.facts.exptime_s for frame in side} for side in (frames, others)]
    if verdict.name != "shape" or options.shutter or times[0] & times[1]:
        return ""
    return "--shutter takes out what the shutter does to short ones, "


def _differing(frames: Sequence[Frame], others: Sequence[Frame]) -> str:
    """Say in which cards some frames differ from others, where both agree among themselves."""
    found = [
        f"{k} = {v!r}, not {usual!r}" for k, (v, usual) in _cards_between(frames, others).items()
    ]
    return f"; it differs in {', '.join(found[:_MOST_CARDS])}" if found else ""


def _cards_between(
    frames: Sequence[Frame], others: Sequence[Frame]
) -> dict[str, tuple[Value, Value]]:
    """Return the cards in which some frames differ from others, and both values."""
    try:
        ours = [_cards_of(frame) for frame in frames[:_MOST_OTHERS]]
        theirs = [_cards_of(frame) for frame in others[:_MOST_OTHERS]]
    except FrameError:
        return {}
    found: dict[str, tuple[Value, Value]] = {}
    for keyword, value in ours[0].items():
        values = {repr(cards.get(keyword)) for cards in theirs}
        if len(values) == 1 and {repr(cards.get(keyword)) for cards in ours} == {repr(value)}:
            usual = theirs[0].get(keyword)
            if usual != value:
                found[keyword] = value, usual
    return found


def _cards_of(frame: Frame) -> dict[str, Value]:
    cards = telling_cards(frame.path)
    return {card: value for card, value in cards.items() if not _OF_TIME.fullmatch(card)}


def wrong_sums(
    frames: Sequence[Frame], options: Options, executor: Executor, progress: Progress
) -> list[str]:
    """Name raw files whose own CHECKSUM or DATASUM is wrong; most have none.

    They may have been damaged, or changed by a program that left the sums as they were. What lies
    far away is not read again for it.
    """
    here = (frame for frame in frames if frame.has_sums and not is_remote(frame.path))
    summed = list({frame.path: frame for frame in here}.values())
    if SUMS in options.unchecked or not summed:
        return []
    found = []
    progress.begin("Sums of raw files", len(summed), "frames")
    try:
        paths = [frame.path for frame in summed]
        n_each = frames_in(TASK_PIXELS, summed, executor.n_parts)
        for task, results in executor.run(frame_tasks("sums", summed, paths, n_each, _sums_of)):
            for frame, text in zip(task.items, results, strict=True):
                if text:
                    found.append(f"{frame.name}: its {text} is wrong; was it changed, or damaged?")
            progress.advance(len(results))
    finally:
        progress.end()
    return sorted(found)


def _sums_of(frames: Sequence[Frame]) -> list[str]:
    found = []
    for frame in frames:
        try:
            found.append(wrong_raw_sum(frame.path))
        except FrameError as error:
            found.append(error.reason)
    return found
