"""Which frames are no raw frames any more: masters, and frames that were calibrated before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from daskred.cameras.rules import Camera, Meaning
from daskred.fits.header import Header, stands_in
from daskred.night.signs import texts_of
from daskred.night.words import runs_of


def processed_sign(
    name: str, headers: Sequence[Header], camera: Camera
) -> tuple[Meaning, str] | None:
    """Return why a frame is no raw frame any more, or None for a raw frame.

    Parameters
    ----------
    name
        The frame's path below the night, with forward slashes.
    headers
        As of `kind_of`.
    camera
        The rules.

    Returns
    -------
    meaning, reason
        ``calibrated``, ``master`` or ``product`` (of daskred itself), and the sign.
    """
    path = PurePosixPath(name)
    stem = path.name.split(".")[0]
    folders = path.parent.parts
    for rule in camera.processed:
        for card in rule.cards:
            if not stands_in(headers, card):
                continue
            for header in headers:
                for value in header.values(card):
                    if rule.pattern is None or rule.pattern.search(str(value)):
                        return rule.means, f"{card} = {value!r}"
        if rule.file and rule.file.search(stem):
            return rule.means, f"the file name {path.name!r}"
        if rule.folder and (folder := next(filter(rule.folder.search, folders), None)):
            return rule.means, f"the folder {folder!r}"
    for card, value in texts_of(headers, camera.kind_cards["type"]):
        if any(run.startswith("master") for run, _ in runs_of(value)):
            return "master", f"{card} = {value!r}"
    return None
