"""Which products a plan wants, what each is made from, and whether it stands already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskred.errors import FrameError
from daskred.options import Options
from daskred.plan import MASTERS_FOLDER, Correction, Plan
from daskred.products import key_of, stands
from daskred.storage import is_remote


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
        The raw frames that it is made from, absolute.
    names
        Their names below the night.
    masters
        Names of the masters that it is made from.
    """

    product: str
    key: str
    source: str
    inputs: tuple[str, ...]
    names: tuple[str, ...]
    masters: tuple[str, ...]


def master_path(out: Path, name: str) -> Path:
    """Return a master's file."""
    return out / MASTERS_FOLDER / f"{name}.fits"


def expected_products(plan: Plan, options: Options) -> Iterator[Expected]:
    """Yield what a plan makes: masters in their order, then calibrated frames."""
    keys: dict[str, str] = {}

    def data_of(correction: Correction) -> list[Any]:
        names = (correction.bias, correction.dark, correction.flat)
        return [[name and (name, keys[name]) for name in names], correction.dark_scale]

    for master in plan.masters:
        keys[master.name] = key_of(
            [master.name, master.kind, options.dtype, options.processed_by],
            options.normalize if master.kind == "flat" else None,
            [
                [one.frame.basename, one.frame.digest, data_of(one.correction)]
                for one in master.inputs
            ],
        )
        yield Expected(
            master.product,
            keys[master.name],
            master.name,
            tuple(one.frame.path for one in master.inputs),
            tuple(one.frame.name for one in master.inputs),
            master.needs,
        )
    if options.masters_only:
        return
    for one in plan.science:
        key = key_of(
            [one.frame.digest, one.product, options.dtype, options.processed_by],
            data_of(one.correction),
            options.normalize if one.correction.flat else None,
        )
        frame = one.frame
        names, paths = (frame.name,), (frame.path,)
        yield Expected(one.product, key, frame.name, paths, names, one.correction.masters)


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


def has_key(expected: Expected, out: Path) -> bool:
    """Whether a product is there, made from what it is to be made from as far as headers tell."""
    return stands(out / expected.product, expected.key, 0)


def is_standing(expected: Expected, out: Path) -> bool:
    """Whether a product is there, made from its inputs since they last changed.

    Raises
    ------
    FrameError
        When an input is gone.
    """
    changed_ns = max(map(_changed_ns, expected.inputs))
    for name in expected.masters:
        # Masters are only ever replaced whole, so that the time in them tells, also in a copy.
        path = master_path(out, name)
        if not path.exists():
            return False
        changed_ns = max(changed_ns, path.stat().st_mtime_ns)
    return stands(out / expected.product, expected.key, changed_ns)
