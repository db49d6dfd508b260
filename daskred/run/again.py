"""The command that asks for a run again, of what its log tells."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from daskred.cameras.read import read_camera
from daskred.model.errors import RequestError
from daskred.night.configuration import find_configuration
from daskred.night.open import recognised_camera
from daskred.options import BY_NAME, DETECTOR, Options


def command_again(out: str | Path, request: Mapping[str, Any]) -> list[str]:
    """Return the words of the command, to be given in the folder where it was given.

    Parameters
    ----------
    out
        The folder of products, or their address.
    request
        What was asked for, as the log tells it.

    Raises
    ------
    RequestError, KeyError, TypeError
        When the camera's file is gone, or the run was one of another version.
    """
    usual = asdict(read_camera(request["camera"]).detector)
    detector = {
        name: value
        for name, value in request["detector"].items()
        if name in DETECTOR and value != usual[name]
    }
    # Those that tell where and how often it runs are for whoever gives the command.
    lasting = {
        name: value
        for name, value in Options(**request["options"]).given.items()
        if BY_NAME[name].group != "workers" and name != "overwrite"
    }
    # What headers tell need not be said; where they are gone, nobody knows.
    told, is_configured = None, False
    with contextlib.suppress(OSError, RequestError), contextlib.chdir(request["folder"]):
        told = recognised_camera(request["sources"]).source or "none"
        is_configured = find_configuration(request["sources"]) is not None
    camera = None if told == request["camera"] else request["camera"]
    asked = Options(**{**lasting, **detector, **request["choices"], "camera": camera})
    # What a configuration file says now is not what it said, or was overruled, then.
    without = ["--config", os.devnull] if is_configured else []
    return ["daskred", "reduce", *request["sources"], "-o", str(out), *without, *asked.words]
