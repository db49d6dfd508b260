"""Where products lie: in a folder of this machine, or at an address with a copy of them here.

Runs write to a folder. Where products shall lie at an address, as ``s3://bucket/out``, this is a
copy of what stands there: what is missing here is fetched before, and each product is put there as
soon as it is made. An object is there whole or not at all, as its service promises.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from daskred.engine.progress import Progress
from daskred.fits.parts import Part, part_in, place, write_whole
from daskred.fits.remote import find_tags, get_file, is_remote, put_file, remove_remote, tag_of
from daskred.fits.storage import state_of
from daskred.model.errors import RequestError, RunError
from daskred.model.paths import absolute
from daskred.products.log import LOG_NAME

_AT_ONCE = 8
_SENT = ".daskred-sent.json"
_PROBE = ".daskred-probe"


class Place(Protocol):
    """Where the products of a run go.

    Parameters
    ----------
    folder
        The folder of this machine that they are in.
    address
        Where they lie; empty where that is the folder itself.
    """

    folder: Path
    address: str

    def put(self, product: str) -> None:
        """Take a product that is there, by its name below the folder."""

    def lacks(self, product: str) -> bool:
        """Whether a product of the folder is not where it shall lie."""


class Here:
    """Products lie in the folder, and nowhere else."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, ""

    def put(self, product: str) -> None:
        """Do nothing: it is where it shall be."""

    def lacks(self, product: str) -> bool:
        """Return False: what is in the folder is where it shall be."""
        return False


class Elsewhere:
    """Products lie at an address, and a copy of them in a folder.

    Parameters
    ----------
    address
        Where they shall lie.
    folder
        Where their copy is.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self.folder, self.address = folder, address.rstrip("/")
        # Of each file that is the same here and there: its state here, and its tag there.
        self._same: dict[str, tuple[str, str]] = {}
        self._threads = ThreadPoolExecutor(_AT_ONCE)
        self._under_way: dict[str, Future[None]] = {}

    def fetch(self, progress: Progress) -> None:
        """Make the copy what stands at the address, but for what has changed here since.

        Raises
        ------
        OSError
            When the address does not answer, or the folder cannot be written.
        """
        known = self._read_notes()
        tags = find_tags(self.address)
        wanted = []
        for name, tag in tags.items():
            path = self.folder / name
            state = state_of(str(path)) if path.is_file() else ""
            before = known.get(name, ("", ""))
            if before == (state, tag):
                self._same[name] = before
            elif not state or before[1] != tag:
                wanted.append(name)
        if wanted:
            progress.begin(f"From {self.address}", len(wanted), "files")
            for _ in self._threads.map(self._get, wanted, (tags[name] for name in wanted)):
                progress.advance(1)
            progress.end()
            self._write_notes()

    def check_writable(self) -> None:
        """Raise RequestError where nothing can be put to the address."""
        probe = f"{self.address}/{_PROBE}"
        local = part_in(self.folder)
        local.touch()
        try:
            put_file(local, probe)
            remove_remote(probe)
        except OSError as error:
            raise RequestError(
                f"-o {self.address}: nothing can be put there: {error.strerror}"
            ) from error
        finally:
            local.unlink()

    def _get(self, name: str, tag: str) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = part_in(target.parent)
        try:
            get_file(f"{self.address}/{name}", part)
            place([Part(part, target)], sync=False)
        finally:
            part.unlink(missing_ok=True)
        self._same[name] = (state_of(str(target)), tag)

    def put(self, product: str) -> None:
        """Put a product to the address, unless the same is there; others go on meanwhile."""
        if self.lacks(product):
            self._under_way[product] = self._threads.submit(self._put, product)

    def lacks(self, product: str) -> bool:
        """Whether a product of the folder is not at the address as it is here."""
        path = self.folder / product
        return path.is_file() and self._same.get(product, ("",))[0] != state_of(str(path))

    def _put(self, name: str) -> None:
        path, address = self.folder / name, f"{self.address}/{name}"
        state = state_of(str(path))
        put_file(path, address)
        self._same[name] = (state, tag_of(address))

    def finish(self) -> None:
        """Put the log beside the products, and wait until all is at the address.

        Raises
        ------
        RunError
            When something could not be put there; the same command does it again.
        """
        self.put(LOG_NAME)
        failed: list[str] = []
        for name, future in self._under_way.items():
            try:
                future.result()
            except OSError as error:
                failed.append(f"{name}: {error.strerror or error}")
        self._under_way.clear()
        if failed:
            raise RunError(
                f"stopped: {len(failed)} files could not be put to {self.address}, the first"
                f" {failed[0]}; they stand in {self.folder}, the same command puts them there"
            )

    def stop(self) -> None:
        """Leave to the next time what has not begun yet."""
        self._threads.shutdown(cancel_futures=True)
        self._write_notes()

    def _read_notes(self) -> dict[str, tuple[str, str]]:
        try:
            known = json.loads((self.folder / _SENT).read_text())
            return {str(name): (str(state), str(tag)) for name, (state, tag) in known.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}  # then all is fetched again

    def _write_notes(self) -> None:
        text = json.dumps(dict(sorted(self._same.items())), indent=0)
        write_whole(self.folder / _SENT, text.encode(errors="surrogateescape"), sync=False)


def copy_of(address: str) -> Path:
    """Return the folder of this machine that has the copy of an address."""
    caches = os.environ.get("XDG_CACHE_HOME") or str(absolute("~/.cache"))
    digest = hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:16]
    return Path(caches) / "daskred" / digest


@contextlib.contextmanager
def products_at(out: str | Path, progress: Progress, will_write: bool = True) -> Iterator[Place]:
    """Give the place of the products of a run; at its end all of them are there.

    Parameters
    ----------
    out
        A folder, or an address.
    progress
        Told what is fetched.
    will_write
        Whether something will be put there.

    Raises
    ------
    RequestError
        When the address does not answer, or takes nothing.
    RunError
        When something could not be put there after all.
    """
    if not is_remote(str(out)):
        yield Here(absolute(out))
        return
    there = Elsewhere(str(out), copy_of(str(out)))
    try:
        try:
            there.folder.mkdir(parents=True, exist_ok=True)
            if will_write:
                there.check_writable()
            there.fetch(progress)
        except OSError as error:
            raise RequestError(f"{out}: {error.strerror or error}") from error
        try:
            yield there
        except (RequestError, KeyboardInterrupt):
            raise  # nothing was written; or whoever stops it does not want to wait
        except BaseException:
            with contextlib.suppress(RunError, OSError):  # what has ended the run is told
                there.finish()
            raise
        there.finish()
    finally:
        there.stop()
