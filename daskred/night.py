"""Read the headers of a night's frames, and say what each is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

import numpy as np

from daskred.amplifiers import preparation_of
from daskred.cameras import Camera, read_camera
from daskred.classify import AUXILIARY, kind_of, processed_sign
from daskred.detector import Preparation
from daskred.errors import FrameError, RequestError
from daskred.facts import facts_of
from daskred.files import find_files
from daskred.fitsfile import Hdu, images_of, read_hdus, unpacking
from daskred.fitspixels import read_rows
from daskred.frames import KINDS, Frame, Image, Kind
from daskred.header import COMMENTARY, Header, Value, is_structural, keyword_of
from daskred.storage import side_by_side, state_of, tag_of

_SAMPLE_PIXELS = 1024
_MEANINGS = {
    "calibrated": "is already calibrated",
    "master": "is a master, not a raw frame",
    "product": "was made by daskred",
}


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A frame that is not used.

    Parameters
    ----------
    path, name
        The file, absolute and below the night.
    reason
        Why, and the way out where there is one.
    failed
        Whether something is lost by it. False for what needs no calibration: duplicates, masters,
        frames calibrated before, lamps.
    """

    path: str
    name: str
    reason: str
    failed: bool


@dataclass(frozen=True)
class Night:
    """The frames found below some folders, classified.

    Parameters
    ----------
    frames
        Every frame whose headers can be read, in the order of their names.
    left_out
        Those that are no raw frames or cannot be read, with the reason.
    camera
        The rules that classified them.
    sources, folder, kinds
        What it was opened from, in which folder, and the kinds that were settled by hand.

    Examples
    --------
    >>> import tempfile
    >>> from daskred.simulation import simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name, shape=(16, 16), n_darks=2, n_flats=2, n_science=1)
    >>> night = open_night(folder.name)
    >>> [(frame.name, frame.kind) for frame in night.select("dark", exptime_s=10)]
    [('dark/dark_10s-01.fits', 'dark'), ('dark/dark_10s-02.fits', 'dark')]
    >>> folder.cleanup()
    """

    frames: tuple[Frame, ...]
    left_out: tuple[LeftOut, ...] = ()
    camera: Camera = field(default_factory=read_camera)
    sources: tuple[str, ...] = ()
    folder: str = ""
    kinds: tuple[tuple[Kind, str], ...] = ()

    @property
    def raw(self) -> tuple[Frame, ...]:
        """The frames that may be used."""
        out = {entry.path for entry in self.left_out}
        return tuple(frame for frame in self.frames if frame.path not in out)

    def select(
        self, kind: Kind, *, exptime_s: float | None = None, filter_name: str | None = None
    ) -> list[Frame]:
        """Return the raw frames of a kind, and of an exposure time or filter where given."""
        return [
            frame
            for frame in self.raw
            if frame.kind == kind
            and (exptime_s is None or self._lasts(frame, exptime_s))
            and (filter_name is None or frame.facts.filter == filter_name)
        ]

    def _lasts(self, frame: Frame, exptime_s: float) -> bool:
        own = frame.facts.exptime_s
        return own is not None and self.camera.same_exptime(own, exptime_s)

    def without(self, errors: Iterable[FrameError]) -> Night:
        """Return the night with further frames left out, since their pixels cannot be used."""
        names = {frame.path: frame.name for frame in self.frames}
        further = tuple(
            LeftOut(error.path, names[error.path], error.reason, failed=True) for error in errors
        )
        return replace(self, left_out=(*self.left_out, *further))


def _own_digest(
    path: str, hdus: Sequence[Hdu], sample: bytes, preparation: Preparation | None
) -> str:
    digest = hashlib.sha256(sample)
    if preparation:
        digest.update(repr(preparation).encode())
    for hdu in hdus:
        digest.update("".join(hdu.header.cards).encode("utf-8"))
    digest.update(str(hdus[-1].end).encode())
    with unpacking(path):
        digest.update(tag_of(path).encode())
    return digest.hexdigest()[:32]


