"""The log of runs into a folder: one JSON object a line, of every frame what became of it.

The file is also what a run holds locked, so that no other writes into the same folder; a run that
dies lets go of it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from daskred.engine.progress import Progress
from daskred.model.errors import FrameError, RequestError
from daskred.model.plan import LeftOut
from daskred.model.receipt import Receipt
from daskred.model.text import visible

LOG_NAME = "daskred-log.jsonl"
ALL_DONE = "all done"
# Of a run that is done already, what need not be told; and what differs from one to the next.
_QUIET = frozenset({"run", "phase", "warning", "worth a look", "left out"})
_OF_PROCESS = frozenset({"host", "process"})
# A frame more is told by its product; where there are fewer, all is told.
_GROWING = frozenset({"n_frames", "n_masters", "n_science"})
_RUN, _EARLY = '"event": "run"', 80  # it stands behind the time
# The same for Python's logging, so that whoever embeds a run hears of it.
_logger = logging.getLogger("daskred")
_logger.addHandler(logging.NullHandler())
_LOUD = frozenset({"warning", "worth a look", "no sky", "told apart", "left behind"})
LogLevel = Literal["debug", "info", "warning"]
LEVELS: tuple[LogLevel, ...] = ("debug", "info", "warning")


def _checked(out: Path) -> Path:
    """Return the log's path; raise RequestError where something else has its name."""
    path = out / LOG_NAME
    if path.exists() and not path.is_file():
        raise RequestError(f"{path}: is no log, but has its name; move it away")
    return path


def _lock(descriptor: int, operation: int) -> bool:
    """Lock a file for as long as it is open; return whether its file system can.

    Raises
    ------
    BlockingIOError
        When somebody else holds it.
    """
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # as some file systems of clusters are mounted
        return False
    return True


def can_lock(descriptor: int) -> bool:
    """Return whether the file system of an open file has locks."""
    return _lock(descriptor, fcntl.LOCK_EX)


_KEY_OF_PRODUCT = re.compile(rb'"event": "product", "outcome": "[a-z ]+", "key": "([^"]+)"')
# JSON itself escapes the others.
_CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"


class RunLog:
    """The log of one run, and its sole use of the folder of products.

    Parameters
    ----------
    out
        The folder of products.
    level
        ``debug`` for each phase too, ``info`` for each product, ``warning`` for what failed alone;
        beginnings and ends of runs are always told; of one that does nothing, the end.

    Raises
    ------
    RequestError
        When another run is at work there, or the log cannot be written.
    """

    def __init__(self, out: Path, level: LogLevel = "info") -> None:
        self._rank = LEVELS.index(level)
        path = _checked(out)
        try:
            self._file = path.open("ab+", buffering=0)
        except OSError as error:
            raise RequestError(f"{path}: cannot be written: {error.strerror}") from error
        try:
            self.locked = _lock(self._file.fileno(), fcntl.LOCK_EX)
        except BlockingIOError as error:
            self._file.close()
            raise RequestError(f"{out}: another run of daskred is at work there; wait") from error
        if self._file.tell():
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":  # a crash, or a full disk, has cut the last line
                self._file.write(b"\n")
        self._is_again = False
        self._told: set[bytes] = set()  # keys of products
        self._held: list[tuple[str, dict[str, Any]]] | None = None

    def begin(self, request: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
        """Tell what is asked for; where the run before was asked the same, once something is done.

        Products that were there are not told again then, but for those of which nobody told, since
        the run was stopped at that moment.
        """
        request = json.loads(json.dumps(request))  # as it is read again
        self._is_again = before is not None and all(
            before.get(name) == value or (name in _GROWING and int(before.get(name) or 0) <= value)
            for name, value in request.items()
            if name not in _OF_PROCESS
        )
        if self._is_again:
            self._held = []
            self._file.seek(0)
            self._told = {
                match[1] for line in self._file if (match := _KEY_OF_PRODUCT.search(line))
            }
        self.write("run", **request, **({"again": True} if self._is_again else {}))

    def end(self, outcome: str, n_made: int, **facts: Any) -> None:
        """Tell how a run has ended: in one line, where it was done already."""
        if self._held is not None and outcome == ALL_DONE and not n_made:
            self._held = None
            self.write("again", outcome=outcome, **facts)
        else:
            self.write("end", outcome=outcome, n_made=n_made, **facts)

    def write(self, event: str, **facts: Any) -> None:
        """Add a line."""
        if self._held is not None:
            self._held.append((event, facts))
            if event in _QUIET:
                return
            held, self._held = self._held, None
            for earlier, its_facts in held:
                self.write(earlier, **its_facts)
            return
        _pass_on(event, facts)
        record = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event}
        text = json.dumps({**record, **facts}, ensure_ascii=False)
        line = _CONTROLS.sub(_escaped, text).encode(errors="surrogateescape") + b"\n"
        n_written = self._file.write(line)
        if n_written < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)

    def phase(self, title: str, **facts: Any) -> None:
        """Tell of a phase."""
        if self._rank <= LEVELS.index("debug"):
            self.write("phase", title=title, **facts)

    def product(self, receipt: Receipt, key: str, inputs: Sequence[str]) -> None:
        """Tell what became of a product, and of which frames it was made."""
        is_new = receipt.made or not self._is_again or key.encode() not in self._told
        if self._rank <= LEVELS.index("info") and is_new:
            # Not `asdict`, which copies all that is in it: there are many receipts.
            facts = {field.name: getattr(receipt, field.name) for field in fields(receipt)}
            del facts["light"]
            facts["figures"] = {n: float(f"{v:.4g}") for n, v in facts["figures"].items()}
            for name in ("counts", "figures"):
                if not facts[name]:
                    del facts[name]
            facts["seconds"] = round(receipt.seconds, 4)
            outcome = "made" if facts.pop("made") else "was there"
            self.write("product", outcome=outcome, key=key, **facts, inputs=list(inputs))

    def numbers(self, product: str, key: str, figures: Mapping[str, Any]) -> None:
        """Tell what was measured of a product: its sky, its noise, its stars."""
        self.write("numbers", product=product, key=key, figures=figures)

    def left_out(self, entry: LeftOut) -> None:
        """Tell why a frame is not used."""
        if entry.failed or self._rank <= LEVELS.index("info"):
            self.write("left out", **asdict(entry))

    def sync(self) -> None:
        """Make safe what it tells."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """End the log, and let go of the folder."""
        self._file.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pass_on(event: str, facts: Mapping[str, Any]) -> None:
    """Tell Python's logging: failures and what is worth a look as warnings, products quietly."""
    level = logging.WARNING if event in _LOUD or facts.get("failed") else logging.INFO
    if event in ("product", "phase", "numbers") or (event == "left out" and not facts["failed"]):
        level = logging.DEBUG
    if _logger.isEnabledFor(level):
        told = ("text", "name", "product", "title", "outcome", "reason", "sources")
        words = [str(facts[name]) for name in told if facts.get(name)]
        text = visible(": ".join([event, *words]))
        _logger.log(level, "%s", text, extra={"event": event, "facts": dict(facts)})


