"""Read the headers of a night's frames, and say what each is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from daskred.cameras.read import read_camera
from daskred.cameras.recognise import recognise
from daskred.cameras.rules import Camera
from daskred.engine.crew import shared
from daskred.fits.hdus import read_hdus
from daskred.fits.names import planes_of
from daskred.fits.remote import is_remote
from daskred.fits.storage import map_concurrently
from daskred.model.errors import FrameError, RequestError
from daskred.model.frame import KINDS, Frame, Kind
from daskred.model.option import nearest
from daskred.model.plan import LeftOut, Master
from daskred.model.shown import Shown
from daskred.night.choices import Choices
from daskred.night.describe import Description, Rules, describe, telling_headers
from daskred.night.duplicates import duplicates
from daskred.night.files import find_files, misnamed_files
from daskred.night.filters import named_filters
from daskred.night.kinds import AUXILIARY
from daskred.night.known import Known
from daskred.night.shown import night_text
from daskred.options import DETECTOR, Options


@dataclass(frozen=True, repr=False)
class Night(Shown):
    """The frames found below some folders, classified.

    Parameters
    ----------
    frames
        Every frame whose headers can be read, in the order of their names.
    left_out
        Those that are no raw frames or cannot be read, with the reason.
    camera
        The rules that classified them.
    sources, folder, choices
        What it was opened from, in which folder, and what was settled by hand.
    no_sky
        By path, why science frames show no sky that a master could be made of.
    given
        Masters of other nights that it may borrow.
    n_done
        Frames of it that a run before has calibrated, and that are not looked at again.

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
    choices: Choices = field(default_factory=Choices)
    no_sky: Mapping[str, str] = field(default_factory=dict)
    given: tuple[Master, ...] = ()
    n_done: int = 0

    @property
    def raw(self) -> tuple[Frame, ...]:
        """The frames that may be used."""
        out = {entry.path for entry in self.left_out}
        return tuple(frame for frame in self.frames if frame.path not in out)

    def select(
        self,
        kind: Kind,
        *,
        exptime_s: float | None = None,
        filter: str | None = None,  # noqa: A002 - as the header calls it
    ) -> list[Frame]:
        """Return the raw frames of a kind, and of an exposure time or filter where given.

        Raises
        ------
        RequestError
            When there is no such kind.
        """
        if kind not in KINDS:
            raise RequestError(f"kind {kind!r}: {nearest(kind, KINDS)}")
        return [
            frame
            for frame in self.raw
            if frame.kind == kind
            and (exptime_s is None or self._lasts(frame, exptime_s))
            and (filter is None or frame.facts.filter == filter)
        ]

    def __repr__(self) -> str:
        return night_text(self)

    def _lasts(self, frame: Frame, exptime_s: float) -> bool:
        frame_exptime_s = frame.facts.exptime_s
        return frame_exptime_s is not None and self.camera.same_exptime(frame_exptime_s, exptime_s)

    def telling_apart(self, card: str) -> Night:
        """Open the night again, with a further card in which frames must agree.

        What was settled by hand stays; what was left out for its pixels does not.
        """
        with contextlib.chdir(self.folder):
            return open_night(
                *self.sources,
                camera=self.camera.telling_apart([card]),
                **self.choices.arguments,
            )

    def showing_no_sky(self, errors: Iterable[FrameError]) -> Night:
        """Return the night with further frames of which no master of the sky is made."""
        further = {error.path: error.reason for error in errors}
        return replace(self, no_sky={**self.no_sky, **further})

    def without_given(self, errors: Sequence[FrameError]) -> Night:
        """Return the night without masters of other nights that cannot be used after all."""
        reasons = {error.path: error.reason for error in errors}
        given = tuple(m for m in self.given if m.inputs[0].frame.path not in reasons)
        further = [
            LeftOut(path, Path(path).name, reason, failed=False) for path, reason in reasons.items()
        ]
        return replace(self, given=given, left_out=(*self.left_out, *further))

    def without(self, errors: Iterable[FrameError]) -> Night:
        """Return the night with further frames left out, since their pixels cannot be used."""
        names = {frame.path: frame.name for frame in self.frames}
        further = tuple(
            LeftOut(error.path, names[error.path], error.reason, failed=True) for error in errors
        )
        return replace(self, left_out=(*self.left_out, *further))


