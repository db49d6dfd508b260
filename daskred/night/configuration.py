"""A file of options, ``daskred.toml``: the names of the table, which the command line overrules."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from daskred.model.errors import RequestError
from daskred.model.option import nearest
from daskred.options import BY_NAME

CONFIGURATION = "daskred.toml"


@cache
def configuration_of(path: Path) -> Mapping[str, Any]:
    """Read a configuration file: keys and values of options.

    Raises
    ------
    RequestError
        When it cannot be read, is no TOML, or has a key that is no option.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"--config {path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"--config {path}: is no TOML: {error}") from error
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in BY_NAME:
            raise RequestError(f"{path}: {nearest(key, BY_NAME)}")
        try:
            found[name] = BY_NAME[name].checked(value)
        except RequestError as error:
            raise RequestError(f"{path}: {error}") from error
        # A file that is named beside the configuration lies there, wherever the command is given.
        if name == "bad_pixels" or (name == "camera" and (path.parent / str(value)).is_file()):
            found[name] = str(path.parent / str(value))
    return found


def find_configuration(sources: Sequence[str]) -> Path | None:
    """Return the configuration file in, or beside, the folder of a night that is named first."""
    first = sources[0]
    if "://" in first:
        return None
    folder = Path(re.split(r"[*?\[]", first)[0] or ".").absolute()
    if first[-1:] != "/" and not folder.is_dir():  # a file, or a name that a pattern begins
        folder = folder.parent
    places = (folder / CONFIGURATION, folder.parent / CONFIGURATION)
    return next((path for path in places if path.is_file()), None)
