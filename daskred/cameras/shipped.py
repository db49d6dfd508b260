"""The camera files that come with daskred, as they are."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def shipped_cameras() -> tuple[str, ...]:
    """Return the names of the cameras that come with daskred."""
    names = (file.name for file in files(__package__).iterdir())
    found = {name.removesuffix(".toml") for name in names if name.endswith(".toml")}
    return tuple(sorted(found - {"default"}))


@cache
def shipped_table(name: str) -> dict[str, Any]:
    """Return the rules of a camera that comes with daskred, as plain data."""
    return tomllib.loads((files(__package__) / f"{name}.toml").read_text("utf-8"))
