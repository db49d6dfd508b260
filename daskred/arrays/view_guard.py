"""What keeps a notebook from using masters and frames that do not belong together.

Masters and opened frames carry what is known of them; arrays of which nobody knows anything are
taken on trust. The words are those of the command line: ``Options(allow=("offset",))``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from daskred.arrays.view_nodes import Labelled
from daskred.cameras.criteria import Criterion
from daskred.cameras.read import read_camera
from daskred.cameras.rules import Camera
from daskred.fits.hdus import read_hdus
from daskred.model.errors import RequestError
from daskred.model.frame import Facts, Frame
from daskred.model.option import nearest
from daskred.model.plan import MasterKind
from daskred.night.describe import telling_headers
from daskred.night.facts import facts_of
from daskred.night.groups import base_name, common_facts, criteria_of_frames, criteria_of_use
from daskred.night.times import date_text, span_of
from daskred.options import Options

if TYPE_CHECKING:
    import xarray as xr

KIND, MASTER, INPUTS = "kind", "master", "inputs"
EXPOSURE = "exposure time"
_PLAIN = ("exptime_s", "dark_time_s", "filter", "camera", "set_temp_c", "ccd_temp_c")


@cache
def _rules() -> Camera:
    return read_camera()


def attributes_of(kind: MasterKind, frames: Sequence[Frame]) -> dict[str, Any]:
    """Return what is known of a master of some frames, as plain values."""
    about = _made_of(kind, [frame.path for frame in frames], common_facts(frames))
    if span := span_of(frames):
        about |= {"date_beg": date_text(span[0]), "date_end": date_text(span[1])}
    return about


def _made_of(kind: MasterKind, paths: Sequence[str], facts: Facts) -> dict[str, Any]:
    """Return what a master is called, what it is made of, and what these have in common."""
    known = {KIND: kind, INPUTS: "\n".join(paths), **_as_attributes(facts)}
    if kind == "dark" and facts.dark_exposure_s is None:
        return known
    return {MASTER: base_name(kind, facts), **known}


def attributes_of_file(path: str) -> dict[str, Any]:
    """Return what is known of a master that a run has written."""
    name = Path(path).name.lower()
    kinds = [kind for kind in get_args(MasterKind) if name.startswith(f"master{kind}")]
    if not kinds:
        return {}
    facts = facts_of(path, telling_headers(read_hdus(path)), _rules())
    return {KIND: kinds[0], **_as_attributes(facts)}


def _as_attributes(facts: Facts) -> dict[str, Any]:
    known = {name: getattr(facts, name) for name in _PLAIN} | dict(facts.settings)
    if facts.binning:
        known["binning"] = "x".join(map(str, facts.binning))
    return {name: value for name, value in known.items() if value is not None}


def _facts(attributes: Mapping[str, Any]) -> Facts:
    """Return what attributes, or the coordinates of one frame, tell."""
    given = {name: attributes[name] for name in _PLAIN if attributes.get(name) not in (None, "")}
    given = {n: float(v) if n.endswith(("_s", "_c")) else str(v) for n, v in given.items()}
    given = {n: v for n, v in given.items() if not (isinstance(v, float) and np.isnan(v))}
    binning = str(attributes.get("binning", "")).split("x")
    if len(binning) == 2:
        given["binning"] = (int(binning[0]), int(binning[1]))
    names = {criterion.fact for criterion in _rules().criteria} - set(_PLAIN) - {"binning"}
    settings = tuple((name, str(attributes[name])) for name in names if attributes.get(name))
    return Facts(**given, settings=settings)


def attributes_of_array(kind: MasterKind, stack: xr.DataArray) -> dict[str, Any]:
    """Return what is known of a master of an array of frames: as much as its first one tells."""
    known = _known(stack)
    if not known:
        return {}
    return _made_of(kind, [path for path, *_ in known], known[0][2])


def title_of(role: str, master: Labelled) -> str:
    """Return what a master is called, in headers of what it calibrates."""
    about = _attributes(master)
    return str(about.get(MASTER) or getattr(master, "name", None) or f"master_{role}")


def is_known(given: Sequence[Frame] | xr.DataArray) -> bool:
    """Whether anything is known of frames, as it is not of a mere array."""
    return bool(_known(given))


def check_inputs(kind: MasterKind, given: Sequence[Frame] | xr.DataArray, options: Options) -> None:
    """Raise RequestError where frames of a master differ in what must agree.

    Raises
    ------
    RequestError
        Naming two frames and what they differ in.
    """
    _check_allowed(options)
    known = _known(given)
    wanted = "science" if kind == "sky" else kind
    for name, known_kind, _ in known:
        if known_kind not in ("", "unknown", wanted) and KIND not in options.allow:
            text = f"{name} is no {wanted} frame, but {known_kind}"
            raise RequestError(f"master_{kind}: {text}; {_way_out(KIND)}")
    criteria = [c for c in criteria_of_frames(kind, _rules()) if c.differs == "refuse"]
    for name, _, facts in known[1:]:
        first, _, usual = known[0]
        if difference := _difference(usual, facts, criteria, kind == "dark", options):
            text = f"{name} and {first} differ in {difference[1]}"
            raise RequestError(f"master_{kind}: {text}; {_way_out(difference[0])}")


def check_master(
    role: str, master: Labelled, targets: Sequence[Frame] | xr.DataArray, options: Options
) -> None:
    """Raise RequestError where a master does not go with the frames that it shall calibrate.

    Parameters
    ----------
    role
        ``dark``, ``flat``, ``bias`` or ``sky``: what it is used as.
    master
        The master; one of which nobody knows anything is taken on trust.
    targets
        The frames.
    options
        What is allowed.
    """
    _check_allowed(options)
    _check_places(role, master, targets)
    about = _attributes(master)
    if KIND not in about:
        return
    kind = str(about[KIND])
    bias_alone = role == "dark" and kind == "bias"
    if bias_alone and not options.missing_dark and KIND not in options.allow:
        text = "the dark is a master bias; Options(missing_dark=True) subtracts it alone"
        raise RequestError(text)
    if kind != role and not bias_alone and KIND not in options.allow:
        raise RequestError(f"the {role} is a master {kind}; {_way_out(KIND)}")
    theirs = _facts(about)
    criteria = [c for c in criteria_of_use(kind, _rules()) if c.differs == "refuse"]
    for name, _, facts in _known(targets):
        if difference := _difference(facts, theirs, criteria, kind == "dark", options):
            text = f"the {role} does not go with {name}: it has {difference[1]}"
            raise RequestError(f"{text}; {_way_out(difference[0])}")


def _check_allowed(options: Options) -> None:
    names = [KIND, EXPOSURE, *(criterion.name for criterion in _rules().criteria)]
    for name in options.allow:
        if name not in names:
            raise RequestError(f"allow={name!r}: {nearest(name, names)}")


def _check_places(role: str, master: Labelled, targets: Sequence[Frame] | xr.DataArray) -> None:
    """Raise RequestError where pixels of a master and of frames do not lie at the same places."""
    for axis in ("y", "x"):
        places = [_places(labelled, axis) for labelled in (master, targets)]
        if not any(place is None for place in places) and not np.array_equal(*places):
            raise RequestError(f"the {role} and the frames do not lie on each other along {axis}")


def _places(labelled: Any, axis: str) -> Any:
    """Return where pixels lie along an axis; None of what does not tell it."""
    known = hasattr(labelled, "coords") and axis in labelled.coords
    return labelled.coords[axis].values if known else None


def check_raw(science: xr.DataArray, masters: Iterable[str]) -> None:
    """Raise RequestError where frames are calibrated already by such masters."""
    for name in masters:
        if science.attrs.get(name):
            text = f"the frames are calibrated already: {name} {science.attrs[name]}"
            raise RequestError(text)


def _attributes(master: Labelled) -> Mapping[str, Any]:
    if isinstance(master, Mapping) and not hasattr(master, "attrs"):  # of each image one
        return _attributes(next(iter(master.values()))) if master else {}
    attributes: Mapping[str, Any] = getattr(master, "attrs", {})
    if KIND not in attributes and hasattr(master, "data_vars"):
        return next((plane.attrs for plane in master.data_vars.values()), {})
    return attributes


def _known(given: Sequence[Frame] | xr.DataArray) -> list[tuple[str, str, Facts]]:
    """Return name, kind and facts of each frame, as far as they are known."""
    import xarray as xr

    if not isinstance(given, xr.DataArray):
        return [(frame.name, frame.kind, frame.facts) for frame in given]
    if "file" not in given.coords or KIND not in given.coords:
        return []
    columns = {str(n): c.values for n, c in given.coords.items() if c.dims == ("frame",)}
    rows = [
        {name: column[n] for name, column in columns.items()} for n in range(given.sizes["frame"])
    ]
    return [(str(row["file"]), str(row[KIND]), _facts(row)) for row in rows]


def _difference(
    wanted: Facts, found: Facts, criteria: Iterable[Criterion], timed: bool, options: Options
) -> tuple[str, str] | None:
    """Return the first criterion in which two differ, and how."""
    first, second = wanted.dark_exposure_s, found.dark_exposure_s
    known = timed and first is not None and second is not None and EXPOSURE not in options.allow
    if known and not _rules().same_exptime(first or 0.0, second or 0.0):
        return EXPOSURE, f"{EXPOSURE} {second:g} s, not {first:g} s"
    for criterion in criteria:
        if criterion.name in options.allow:
            continue
        mine, theirs = wanted.value(criterion.fact), found.value(criterion.fact)
        if text := criterion.difference(mine, theirs):
            return criterion.name, text
    return None


def _way_out(name: str) -> str:
    return f"Options(allow=({name!r},)) goes by it"