class LoggedProgress:
    """A progress that also tells the log of each phase that ends.

    Parameters
    ----------
    progress
        Whom else it tells.
    log
        The log.
    """

    def __init__(self, progress: Progress, log: RunLog) -> None:
        self._progress, self._log = progress, log
        self._phase: dict[str, Any] = {}
        self._start = 0.0

    def begin(self, title: str, total: int, unit: str) -> None:
        """Begin a phase."""
        self._phase = {"title": title, "total": total, "unit": unit}
        self._start = time.monotonic()
        self._progress.begin(title, total, unit)

    def advance(self, n_units: int) -> None:
        """Count."""
        self._progress.advance(n_units)

    def end(self) -> None:
        """End the phase."""
        self._progress.end()
        self._log.phase(**self._phase, seconds=round(time.monotonic() - self._start, 3))

    def say(self, message: str) -> None:
        """Tell the user."""
        self._progress.say(message)

    def no_sky(self, errors: Iterable[FrameError]) -> None:
        """Tell of science frames that can be no part of a master of the sky."""
        for error in errors:
            self._log.write("no sky", path=error.path, reason=error.reason)

    def tell_apart(self, card: str, paths: Sequence[str]) -> None:
        """Tell that frames turned out to be of two sorts, which a card tells apart."""
        self._log.write("told apart", card=card, paths=list(paths))
        self.say(
            f"{len(paths)} frames, as {Path(paths[0]).name}, are of two sorts, which {card} tells"
            " apart: each gets a master of its own"
        )


def read_log(out: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of all runs into a folder; a line that a crash has cut is passed over."""
    path = _checked(out)
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and "event" in record:
                yield record


def read_runs(out: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the records of all runs into a folder, and which of them begin one: one at least.

    Raises
    ------
    RequestError
        When no run has written there.
    """
    nobody = f"{out}: no run of daskred has written there"
    if not out.is_dir():
        raise RequestError(f"{nobody}: it is no folder")
    records = list(read_log(out))
    starts = [number for number, record in enumerate(records) if record["event"] == "run"]
    if not starts:
        raise RequestError(f"{nobody} ({LOG_NAME} tells of none)")
    return records, starts


def last_run(out: Path) -> dict[str, Any] | None:
    """Return what was asked of the last run into a folder; None where there was none."""
    found = None
    path = _checked(out)
    if path.exists():
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            # Most lines tell of products; they need not be understood.
            for line in (line for line in file if _RUN in line[:_EARLY]):
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    found = record if record.get("event") == "run" else found
    return found


@contextlib.contextmanager
def undisturbed(out: Path) -> Iterator[None]:
    """Keep runs from a folder of products while it is looked at.

    Raises
    ------
    RequestError
        When a run is at work there.
    """
    with _checked(out).open("rb") as file:
        try:
            _lock(file.fileno(), fcntl.LOCK_SH)
        except BlockingIOError as error:
            raise RequestError(f"{out}: a run of daskred is at work there; wait") from error
        yield
