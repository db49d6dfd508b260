"""What was measured of a detector, as a camera file that a run takes."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

from daskred.cameras.rules import Camera
from daskred.fits.parts import write_whole
from daskred.measure.results import Characterization
from daskred.model.errors import RequestError

CAMERA_FILE = "camera.toml"
_BEGIN = "# Measured by daskred characterize"


def check_camera_file(out: Path) -> None:
    """Raise RequestError where somebody else's camera file would be replaced."""
    path = out / CAMERA_FILE
    if path.exists() and not path.read_text("utf-8", errors="replace").startswith(_BEGIN):
        raise RequestError(f"{path}: stands there already, and daskred did not make it; move it")


def save_camera_file(found: Characterization, camera: Camera, sync: bool) -> None:
    """Write what was measured as a camera file, on top of the rules that were used."""
    path = found.out / CAMERA_FILE
    text = "".join(f"{line}\n" for line in _lines(found, camera, path))
    write_whole(path, text.encode(errors="surrogateescape"), sync)


def _lines(found: Characterization, camera: Camera, path: Path) -> Iterator[str]:
    yield f"{_BEGIN}; daskred reduce NIGHT --camera FILE goes by it."
    yield f"name = {json.dumps(camera.name)}"
    if like := _like(camera, path):
        yield f"like = {json.dumps(like)}"
    for numbers in found.amplifiers:
        yield ""
        yield f"[measured.{json.dumps(numbers.name)}]"
        for key, value in (
            ("gain_e_per_adu", numbers.gain_e_per_adu),
            ("read_noise_e", numbers.read_noise_e),
        ):
            if value:
                yield f"{key} = {float(f'{value:.6g}')!r}"


def _like(camera: Camera, path: Path) -> str | None:
    """Return which rules were used; where they were those of this very file, those below it."""
    if camera.source is None or not os.path.isabs(camera.source):  # noqa: PTH117 - or a name
        return camera.source
    if Path(camera.source) != path:
        return camera.source
    before: str | None = tomllib.loads(path.read_text("utf-8")).get("like")
    return before
