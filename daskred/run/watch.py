"""Reduce a night while it arrives: again and again, what is new and what that changes.

Each round is a run like any other, of the frames that are whole by then, so that a watch that was
killed goes on where it was, and the last round leaves what one run over the whole night would.
Frames are looked for by their names, lengths and times of change: that works on any file system,
also over a network, and takes some milliseconds for thousands of files.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from daskred.engine.progress import Silent
from daskred.fits.names import file_of
from daskred.fits.remote import is_remote
from daskred.fits.storage import state_of
from daskred.model.errors import RequestError, RunError
from daskred.model.frame import Frame
from daskred.model.paths import absolute
from daskred.model.plan import MASTERS_FOLDER, Correction
from daskred.model.text import and_more
from daskred.night.files import find_files
from daskred.night.open import Night
from daskred.night.plan import make_plan
from daskred.options import Options
from daskred.products.library import with_given
from daskred.products.log import read_log
from daskred.products.provenance import is_own, state_of_product
from daskred.run.reduce import reduce_night
from daskred.run.summary import Summary

_POLL_S = 0.5
_QUIET_S = 1.0  # a file that has not changed for so long is whole
_AGAIN_S = 10.0  # after a full disk, and the like
_SOON_S = 2.0  # where another run is at work, or nothing can be made yet
_CALIBRATION = ("bias", "dark", "flat")


@dataclass(frozen=True)
class Patience:
    """How long a watch waits.

    Parameters
    ----------
    settle_s
        Frames of a master are complete when none has come for so long, seconds.
    complete
        Or when there are so many, by kind.
    end_after_s
        The watch ends when nothing has come for so long; None for never.
    """

    settle_s: float = 30.0
    complete: Mapping[str, int] = field(default_factory=dict)
    end_after_s: float | None = None


class Arrivals:
    """Which files have come, and since when each has not changed, by a clock that never jumps.

    What is there at the first look has come before: its file tells when.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] | None = None
        self._last = 0.0

    def look(self, paths: Iterable[str], now: float) -> None:
        """Take note of the files that are there now."""
        found = {}
        for path in paths:
            try:
                state = state_of(path)
                age = 0.0 if self._seen is not None else _age_of(path)
            except OSError:
                continue  # it has gone again
            before = (self._seen or {}).get(path)
            found[path] = before if before and before[0] == state else (state, now - age)
        if found != self._seen and (found or self._seen is not None):
            self._last = now
        self._seen = found

    def whole(self, now: float) -> dict[str, float]:
        """Return the files that are whole, each with the time since when."""
        seen = self._seen or {}
        return {p: since for p, (_, since) in seen.items() if now - since >= _QUIET_S}

    @property
    def last(self) -> float:
        """When a file last came, changed or went; 0 where none ever did."""
        return self._last


def _age_of(path: str) -> float:
    """Return for how long a file has not changed, seconds; 0 where clocks disagree."""
    return max(0.0, time.time() - Path(path).stat().st_ctime)


def watch_night(
    opened: Callable[[], Night],
    sources: Sequence[str],
    out: str | Path,
    options: Options,
    patience: Patience,
    tell: Callable[[str], None],
    meanwhile: Callable[[], None] | None = None,
) -> Summary | None:
    """Reduce a night as its frames arrive, until it ends or Ctrl-C is pressed.

    Parameters
    ----------
    opened
        Opens the night.
    sources
        The folders, files and patterns that it is opened from.
    out, options
        As of `daskred.run.reduce.reduce_night`.
    patience
        How long is waited.
    tell
        Told what is done, a line each.
    meanwhile
        Called again and again, also where nothing comes.

    Returns
    -------
    summary
        Of the last round, over all frames; None where there was nothing to do.

    Raises
    ------
    RequestError, RunError
        Of the request, before anything is waited for; and of the last round: those of rounds
        before are told, and tried again.
    """
    if any(map(is_remote, sources)):
        raise RequestError("frames are watched in folders of this machine; name one")
    with_given(Night(()), options)  # are the masters there that are named?
    tell(f"watching {', '.join(sources)}; Ctrl-C ends it")
    rounds = _Rounds(opened, sources, absolute(out), options, patience, tell, meanwhile)
    try:
        rounds.until_the_end()
    except KeyboardInterrupt:
        tell("ending: what has come is brought to its end; Ctrl-C once more stops at once")
    return rounds.finish()


