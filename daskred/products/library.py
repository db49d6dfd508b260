"""Masters of other nights: files in a folder, or given by hand, that a night may borrow.

The files are the whole library: each tells in its header what it is of, so that nothing beside them
can be damaged or lag behind.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from daskred.cameras.read import read_camera
from daskred.cameras.rules import Camera
from daskred.fits.hdus import Hdu, read_hdus
from daskred.fits.images import images_of
from daskred.fits.names import split_name
from daskred.fits.parts import write_whole
from daskred.fits.remote import is_remote
from daskred.fits.sums import wrong_sum
from daskred.model.errors import FrameError, RequestError
from daskred.model.frame import Frame
from daskred.model.paths import absolute
from daskred.model.plan import Given, LeftOut, Master
from daskred.night.describe import telling_headers
from daskred.night.facts import facts_of
from daskred.night.open import Night
from daskred.night.readout import readout_of
from daskred.night.times import date_text, mjd_of
from daskred.options import Options
from daskred.products.expected import digest_of
from daskred.products.extensions import is_extension
from daskred.products.foreign import check_foreign, n_combined
from daskred.products.log import LOG_NAME
from daskred.products.provenance import CONTENT_CARD, KEY_CARD

GivenKind = Literal["bias", "dark", "flat"]
KINDS: tuple[GivenKind, ...] = ("bias", "dark", "flat")
_NAME = re.compile(r"Master(Bias|Dark|Flat)(?=[_.]|$)")
_DATED = re.compile(r"_\d{4}-\d\d-\d\d(_[0-9a-f]{6})?$")
# How many days away a master of a library may be, where nobody says otherwise.
_USUAL_DAYS: dict[GivenKind, float] = {"bias": 90.0, "dark": 90.0, "flat": 30.0}
# Of one that somebody has put beside the frames, on purpose or by chance.
_BESIDE_DAYS: dict[GivenKind, float] = dict.fromkeys(KINDS, 183.0)


def master_files(folder: Path) -> list[Path]:
    """Return the files of a library, or of a folder of products, that may be masters.

    Raises
    ------
    RequestError
        When there is no such folder.
    """
    if not folder.is_dir():
        raise RequestError(f"{folder}: no such folder; daskred library add makes a library")
    return sorted(path for path in folder.glob("Master*.fits") if _NAME.match(path.name))


def _stem(path: Path) -> str:
    """Return the name of a master without the end of a FITS file's."""
    return (split_name(path.name) or (path.name,))[0]


def plain_name(path: Path) -> str:
    """Return the name of a master without its date and key.

    Examples
    --------
    >>> plain_name(Path("lib/MasterFlat_V_2026-01-02_0fa3b1.fits"))
    'MasterFlat_V'
    """
    return _DATED.sub("", _stem(path))


def keep(path: Path, library: Path) -> tuple[Path, bool]:
    """Copy a master into a library; return its file there, and whether it is new.

    Its name tells when it was exposed and what it was made of, so that nothing is replaced, and two
    machines may add the same at once.

    Raises
    ------
    FrameError
        When daskred did not make it, or it is damaged.
    RequestError
        When the library cannot be written, or is the folder of a run.
    """
    if any((folder / LOG_NAME).exists() for folder in (library, library.absolute().parent)):
        raise RequestError(
            f"{library}: a run writes its products there; keep masters in a folder of their own"
        )
    if not _NAME.match(path.name):
        raise FrameError(str(path), "has no name of a master, as MasterDark_10s.fits")
    master = read_master(path, kind_of_master(path), read_camera())
    if reason := wrong_sum(str(path)):
        raise FrameError(str(path), reason)
    given = master.given
    if given is None or given.mjd is None:
        raise FrameError(str(path), "does not tell when it was exposed")
    name = f"{plain_name(path)}_{date_text(given.mjd)[:10]}_{given.key[:6]}.fits"
    target = library / name
    if target.exists() and not _is_damaged(target):
        return target, False
    try:
        library.mkdir(parents=True, exist_ok=True)
        write_whole(target, path.read_bytes())
    except OSError as error:
        raise RequestError(f"{library}: cannot be written: {error.strerror}") from error
    return target, True


def _is_damaged(path: Path) -> bool:
    try:
        return bool(wrong_sum(str(path)))
    except FrameError:
        return True


def kind_of_master(path: Path) -> GivenKind:
    """Return the kind of a master by its file's name."""
    match = _NAME.match(path.name)
    return next(kind for kind in KINDS if match and kind == match.group(1).lower())


def read_master(path: Path, kind: GivenKind, camera: Camera, by_hand: bool = False) -> Master:
    """Read what a master of another night is, as a part of a plan.

    Raises
    ------
    FrameError
        When it cannot be read, or daskred did not make it.
    """
    name = str(path)
    hdus = read_hdus(name)
    header = hdus[0].header
    key = header.get(KEY_CARD)
    is_foreign = not (key and header.get(CONTENT_CARD) and header.get("NCOMBINE") is not None)
    if is_foreign and not by_hand:
        raise FrameError(name, "is no master that daskred made")
    told = _NAME.match(path.name)
    if told and told.group(1).lower() != kind:
        raise FrameError(name, f"is a master {told.group(1).lower()}")
    if is_foreign:
        check_foreign(path, kind, hdus, camera)
        key = digest_of(name)[:32]
    headers = telling_headers(hdus)
    images = tuple(i for i in images_of(name, hdus, not is_foreign) if not is_extension(i.name))
    facts = facts_of(name, headers, camera)
    begin = str(header.get("DATE-BEG") or "") or facts.time_obs
    frame = Frame(
        path=name,
        name=name,
        images=images,
        facts=replace(facts, time_obs=begin),
        kind=kind,
        reason="given by hand" if by_hand else "of the library",
        digest=str(key),
        n_cards=0,
        readout=readout_of(name, hdus, images, camera, facts),
    )
    return _master(path, kind, frame, hdus, by_hand, is_foreign)