def open_night(
    *sources: str | Path,
    camera: Camera | None = None,
    kinds: Sequence[tuple[Kind, str]] = (),
    exptimes: Sequence[tuple[float, str]] = (),
    filters: Sequence[tuple[str, str]] = (),
    on_frame: Callable[[int, int], None] | None = None,
    meanwhile: Callable[[], object] | None = None,
    known: Known | None = None,
) -> Night:
    """Find frames, read their headers, and classify them; of the pixels only the first are read.

    Parameters
    ----------
    *sources
        Folders, files and patterns.
    camera
        The rules; where None, those of the camera that headers tell, or the default ones.
    kinds
        Kinds settled by hand: ``(kind, pattern)``; the last pattern that matches counts.
    exptimes, filters
        The same for exposure times in seconds, and for filters.
    on_frame
        Called now and then with the number of files that have been read, or begun, and of all.
    meanwhile
        Called once, while helper processes have begun to read already, where there are any.
    known
        What was read before, of a night that grows; what is read now is added.

    Raises
    ------
    RequestError
        When a source does not exist, no file is found, or a pattern matches none.

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name + "/night", shape=(16, 16), n_darks=3, n_flats=2)
    >>> night = open_night(folder.name + "/night")
    >>> len(night.frames), len(night.select("flat"))
    (68, 2)
    >>> folder.cleanup()
    """
    files = find_files(sources)
    camera = camera or _recognised([path for path, _ in files])
    choices = Choices(kinds, exptimes, filters)
    if not files:
        below = ", ".join(map(str, sources))
        raise RequestError(
            f"no frames found below {below}: looked for .fits, .fit and .fts,"
            " also with .gz, .bz2, .xz, .Z, .zip or .fz"
        )
    frames: list[Frame] = []
    left_out: list[LeftOut] = []
    raw: list[tuple[Frame, bytes]] = []
    for description in _descriptions(files, Rules(camera, choices), on_frame, meanwhile, known):
        frame, processed = description.frame, description.left_out
        if frame and (choice := choices.kind(frame.name, frame.path)):
            frame = frame.of_kind(choice[0], f"--kind {choice[0]}='{choice[1]}'")
            processed = None
        if processed:
            left_out.append(processed)
        elif frame:
            raw.append((frame, description.sample))
        if frame:
            frames.append(frame)
    choices.check_used((frame.name, frame.path) for frame in frames)
    left_out += duplicates(raw, camera)
    left_out += misnamed_files(sources)
    gone = {entry.path for entry in left_out}
    for frame in frames:
        if frame.kind == "unknown" and frame.path not in gone:
            failed = not frame.reason.startswith((AUXILIARY, "--kind"))
            left_out.append(
                LeftOut(frame.path, frame.name, f"unknown kind: {frame.reason}", failed)
            )
    left_out.sort(key=lambda entry: entry.name)
    given = tuple(map(str, sources))
    told = tuple(named_filters(frames, gone, camera))
    return Night(told, tuple(left_out), camera, given, str(Path.cwd()), choices)


def _descriptions(
    files: Sequence[tuple[str, str]],
    rules: Rules,
    on_frame: Callable[[int, int], None] | None,
    meanwhile: Callable[[], object] | None,
    known: Known | None,
) -> list[Description]:
    """Say what each file is; where lamps are on in frames without light, without these lamps."""
    new = known.unknown(files, rules) if known else files
    read = [pair for pairs in _read(new, rules, on_frame, meanwhile) for pair in pairs]
    if known:
        read = known.with_read(files, read)
    places, descriptions = [place for place, _ in read], [description for _, description in read]
    unlit = (d for d in descriptions if d.frame and d.frame.kind in ("bias", "dark"))
    stuck = frozenset[str]().union(*(description.lamps for description in unlit))
    again = [number for number, d in enumerate(descriptions) if d.lamps & stuck]
    for number in again:
        descriptions[number] = describe(*places[number], replace(rules, stuck=stuck))
    return descriptions


def _read(
    files: Sequence[tuple[str, str]],
    rules: Rules,
    on_frame: Callable[[int, int], None] | None,
    meanwhile: Callable[[], object] | None,
) -> Iterable[Sequence[tuple[tuple[str, str], Description]]]:
    """Say of each file, or each exposure of a cube, where it is and what it is."""

    def work(file: tuple[str, str]) -> list[tuple[tuple[str, str], Description]]:
        description = describe(*file, rules)
        if not description.n_exposures:
            return [(file, description)]
        planes = planes_of(*file, description.n_exposures)
        return [(plane, describe(*plane, rules)) for plane in planes]

    def tell(n_files: int) -> None:
        if on_frame:
            on_frame(n_files, len(files))

    paths = [path for path, _ in files]
    if any(map(is_remote, paths)):  # they wait for answers, which threads do as well
        if meanwhile:
            meanwhile()
        return map_concurrently(work, files, paths)
    return shared(work, files, meanwhile, tell)


NightOrFolder: TypeAlias = Night | str | Path


def as_night(given: NightOrFolder, options: Options) -> Night:
    """Return a night that is given, or open it from a folder, file or pattern, as options say."""
    return given if isinstance(given, Night) else night_at([given], options)


def night_at(
    sources: Sequence[str | Path],
    options: Options,
    meanwhile: Callable[[], object] | None = None,
    known: Known | None = None,
) -> Night:
    """Open a night under the camera, and with what is settled by hand, that options tell."""
    words = {"kind": options.kind, "exptime": options.exptime, "filter": options.filter}
    return open_night(
        *sources,
        camera=camera_of(options, sources),
        meanwhile=meanwhile,
        known=known,
        **Choices.of(words).arguments,
    )


def recognised_camera(sources: Sequence[str | Path]) -> Camera:
    """Return the rules of the camera that wrote the frames below some folders.

    Some headers are asked. Where they tell two cameras, or none, it is the default rules.
    """
    return _recognised([path for path, _ in find_files(sources)])


def _recognised(paths: Sequence[str]) -> Camera:
    found: dict[str, str] = {}
    n_asked = 1 if any(map(is_remote, paths)) else _ASKED
    for path in paths[:: -(-len(paths) // n_asked) or 1]:
        try:
            known = recognise(telling_headers(read_hdus(path)))
        except FrameError:
            continue
        if known:
            found.setdefault(*known)
    if len(found) != 1:
        two = f"frames of several cameras: {', '.join(sorted(found))}" if found else ""
        return replace(read_camera(), reason=two)
    ((name, reason),) = found.items()
    return replace(read_camera(name), reason=reason)


# How many headers are asked which camera wrote them; of those far away, one.
_ASKED = 12


def camera_of(options: Options, sources: Sequence[str | Path]) -> Camera:
    """Return the camera that options name, or frames tell, as options change it."""
    camera = read_camera(options.camera) if options.camera else recognised_camera(sources)
    camera = camera.telling_apart(options.tell_apart)
    given = {name: getattr(options, name) for name in DETECTOR}
    changed = {name: value for name, value in given.items() if value is not None}
    return replace(camera, detector=replace(camera.detector, **changed))
