"""Registries that are folders: what there is of a kind is told by the files that there are."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent


def names_in(folder: str) -> tuple[str, ...]:
    """Return the names of the modules of a folder of the package, without importing them.

    Parameters
    ----------
    folder
        Below ``daskred``, such as ``kernels/rejections``.

    Examples
    --------
    >>> "sigma" in names_in("kernels/rejections")
    True
    """
    files = (_PACKAGE / folder).glob("*.py")
    return tuple(sorted(file.stem for file in files if not file.stem.startswith("_")))
