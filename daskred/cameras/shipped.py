"""The camera files that come with daskred, as they are."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


@cache
def shipped_cameras() -> tuple[str, ...]:
    """Return the names of the cameras that come with daskred."""
    return tuple(sorted({file.stem for file in _HERE.glob("*.toml")} - {"default"}))


@cache
def shipped_table(name: str) -> dict[str, Any]:
    """Return the rules of a camera that comes with daskred, as plain data."""
    return tomllib.loads((_HERE / f"{name}.toml").read_text("utf-8"))
