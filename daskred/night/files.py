"""Find FITS files below folders, by patterns, and at addresses."""

from __future__ import annotations

import glob
import gzip
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from daskred.fits.names import split_name
from daskred.fits.remote import find_remote, is_remote
from daskred.model.errors import RequestError
from daskred.model.paths import with_home
from daskred.model.plan import LeftOut


def find_files(sources: Sequence[str | Path]) -> list[tuple[str, str]]:
    """Find FITS files below folders, files and globs.

    Parameters
    ----------
    sources
        Folders, searched with all folders below them; files; patterns like ``night/*.fit``; or
        addresses of such, like ``s3://bucket/night``.

    Returns
    -------
    list of (path, name)
        Absolute paths, and names: below the first source as if there were no other, below the
        folders of further ones with the names of these; sorted by source and name.

    Raises
    ------
    RequestError
        When a source does not exist.
    """
    names = [with_home(source).removeprefix("file://") for source in sources]
    remote = [name for name in names if is_remote(name)]
    if remote and len(remote) < len(names):
        raise RequestError(
            "a night lies here or at addresses like s3://, not at both; run it apart"
        )
    if remote:
        return sorted(_found_remote(remote), key=lambda pair: pair[1])
    return _found_here(names)


def _found_remote(sources: Iterable[str]) -> list[tuple[str, str]]:
    """Return the files at addresses, and their names below what all addresses share."""
    found: dict[str, None] = {}
    for source in sources:
        try:
            matches = find_remote(source)
        except FileNotFoundError:
            matches = []
        except OSError as error:
            raise RequestError(f"{source}: {error.strerror}") from error
        if not matches:
            raise RequestError(f"{source}: no such file or folder, or no server that answers")
        for match in matches:
            parts = match.removeprefix(source).split("/")
            hidden = any(part.startswith(".") for part in parts)
            if match == source or (split_name(parts[-1]) and not hidden):
                found[match] = None
    shared = 0
    for level in zip(*(address.split("/")[:-1] for address in found), strict=False):
        if len(set(level)) > 1:
            break
        shared += 1
    return [(address, address.split("/", shared)[-1]) for address in found]


def _found_here(sources: Iterable[str]) -> list[tuple[str, str]]:
    """Return the files of this machine, and their names below what all sources share."""
    found: dict[str, Path] = {}
    for source in sources:
        matches = _matches(source)
        if not matches:
            raise RequestError(f"{source or 'an empty name'}: no such file or folder")
        for match in matches:
            path = Path(match)
            if path.is_dir():
                root = Path(os.path.abspath(path))  # noqa: PTH100 - collapses "..", links stay
                for file in _files_below(root):
                    found.setdefault(file, root)
            elif match == source or split_name(path.name):
                # A name typed with its folder keeps that folder, which may tell the frame's kind.
                file = os.path.abspath(path)  # noqa: PTH100
                root = Path(file).parent if path.is_absolute() else Path.cwd()
                found.setdefault(file, root if Path(file).is_relative_to(root) else root.parent)
    return _named(found)


def _named(found: Mapping[str, Path]) -> list[tuple[str, str]]:
    """Return files with their names, of files and the folders of the sources that they came from.

    A further folder brings no file of the first one another name.
    """
    if not found:
        return []
    roots = list(dict.fromkeys(found.values()))
    deepest = max(len(root.parts) for root in roots)
    for depth in range(1, deepest + 1):
        prefixes = {root: "/".join(root.parts[1:][-depth:]) for root in roots}
        prefixes[roots[0]] = ""
        names = {
            file: f"{prefixes[root]}/{os.path.relpath(file, root)}".replace(os.sep, "/").lstrip("/")
            for file, root in found.items()
        }
        if len(set(names.values())) == len(names):
            break
    return sorted(names.items(), key=lambda pair: (roots.index(found[pair[0]]), pair[1]))


def _matches(source: str) -> list[str]:
    """Return what a name or pattern stands for."""
    try:
        if source and Path(source).exists():
            return [source]
        return sorted(glob.glob(source, recursive=True))  # noqa: PTH207
    except OSError:  # as of a name that is too long to be one
        return []


# What other programs write, and what several frames are packed in.
_OTHERS = (".xisf", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".dng", ".ser")
_PACKED = (".zip", ".tar", ".tgz", ".zst")


def misnamed_files(sources: Sequence[str | Path]) -> list[LeftOut]:
    """Return the files below folders that hold frames, but are not named as FITS files."""
    found: dict[str, LeftOut] = {}
    for source in map(with_home, sources):
        root = Path(source.removeprefix("file://"))
        if (is_remote(source) and not source.startswith("file://")) or not root.is_dir():
            continue
        for path in map(Path, _files_below(root, named=False)):
            if reason := _misnamed(path):
                name = path.relative_to(root.absolute()).as_posix()
                found.setdefault(str(path), LeftOut(str(path), name, reason, failed=False))
    return list(found.values())


def _misnamed(path: Path) -> str:
    """Say why a file that may hold frames is passed over; nothing where it holds none."""
    suffix = path.suffix.lower()
    if not path.is_file():  # a pipe would wait for ever
        return ""
    if split_name(path.stem) and path.with_suffix("").exists():
        return ""  # a copy beside its frame
    if suffix in _OTHERS:
        return f"is no FITS file, by its name: convert {suffix[1:].upper()} to FITS"
    if suffix in _PACKED:
        return "may hold frames: unpack it"
    try:
        size = path.stat().st_size
        whole_blocks = size > 0 and size % 2880 == 0
        with gzip.open(path) if suffix == ".gz" else path.open("rb") as file:
            begin = file.read(9) if whole_blocks or suffix == ".gz" else b""
    except (OSError, EOFError, zlib.error):
        return ""
    if begin == b"SIMPLE  =":
        return "is a FITS file, but not named as one: let its name end in .fits"
    return ""


def _files_below(folder: Path, named: bool = True) -> Iterator[str]:
    """Yield the FITS files below a folder; links are followed, each folder is entered once.

    A folder that cannot be read is yielded itself, so that it is named. Or the other files.
    """
    entered: set[tuple[int, int]] = set()
    closed: list[str] = []
    for parent, folders, files in os.walk(
        folder, followlinks=True, onerror=lambda error: closed.append(str(error.filename))
    ):
        here = Path(parent)
        status = here.stat()
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if bool(split_name(name)) is named and not name.startswith("."):
                yield os.path.abspath(here / name)  # noqa: PTH100
    yield from closed if named else ()