def _master(
    path: Path, kind: GivenKind, frame: Frame, hdus: Sequence[Hdu], by_hand: bool, is_foreign: bool
) -> Master:
    header, mjd = hdus[0].header, mjd_of(frame.facts.time_obs)
    given = Given(
        path=str(path),
        key=frame.digest,
        n_inputs=n_combined(hdus) if is_foreign else int(header.get("NCOMBINE") or 1),
        mjd=mjd,
        by_hand=by_hand,
        is_foreign=is_foreign,
        has_overscan=any("OVERSCAN" in hdu.header for hdu in hdus),
        unit=str(header.get("BUNIT") or "").strip().lower(),
        is_linear=any("LINCORR" in hdu.header for hdu in hdus),
        is_uncertain=any(str(hdu.header.get("EXTNAME")).startswith("UNCERT") for hdu in hdus),
    )
    name = _stem(path)
    if not _NAME.match(name):
        name = f"Master{kind.title()}_{name}"
    if mjd is not None and not _DATED.search(name):
        name = f"{name}_{date_text(mjd)[:10]}"
    master = Master.of_given(name, kind, frame, given)
    return master.named_by_key() if is_foreign else master


def with_given(night: Night, options: Options) -> Night:
    """Return a night with the masters of other nights that it may borrow; headers are read.

    They are given by hand, lie among its frames, or in a library.

    Parameters
    ----------
    night, options
        The night, and how it is reduced.

    Raises
    ------
    RequestError
        When a master that is given by hand cannot be used, or there is no library.
    """
    days = days_of(options)
    found = [*_by_hand(options, night.camera)]
    beside = days_of(options, _BESIDE_DAYS)
    found += (_within(master, beside) for master in _among(night))
    # It may have been asked before, of the same night.
    left_out = {entry.path: entry for entry in night.left_out}
    if options.library:
        for path in master_files(absolute(options.library)):
            kind = kind_of_master(path)
            try:
                master = read_master(path, kind, night.camera)
            except FrameError as error:
                damaged = LeftOut(str(path), path.name, error.reason, failed=False)
                left_out.setdefault(damaged.path, damaged)
                continue
            found.append(_within(master, days))
    named: dict[str, Master] = {}
    for master in found:
        one = master.named_by_key() if master.name in named else master
        named.setdefault(one.name, one)
    return replace(night, given=tuple(named.values()), left_out=tuple(left_out.values()))


def _within(master: Master, days: Mapping[GivenKind, float]) -> Master:
    """Return a master that may not be further away in time than its kind may."""
    kind = next((kind for kind in KINDS if kind == master.kind), None)
    if master.given is None or kind is None:
        return master
    return replace(master, given=replace(master.given, most_days=days[kind]))


def _among(night: Night) -> Iterator[Master]:
    """Yield the masters that somebody has put beside the frames of a night.

    Those of a folder of products, which has a log, are of a run, and were put nowhere.
    """
    for entry in night.left_out:
        path = Path(entry.path)
        if entry.failed or not _NAME.match(path.name) or is_remote(entry.path):
            continue
        if (path.parent.parent / LOG_NAME).exists():
            continue
        with contextlib.suppress(FrameError):  # of another program, or damaged: it is left out
            yield read_master(path, kind_of_master(path), night.camera)


def _kind_and_rest(text: str) -> tuple[GivenKind | None, str]:
    """Return the kind that a text as ``flat=30`` begins with, or None; and the rest."""
    word, _, rest = text.partition("=")
    return next((kind for kind in KINDS if kind == word.strip().lower()), None), rest


def _by_hand(options: Options, camera: Camera) -> Iterator[Master]:
    for text in options.master:
        kind, path = _kind_and_rest(text)
        if kind is None or not path:
            raise RequestError(f"--master {text}: is KIND=FILE; kinds are {', '.join(KINDS)}")
        try:
            yield read_master(absolute(path), kind, camera, by_hand=True)
        except FrameError as error:
            raise RequestError(f"--master {text}: {error.reason}") from error


def days_of(
    options: Options, usual: Mapping[GivenKind, float] = _USUAL_DAYS
) -> dict[GivenKind, float]:
    """Return how many days away masters of other nights may be, by kind.

    Parameters
    ----------
    options
        What is asked for.
    usual
        What is usual where nothing is.

    Raises
    ------
    RequestError
        When it is not told as ``flat=30``.
    """
    found = dict(usual)
    for text in options.library_days:
        kind, number = _kind_and_rest(text)
        try:
            days = float(number)
        except ValueError:
            days = -1.0
        if kind is None or not days >= 0:
            raise RequestError(f"--library-days {text}: is KIND=DAYS, as flat=30")
        found[kind] = days
    return found