def _sample(path: str, image: Image) -> bytes:
    """Return a digest of an image's first pixels, alike for all ways in which they are stored."""
    n_rows = min(image.shape[0], -(-_SAMPLE_PIXELS // image.shape[1]))
    pixels = np.empty((n_rows, image.shape[1]), image.dtype)
    read_rows(path, image, 0, n_rows, pixels)
    return hashlib.sha256(pixels.astype("f8").tobytes()).digest()


@dataclass(frozen=True, slots=True)
class Description:
    """What one file is.

    Parameters
    ----------
    frame
        The frame; None for a file that holds none.
    left_out
        Why it is not used; None for a raw frame.
    sample
        A digest of its first pixels, to tell duplicates by.
    """

    frame: Frame | None
    left_out: LeftOut | None
    sample: bytes = b""


def _telling_headers(hdus: Sequence[Hdu]) -> list[Header]:
    """Return the primary header and, where its unit holds no pixels, the next one."""
    n_empty = sum(hdu.data_size == 0 for hdu in hdus[:1])
    return [hdu.header for hdu in hdus[: 1 + n_empty]]


def describe(path: str, name: str, camera: Camera) -> Description:
    """Read the headers and the first pixels of a file, and say what it is."""
    try:
        with unpacking(path):
            state = state_of(path)  # before anything is read, so that no later change escapes
        hdus = read_hdus(path)
        processed = processed_sign(name, _telling_headers(hdus), camera)
        if processed is None:
            return _describe(path, name, hdus, camera, state)
        meaning, sign = processed
        text = _MEANINGS[meaning] + (f": {sign}" if meaning != "product" else "")
        left_out = LeftOut(path, name, text, failed=False)
    except FrameError as error:
        return Description(None, LeftOut(path, name, error.reason, failed=True))
    try:
        return replace(_describe(path, name, hdus, camera, state), left_out=left_out)
    except FrameError:
        return Description(None, left_out)


def _describe(path: str, name: str, hdus: Sequence[Hdu], camera: Camera, state: str) -> Description:
    images = images_of(path, hdus)
    headers = _telling_headers(hdus)
    facts = facts_of(path, headers, camera)
    sample = _sample(path, images[0])
    detector = preparation_of(path, hdus, images, camera, facts)
    is_prepared = _changes(detector, tuple(image.shape for image in images))
    kind, reason = kind_of(name, headers, facts.exptime_s, camera)
    frame = Frame(
        path=path,
        name=name,
        images=images,
        facts=facts,
        kind=kind,
        reason=reason,
        digest=_own_digest(path, hdus, sample, detector if is_prepared else None),
        n_cards=sum(
            not is_structural(keyword_of(card)) for hdu in hdus for card in hdu.header.cards
        ),
        state=state,
        detector=_shared(detector),
        is_prepared=is_prepared,
    )
    return Description(frame, None, sample)


@lru_cache(maxsize=256)
def _changes(detector: Preparation, shapes: tuple[tuple[int, int], ...]) -> bool:
    return detector.changes_pixels(shapes)


@lru_cache(maxsize=256)
def _shared(detector: Preparation) -> Preparation:
    """Return one object for all that are equal: frames of one camera are read out alike."""
    return detector


def _pixels_digest(frame: Frame) -> str:
    """Read all pixels of a frame, and return a digest of their values."""
    digest = hashlib.sha256()
    for image in frame.images:
        step = max(1, 2**20 // image.shape[1])
        for start in range(0, image.shape[0], step):
            stop = min(start + step, image.shape[0])
            pixels = np.empty((stop - start, image.shape[1]), image.dtype)
            read_rows(frame.path, image, start, stop, pixels)
            digest.update(pixels.astype("f8").tobytes())
    return digest.hexdigest()


def _cards_of(frame: Frame, camera: Camera) -> dict[str, Value]:
    """Return what a frame's cards say of the exposure, without those of the file."""
    unsaid = {*COMMENTARY, *camera.kind_cards["name"], "DATE", "EXTNAME", "EXTVER", "CONTINUE"}
    return {
        keyword: header.get(keyword)
        for header in _telling_headers(read_hdus(frame.path))
        for keyword in header.keywords
        if keyword not in unsaid and not is_structural(keyword)
    }


def _same_exposure(first: Mapping[str, Value], second: Mapping[str, Value]) -> bool:
    """Whether no card that both have speaks against one exposure."""
    return all(first[keyword] == second[keyword] for keyword in first.keys() & second.keys())


def _duplicates(frames: Sequence[tuple[Frame, bytes]], camera: Camera) -> Iterator[LeftOut]:
    """Yield the frames that are another one again: the same pixels, and no card against it.

    The frame with the most cards is kept, of these the one with the shortest name. Only frames
    whose first pixels are the same are read whole.
    """
    alike: dict[tuple[object, bytes], list[Frame]] = {}
    for frame, sample in frames:
        shapes = tuple(image.shape for image in frame.images)
        alike.setdefault((shapes, sample), []).append(frame)
    for candidates in alike.values():
        if len(candidates) == 1:
            continue
        kept: dict[str, list[tuple[Frame, dict[str, Value]]]] = {}
        for frame in sorted(candidates, key=lambda f: (-f.n_cards, len(f.name), f.name)):
            try:
                digest, cards = _pixels_digest(frame), _cards_of(frame, camera)
            except FrameError as error:
                yield LeftOut(frame.path, frame.name, error.reason, failed=True)
                continue
            earlier = kept.setdefault(digest, [])
            original = next((f for f, own in earlier if _same_exposure(cards, own)), None)
            if original is None:
                earlier.append((frame, cards))
            else:
                text = f"is a duplicate: the same exposure as {original.name}"
                yield LeftOut(frame.path, frame.name, text, failed=False)


def parse_kinds(choices: Iterable[str]) -> list[tuple[Kind, str]]:
    """Parse choices like ``dark=calib/*-d.fit``.

    Raises
    ------
    RequestError
        When one is no kind, an equals sign and a pattern.

    Examples
    --------
    >>> parse_kinds(["dark=calib/*-d.fit"])
    [('dark', 'calib/*-d.fit')]
    """
    parsed: list[tuple[Kind, str]] = []
    for choice in choices:
        kind, equals, pattern = choice.partition("=")
        if not equals or not pattern or kind not in KINDS:
            kinds = ", ".join(KINDS)
            raise RequestError(
                f"--kind {choice}: write KIND=PATTERN, as dark='calib/*-d.fit'; kinds are {kinds}"
            )
        parsed.append((kind, pattern))
    return parsed


def _chosen(frame: Frame, kinds: Sequence[tuple[Kind, str]]) -> tuple[Kind, str] | None:
    """Return the last choice whose pattern a frame's path or name matches."""
    for kind, pattern in reversed(kinds):
        names = (frame.name, frame.path) if "/" in pattern else (frame.basename,)
        if frame.name == pattern or any(fnmatch(name, pattern) for name in names):
            return kind, pattern
    return None


def open_night(
    *sources: str | Path,
    camera: Camera | None = None,
    kinds: Sequence[tuple[Kind, str]] = (),
    on_frame: Callable[[int, int], None] | None = None,
) -> Night:
    """Find frames, read their headers, and classify them; of the pixels only the first are read.

    Parameters
    ----------
    *sources
        Folders, files and patterns.
    camera
        The rules; the default ones where None.
    kinds
        Kinds settled by hand: ``(kind, pattern)``; the last pattern that matches counts.
    on_frame
        Called with the number of frames read, and of all, after each.

    Raises
    ------
    RequestError
        When a source does not exist, no file is found, or a pattern matches none.
    """
    camera = camera or read_camera()
    files = find_files(sources)
    if not files:
        below = ", ".join(map(str, sources))
        raise RequestError(
            f"no frames found below {below}: looked for .fits, .fit and .fts, also with .gz or .fz"
        )
    frames: list[Frame] = []
    left_out: list[LeftOut] = []
    raw: list[tuple[Frame, bytes]] = []
    used: set[str] = set()
    described = side_by_side(
        lambda file: describe(*file, camera), files, (path for path, _ in files)
    )
    for number, description in enumerate(described, start=1):
        frame, processed = description.frame, description.left_out
        if frame and (choice := _chosen(frame, kinds)):
            frame = frame.of_kind(choice[0], f"--kind {choice[0]}='{choice[1]}'")
            processed = None
            used.add(choice[1])
        if processed:
            left_out.append(processed)
        elif frame:
            raw.append((frame, description.sample))
        if frame:
            frames.append(frame)
        if on_frame:
            on_frame(number, len(files))
    for kind, pattern in kinds:
        if pattern not in used:
            raise RequestError(f"--kind {kind}='{pattern}' matches no frame of the night")
    left_out += _duplicates(raw, camera)
    gone = {entry.path for entry in left_out}
    for frame in frames:
        if frame.kind == "unknown" and frame.path not in gone:
            failed = not frame.reason.startswith((AUXILIARY, "--kind"))
            left_out.append(
                LeftOut(frame.path, frame.name, f"unknown kind: {frame.reason}", failed)
            )
    left_out.sort(key=lambda entry: entry.name)
    given = tuple(map(str, sources))
    return Night(tuple(frames), tuple(left_out), camera, given, str(Path.cwd()), tuple(kinds))
