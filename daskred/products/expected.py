"""Which products a plan wants, what each is made from, and whether it stands already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskred.fits.names import file_of
from daskred.fits.pixels import pixel_sum
from daskred.fits.remote import is_remote
from daskred.model.errors import FrameError, RequestError
from daskred.model.frame import Frame
from daskred.model.plan import Correction, Plan
from daskred.options import Options
from daskred.products.names import master_path, packed_name
from daskred.products.provenance import content_of, key_of, read_content, stands, state_of_product
from daskred.steps import whole_steps


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
    is_copy
        Whether it is a copy of a master of another night, whose key tells all of it.
    """

    product: str
    key: str
    source: str
    inputs: tuple[Frame, ...]
    masters: tuple[str, ...]
    is_copy: bool = False


def expected_products(plan: Plan, options: Options) -> Iterator[Expected]:
    """Yield what a plan makes: masters in their order, then calibrated frames."""
    keys: dict[str, str] = {}

    uncertain = options.wants_noise
    # A rejection by noise is told by the bias what of a dark is signal.
    masters_uncertain = uncertain or options.reject == "noise"

    def data_of(correction: Correction, uncertain: bool) -> list[Any]:
        names = [correction.bias, correction.dark, correction.flat]
        if uncertain:
            names.append(correction.zero)
        terms = [(name, keys[name], factor) for name, factor in correction.terms]
        known = [[name and (name, keys[name]) for name in names], correction.dark_scale]
        known += [correction.window] if correction.window else []
        if sky := correction.sky:
            known.append([sky, keys[sky], bool(correction.illumination), bool(correction.fringe)])
        if correction.shutter:
            name, exptime_s = correction.shutter
            known.append(["shutter", name, keys[name], exptime_s])
        return [*known, terms] if terms else known

    of_masters = options.that_change("masters")
    of_flats = options.that_change("masters", "flats")
    of_science = [
        options.that_change("science"),
        *(digest_of(path) for path in options.files_that_change("science")),
    ]
    # Gains and limits matter where they are used; where pixels are prepared, they are digested.
    plain = options.plain_median and not whole_steps(options)

    def identity_of(frame: Frame, taken_as_it_is: bool) -> list[str]:
        return [frame.digest] if taken_as_it_is else [frame.digest, repr(frame.readout)]

    for master in plan.masters:
        if master.given:
            keys[master.name] = master.given.key
            frames = tuple(member.frame for member in master.inputs)
            key = master.given.key
            yield Expected(master.product, key, master.name, frames, (), is_copy=True)
            continue
        keys[master.name] = key_of(
            [
                master.name,
                master.kind,
                of_flats if master.is_lit else of_masters,
                *(["without objects"] if master.has_objects else []),
            ],
            [
                [
                    member.frame.basename,
                    *identity_of(member.frame, options.plain_median),
                    data_of(member.correction, masters_uncertain),
                ]
                for member in master.inputs
            ],
        )
        yield Expected(
            master.product,
            keys[master.name],
            master.name,
            tuple(member.frame for member in master.inputs),
            masters_of(
                master.needs,
                [member.correction for member in master.inputs],
                masters_uncertain,
            ),
        )
    if options.masters_only:
        return
    for item in plan.science:
        key = key_of(
            [*identity_of(item.frame, plain), item.product, of_science],
            data_of(item.correction, uncertain),
            *([[identity_of(frame, plain) for frame in item.beside]] if item.beside else []),
        )
        frame = item.frame
        masters = masters_of(item.correction.masters, [item.correction], uncertain)
        product = packed_name(item.product, options.compress)
        yield Expected(product, key, frame.name, (frame, *item.beside), masters)


def masters_of(
    masters: Sequence[str], corrections: Sequence[Correction], uncertain: bool
) -> tuple[str, ...]:
    """Return the masters that a product is made from, also those that only its noise needs."""
    zeros = [correction.zero for correction in corrections if correction.zero] if uncertain else []
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
        return Path(file_of(path)).stat().st_ctime_ns
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


def is_up_to_date(expected: Expected, out: Path) -> bool:
    """Whether a product is there, made from what its inputs and masters hold now.

    Headers and first pixels of the inputs are in the key. A product that is younger than they are
    was made from the others too; of one that is older, as after a copy of the night, all pixels
    are read again and compared by their sum.

    Raises
    ------
    FrameError
        When an input cannot be read.
    """
    if not has_key(expected, out):
        return False
    if expected.is_copy:
        return True
    path = out / expected.product
    masters = [master_path(out, name) for name in expected.masters]
    if not all(master.exists() for master in masters):
        return False
    if path.stat().st_mtime_ns >= changed_ns(expected, out):
        return True
    sums = [pixel_sum(frame.path, frame.images) for frame in expected.inputs]
    if any(state_of_product(master).kind != "ours" for master in masters):
        return False
    return read_content(path) == content_of(sums, [read_content(master) for master in masters])
