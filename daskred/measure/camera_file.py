"""What was measured of a detector, as a camera file that a run takes."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

from daskred.cameras.rules import Camera, Measured
from daskred.fits.parts import write_whole
from daskred.measure.results import Characterization
from daskred.products.provenance import check_own_text

CAMERA_FILE = "camera.toml"
_BEGIN = "# Measured by daskred characterize"


def check_camera_file(out: Path) -> None:
    """Raise RequestError where somebody else's camera file would be replaced."""
    check_own_text(out / CAMERA_FILE, _BEGIN)


def save_camera_file(found: Characterization, camera: Camera, sync: bool) -> None:
    """Write what was measured as a camera file, on top of the rules that were used."""
    path = found.out / CAMERA_FILE
    text = "".join(f"{line}\n" for line in _lines(found, camera, path))
    write_whole(path, text.encode(errors="surrogateescape"), sync)


def _lines(found: Characterization, camera: Camera, path: Path) -> Iterator[str]:
    yield f"{_BEGIN}; daskred reduce NIGHT --camera FILE goes by it."
    yield f"name = {_quoted(camera.name)}"
    if like := _like(camera, path):
        yield f"like = {_quoted(like)}"
    for numbers in found.amplifiers:
        yield ""
        yield f"[measured.{_quoted(numbers.name)}]"
        # What this night does not tell stays as it was measured before.
        known = camera.measured.get(numbers.name, Measured()).known
        for key, value in (
            ("gain_e_per_adu", numbers.gain_e_per_adu),
            ("read_noise_e", numbers.read_noise_e),
        ):
            known |= {key: float(f"{value:.6g}")} if value else {}
        yield from (f"{key} = {value!r}" for key, value in known.items())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _like(camera: Camera, path: Path) -> str | None:
    """Return which rules were used; where they were those of this very file, those below it."""
    if camera.source is None or not os.path.isabs(camera.source):  # noqa: PTH117 - or a name
        return camera.source
    if Path(camera.source) != path:
        return camera.source
    before: str | None = tomllib.loads(path.read_text("utf-8")).get("like")
    return before
