"""Which products a plan wants, what each is made from, and whether it stands already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskred.correction import MasterFiles
from daskred.errors import FrameError, RequestError
from daskred.fitspixels import pixel_sum
from daskred.frames import Frame
from daskred.options import Options
from daskred.plan import MASTERS_FOLDER, Correction, Plan
from daskred.provenance import content_of, key_of, read_content, stands
from daskred.storage import is_remote

# Files beside the products, which other commands write.
DARK_MODEL = "DarkModel.fits"
MASK_FILE = "BadPixels.fits"
# The folder of their masters: those of a run, which may have more, stay as they are.
MEASURED_FOLDER = "measured"


@dataclass(frozen=True, slots=True)
class Expected:
    """A product of a plan.

    Parameters
    ----------
    product
        Its file, below the folder of products.
    key
        A digest of all that it is made from, and how.
    source
        The raw frame's name, or the master's.
    inputs
        The raw frames that it is made from.
    masters
        Names of the masters that it is made from.
    """

    product: str
    key: str
    source: str
    inputs: tuple[Frame, ...]
    masters: tuple[str, ...]


def master_path(out: Path, name: str) -> Path:
    """Return a master's file."""
    return out / MASTERS_FOLDER / f"{name}.fits"


def files_of(out: Path, correction: Correction) -> MasterFiles:
    """Return the files of the masters that a correction names."""

    def path(name: str | None) -> str | None:
        return str(master_path(out, name)) if name else None

    return MasterFiles(
        dark=path(correction.dark),
        bias=path(correction.bias),
        flat=path(correction.flat),
        scale=correction.dark_scale,
        terms=terms_of(out, correction.terms),
        written_ns=tuple(
            master_path(out, name).stat().st_mtime_ns
            for name in (*correction.masters, *((correction.zero,) if correction.zero else ()))
        ),
    )


def terms_of(out: Path, terms: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Return the files of masters, each with its factor in a sum."""
    return tuple((str(master_path(out, name)), factor) for name, factor in terms)


def expected_products(plan: Plan, options: Options) -> Iterator[Expected]:
    """Yield what a plan makes: masters in their order, then calibrated frames."""
    keys: dict[str, str] = {}

    uncertain = options.extras.uncertainty

    def data_of(correction: Correction) -> list[Any]:
        names = [correction.bias, correction.dark, correction.flat]
        if uncertain:
            names.append(correction.zero)
        terms = [(name, keys[name], factor) for name, factor in correction.terms]
        own = [[name and (name, keys[name]) for name in names], correction.dark_scale]
        return [*own, terms] if terms else own

    of_science = [*options.of_science, digest_of(options.extras.bad_pixels)]

    def made_of(frame: Frame) -> list[str]:
        # Gains and limits matter where they are used; where pixels are prepared, they are digested.
        return [frame.digest] if options.is_plain else [frame.digest, repr(frame.detector)]

    for master in plan.masters:
        keys[master.name] = key_of(
            [master.name, master.kind, options.of_masters, options.processed_by],
            options.normalize if master.kind == "flat" else None,
            [
                [one.frame.basename, *made_of(one.frame), data_of(one.correction)]
                for one in master.inputs
            ],
        )
        yield Expected(
            master.product,
            keys[master.name],
            master.name,
            tuple(one.frame for one in master.inputs),
            with_zeros(master.needs, [one.correction for one in master.inputs], uncertain),
        )
    if options.masters_only:
        return
    for one in plan.science:
        key = key_of(
            [*made_of(one.frame), one.product, of_science, options.processed_by],
            data_of(one.correction),
            options.normalize if one.correction.flat else None,
        )
        frame = one.frame
        masters = with_zeros(one.correction.masters, [one.correction], uncertain)
        product = options.product(one.product)
        yield Expected(product, key, frame.name, (frame,), masters)


def with_zeros(
    masters: Sequence[str], corrections: Sequence[Correction], uncertain: bool
) -> tuple[str, ...]:
    """Return the masters that a product is made from, also those that only its noise needs."""
    zeros = [one.zero for one in corrections if one.zero] if uncertain else []
    return tuple(dict.fromkeys([*masters, *zeros]))


def changed_ns(expected: Expected, out: Path) -> int:
    """Return when anything that a product is made from last changed.

    Raises
    ------
    FrameError
        When an input is gone.
    """
    frames = [_changed_ns(frame.path) for frame in expected.inputs]
    # Masters are only ever replaced whole, so that the time in them tells, also in a copy.
    masters = [master_path(out, name).stat().st_mtime_ns for name in expected.masters]
    return max(frames + masters)


def _changed_ns(path: str) -> int:
    """Return when a file last became what it is: also where it was put in the place of another.

    The system's clock tells that, and no camera's. Of remote frames the digest tells it.
    """
    if is_remote(path):
        return 0
    try:
        return Path(path).stat().st_ctime_ns
    except OSError as error:
        raise FrameError(path, f"cannot be read any more: {error.strerror}") from error


def digest_of(path: str | None) -> str:
    """Return a digest of a small file's content, empty where there is none."""
    if path is None:
        return ""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise RequestError(f"{path}: cannot be read: {error.strerror}") from error


def has_key(expected: Expected, out: Path) -> bool:
    """Whether a product is there, made from what it is to be made from as far as headers tell."""
    return stands(out / expected.product, expected.key)


def is_standing(expected: Expected, out: Path) -> bool:
    """Whether a product is there, made from what its inputs and masters hold now.

    Headers and first pixels of the inputs are in the key. A product that is younger than they are
    was made from the others too; of one that is older, as after a copy of the night, all pixels
    are read again and compared by their sum.

    Raises
    ------
    FrameError
        When an input cannot be read.
    """
    path = out / expected.product
    masters = [master_path(out, name) for name in expected.masters]
    if not has_key(expected, out) or not all(one.exists() for one in masters):
        return False
    if path.stat().st_mtime_ns >= changed_ns(expected, out):
        return True
    sums = [pixel_sum(frame.path, frame.images) for frame in expected.inputs]
    return read_content(path) == content_of(sums, [read_content(one) for one in masters])