# Cards in which a product names the masters in it, and these.
_NAMES_MASTER = re.compile(r"(ZERO|DARK|FLAT|FRING|ILLUM|SHUT)COR|DARKC\d+")
_MASTER = re.compile(r"(\S+?)\.fits")
_GONE = (
    "the frames that had come are gone, or cannot be read; what was made of them stays. The same"
    " command goes on when they are there again"
)


class _Rounds:
    """The rounds of a watch: each knows what the one before has done."""

    def __init__(
        self,
        opened: Callable[[], Night],
        sources: Sequence[str],
        out: Path,
        options: Options,
        patience: Patience,
        tell: Callable[[str], None],
        meanwhile: Callable[[], None] | None,
    ) -> None:
        self._opened, self._sources = opened, sources
        self._out, self._options = out, options
        self._patience, self._tell, self._meanwhile = patience, tell, meanwhile
        self._arrivals = Arrivals()
        # Calibration frames that masters are made of; None before it is known what is there.
        self._used: set[str] | None = None
        self._failed: set[tuple[str, str]] = set()  # that were told
        # Science frames, in which state, and by what they were calibrated.
        self._done: dict[str, tuple[str, Correction]] = {}
        self._masters: object = None
        self._told = ""

    def until_the_end(self) -> None:
        """Go on as long as frames come."""
        last_files: dict[str, float] = {}
        unsettled = False
        began = time.monotonic()
        while True:
            now = time.monotonic()
            found = self._found()
            self._arrivals.look(found, now)
            whole = self._arrivals.whole(now)
            if whole and (whole != last_files or unsettled):
                unsettled = self._tried(whole, now)
                last_files = whole
            if self._meanwhile:
                self._meanwhile()
            end_after = self._patience.end_after_s
            if end_after is not None and now - max(self._arrivals.last, began) >= end_after:
                return
            time.sleep(max(0.0, _POLL_S - (time.monotonic() - now)))

    def _found(self) -> list[str]:
        """Return the files that there are; a folder that has vanished is waited for."""
        try:
            return [path for path, _ in find_files(self._sources)]
        except (RequestError, OSError) as error:
            self._say_once(f"waiting: {error}")
            return []

    def _say_once(self, text: str) -> None:
        if text != self._told:
            self._tell(text)
            self._told = text

    def _tried(self, whole: Mapping[str, float], now: float) -> bool:
        """Do a round; what goes wrong is told, and tried again. Return whether more is to come."""
        try:
            return self._round(whole, now)
        except RequestError as error:
            self._say_once(f"waiting: {error}")
            time.sleep(_SOON_S)
            return True
        except (RunError, OSError) as error:
            self._say_once(f"{error}; it is tried again")
            time.sleep(_AGAIN_S)
            return True

    def _round(self, whole: Mapping[str, float], now: float) -> bool:
        """Reduce what is whole and settled; return whether frames wait to settle."""
        night = with_given(self._opened(), self._options)
        if self._used is None:  # masters that an earlier watch has made need not settle again
            names = {name for inputs in self._made().values() for name in inputs}
            self._used = {file_of(frame.path) for frame in night.raw if frame.name in names}
        night, waiting = self._settled(_only(night, whole), whole, now)
        plan = make_plan(night, self._options)
        masters = {m.name: tuple(i.frame for i in m.inputs) for m in plan.masters}
        if masters != self._masters or self._compares_science:
            self._done = {}
        wanted = () if self._options.masters_only else plan.science
        science = {item.frame.path: (item.frame.state, item.correction) for item in wanted}
        new = [path for path, how in science.items() if self._done.get(path) != how]
        if new or masters != self._masters:
            # What was calibrated stays as it is, and is not looked at again until the end.
            done = set(map(file_of, science.keys() - set(new))) - set(map(file_of, new))
            of_round = _only(night, {file_of(frame.path) for frame in night.frames} - done)
            of_round = replace(of_round, n_done=len(night.frames) - len(of_round.frames))
            if new or masters:
                self._reduce(of_round, masters_only=not new)
            self._done, self._masters = science, masters
            used = {file_of(frame.path) for frames in masters.values() for frame in frames}
            self._used = (self._used or set()) | used
        return waiting

    @property
    def _compares_science(self) -> bool:
        """Whether what becomes of a science frame depends on others, all of which a round needs."""
        options = self._options
        others = options.cosmics_frames and options.cosmics != "no"
        return bool(options.sky_flats or options.fringe or options.illumination or others)

    def _reduce(self, night: Night, masters_only: bool) -> Summary:
        """Reduce a night, and tell what was made."""
        options = self._options.but(masters_only=True) if masters_only else self._options
        summary = reduce_night(night, self._out, options, Silent())
        self._told = ""
        for receipt in (*summary.masters, *summary.science):
            if receipt.made:
                self._tell(receipt.product)
        for entry in summary.failed:
            if (entry.name, entry.reason) not in self._failed:
                self._failed.add((entry.name, entry.reason))
                self._tell(f"{entry.name}: {entry.reason}")
        return summary

    def _settled(self, night: Night, whole: Mapping[str, float], now: float) -> tuple[Night, bool]:
        """Return the night without calibration frames whose set may not be complete yet."""
        sets: dict[object, list[Frame]] = {}
        for frame in night.raw:
            if frame.kind in _CALIBRATION:
                facts = frame.facts
                key = frame.kind, facts.exptime_s, facts.filter, frame.layout, facts.binning
                sets.setdefault(key, []).append(frame)
        waiting: set[str] = set()
        for frames in sets.values():
            files = {file_of(frame.path) for frame in frames}
            newest = max(whole.get(file, now) for file in files)
            complete = self._patience.complete.get(frames[0].kind)
            is_complete = complete is not None and len(frames) >= complete
            if not is_complete and now - newest < self._patience.settle_s:
                waiting |= files - (self._used or set())
        files = set(whole) - waiting
        return _only(night, files), bool(waiting)

    def finish(self) -> Summary | None:
        """Reduce all that has come, and remove products that only rounds before wanted."""
        if not self._found():
            if not self._made():
                return None
            raise RunError(f"{', '.join(self._sources)}: {_GONE}")
        night = with_given(self._opened(), self._options)
        plan = make_plan(night, self._options)
        if not plan.science and not plan.masters:
            if self._made():
                raise RunError(f"{', '.join(self._sources)}: {_GONE}")
            raise RequestError("nothing can be made of what has come: daskred plan tells why")
        summary = self._reduce(night, masters_only=not plan.science)
        self._remove_others(summary)
        return summary

    def _remove_others(self, summary: Summary) -> None:
        """Remove what rounds of this night made, and the whole night makes otherwise.

        What was made of frames that have gone since is kept: nobody can make it again.
        """
        there = {frame.name for frame in summary.plan.frames}
        there |= {entry.name for entry in summary.plan.left_out}
        wanted = {receipt.product for receipt in (*summary.masters, *summary.science)}
        made = self._made()
        for product in made:
            path = self._out / product
            if product in wanted or not path.exists() or not is_own(path):
                continue
            inputs = self._inputs_of(product, made)
            if gone := [n for n in inputs if n not in there and not Path(n).is_file()]:
                self._tell(f"{product}: kept, though {and_more(gone)} is no longer there")
            else:
                path.unlink()
                self._tell(f"{product}: removed, since the whole night makes others")

    def _inputs_of(self, product: str, made: Mapping[str, Sequence[str]]) -> list[str]:
        """Return the frames that a product is made of, and those of the masters in it."""
        found: dict[str, None] = {}
        pending, seen = [product], {product}
        while pending:
            name = pending.pop()
            found |= dict.fromkeys(made.get(name, ()))
            for header in state_of_product(self._out / name).headers:
                for card in header.keywords:
                    if _NAMES_MASTER.fullmatch(card) and (
                        match := _MASTER.match(str(header.get(card)))
                    ):
                        pending += {f"{MASTERS_FOLDER}/{match[0]}"} - seen
                        seen.add(f"{MASTERS_FOLDER}/{match[0]}")
        return list(found)

    def _made(self) -> dict[str, list[str]]:
        """Return what runs like this one have made, and of what, as the log tells."""
        made: dict[str, dict[str, list[str]]] = {}
        key = ""
        for line in read_log(self._out):
            if line["event"] == "run":
                options = {n: v for n, v in line["options"].items() if n != "masters_only"}
                key = repr((line.get("roots"), options))
            elif line["event"] == "product" and line.get("outcome") == "made":
                made.setdefault(key, {})[line["product"]] = line["inputs"]
        return made.get(key, {})


def _only(night: Night, files: Iterable[str]) -> Night:
    """Return a night of some files alone."""
    chosen = set(files)
    frames = tuple(frame for frame in night.frames if file_of(frame.path) in chosen)
    left_out = tuple(entry for entry in night.left_out if file_of(entry.path) in chosen)
    return replace(night, frames=frames, left_out=left_out)
