"""The folders that a run writes to: none leads out of OUT, and nothing unfinished stays in them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from daskred.fits.parts import TEMPORARY_MARK
from daskred.fits.storage import tried_twice
from daskred.model.errors import RequestError
from daskred.model.plan import MASTERS_FOLDER, Plan


def folders_of(out: Path, plan: Plan) -> tuple[Path, ...]:
    """Return the folders of the products of a plan.

    Raises
    ------
    RequestError
        Where a link would lead them out of OUT.
    """
    products = {(out / item.product).parent for item in plan.science}
    folders = (out, out / MASTERS_FOLDER, *sorted(products))
    for folder in folders:
        if not folder.resolve().is_relative_to(out.resolve()):
            raise RequestError(
                f"-o {out}: {folder} leads to {folder.resolve()}, which is not below it; remove the"
                " link, or name another folder"
            )
    return folders


def remove_parts(folders: Iterable[Path]) -> tuple[list[str], list[str]]:
    """Remove what was left unfinished beside products.

    Returns
    -------
    removed, left
        Files that are gone; and what could not be looked at, or removed, with the reason.
    """
    removed, left = [], []
    for folder in folders:
        try:
            parts = tried_twice(partial(_parts_in, folder), OSError)
        except OSError as error:
            left.append(f"{folder}: cannot be listed: {error.strerror}")
            continue
        for part in parts:
            try:
                tried_twice(partial(part.unlink, missing_ok=True), OSError)
                removed.append(str(part))
            except OSError as error:
                left.append(f"{part}: cannot be removed: {error.strerror}")
    return removed, left


def _parts_in(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - what fails is told, unlike by glob
    except FileNotFoundError:
        return []
    return [folder / name for name in names if name.startswith(TEMPORARY_MARK)]
