"""Paths as people type them: a tilde is the home folder."""

from __future__ import annotations

import os
from pathlib import Path

from daskred.model.errors import RequestError


def with_home(name: str | Path) -> str:
    """Return a name of a file, a folder or a pattern, with the home folder for a tilde.

    Examples
    --------
    >>> with_home("night/*.fits"), with_home("~/night").startswith("~")
    ('night/*.fits', False)
    """
    text = os.fspath(name)
    if text.startswith("~") and not os.path.lexists(text):
        return os.path.expanduser(text)  # noqa: PTH111 - patterns and unknown users stay
    return text


def absolute(name: str | Path) -> Path:
    """Return an absolute path, with the home folder for a tilde.

    Raises
    ------
    RequestError
        When it is an address.
    """
    if "://" in str(name):
        raise RequestError(f"{name}: is an address; name a folder, or a file, of this machine")
    return Path(with_home(name)).absolute()
