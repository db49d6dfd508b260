"""Check what a run has left: every product whole, made from what stands there now, none missing."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from daskred.blocks import block_tasks
from daskred.cameras import DETECTOR_OPTIONS, DetectorRules, read_camera
from daskred.errors import FrameError, RequestError
from daskred.execute import Executor, Workers, open_pool
from daskred.fitsfile import wrong_sum
from daskred.kernels.reject import Rejection
from daskred.night import open_night
from daskred.options import Options
from daskred.plan import Allowances, Plan
from daskred.planes import Extras
from daskred.planning import make_plan
from daskred.progress import Progress, Silent
from daskred.provenance import is_own
from daskred.runlog import LOG_NAME, read_log, undisturbed
from daskred.standing import (
    DARK_MODEL,
    MASK_FILE,
    Expected,
    expected_products,
    has_key,
    is_standing,
)
from daskred.storage import is_remote

_PER_TASK = 16
REJECTION_OPTIONS = {
    "method": "--reject",
    "low": "--reject-low",
    "high": "--reject-high",
    "iterations": "--reject-iterations",
    "centre": "--reject-centre",
    "scale": "--reject-scale",
}
_SUFFIXES = (".fits", ".fit", ".fts", ".gz", ".fz")
_OTHER = "was made from other frames, masters or options than stand there now"
_OLDER = "was made from other pixels than its frames or masters hold now"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a product.

    Parameters
    ----------
    product
        Its file, below the folder of products.
    reason
        What is wrong.
    before
        What has to be done with the file before the product can be made again: ``rm`` a product
        of ours, ``mv`` what is not ours, or nothing.
    """

    product: str
    reason: str
    before: Literal["", "rm", "mv"] = ""


@dataclass(frozen=True)
class Verification:
    """What a check of a folder of products found.

    Parameters
    ----------
    out
        The folder.
    n_expected
        How many products the plan of the last run wants.
    findings
        What is wrong.
    others
        Sound products of other runs, which the last run's plan does not have.
    frames
        Raw frames without a product, with the reason.
    mend
        The commands that mend what is wrong; empty where nothing is, or nothing can.
    """

    out: Path
    n_expected: int
    findings: tuple[Finding, ...]
    others: tuple[str, ...]
    frames: tuple[tuple[str, str], ...]
    mend: str


def _check_sums(products: Sequence[tuple[str, str]]) -> list[str]:
    """Return for each product, given by name and path, what is wrong with its bytes, or nothing."""
    reasons = []
    for _, path in products:
        try:
            reasons.append(wrong_sum(path))
        except FrameError as error:
            reasons.append(error.reason)
    return reasons


def _products(out: Path, plan: Plan, expected: Sequence[Expected]) -> list[tuple[str, str]]:
    """Return name and path of the products that stand, and of what stands in their place."""
    found = {one.product: out / one.product for one in expected if (out / one.product).exists()}
    raw = {frame.path for frame in plan.frames}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        named = path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
        named = named and path.name not in (DARK_MODEL, MASK_FILE)  # of other commands
        if named and name not in found and str(path) not in raw and is_own(path):
            found[name] = path
    return [(name, str(path)) for name, path in found.items()]


def _finding(name: str, path: Path, reason: str, raw: Collection[str]) -> Finding:
    """Return what is wrong with a file whose sums are, and what is to be done with it."""
    if str(path) in raw and not is_own(path):
        return Finding(name, "is a raw frame in the place of a product; rename one of them")
    if path.stat().st_size == 0:
        return Finding(name, "is empty")
    if not is_own(path):
        return Finding(name, f"daskred did not make it, or it is damaged: {reason}", "mv")
    return Finding(name, reason, "rm")


def verify(
    out: str | Path, workers: Workers | None = None, progress: Progress | None = None
) -> Verification:
    """Check every product of a folder against its own sums, and against the plan of the last run.

    Parameters
    ----------
    out
        The folder of products.
    workers
        Where sums are computed.
    progress
        Told how far it is.

    Raises
    ------
    RequestError
        When no run has written there, one is writing now, or the night is gone.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, reduce_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name + "/night", shape=(16, 16), n_darks=3, n_flats=3, n_science=2)
    >>> _ = reduce_night(open_night(folder.name + "/night"), folder.name + "/out")
    >>> found = verify(folder.name + "/out")
    >>> found.n_expected, found.findings
    (5, ())
    >>> folder.cleanup()
    """
    if is_remote(str(out)):
        raise RequestError(f"{out}: products lie in a folder of this machine; name one")
    out = Path(out).absolute()
    if not out.is_dir():
        raise RequestError(f"{out}: no run of daskred has written there: it is no folder")
    progress = progress or Silent()
    records = list(read_log(out))
    starts = [number for number, record in enumerate(records) if record["event"] == "run"]
    if not starts:
        raise RequestError(f"{out}: no run of daskred has written there ({LOG_NAME} tells of none)")
    request, later = records[starts[-1]], records[starts[-1] :]
    # Workers are forked while there are no other threads.
    with Executor(open_pool(workers or Workers())) as executor, undisturbed(out):
        plan, options = _planned(out, request, later)
        expected = list(expected_products(plan, options))
        products = _products(out, plan, expected)
        raw = {frame.path for frame in plan.frames}
        findings: dict[str, Finding] = {}
        paths = [path for _, path in products]
        progress.begin("Products", len(products), "files")
        for task, reasons in executor.run(block_tasks(_check_sums, products, paths, _PER_TASK)):
            for (name, path), reason in zip(task.items, reasons, strict=True):
                text = reason.reason if isinstance(reason, FrameError) else reason
                if text or (path in raw and not is_own(Path(path))):
                    findings[name] = _finding(name, Path(path), text, raw)
            progress.advance(len(reasons))
        progress.end()
        standing = {name for name, _ in products}
        for one in expected:
            if one.product not in standing:
                findings[one.product] = Finding(one.product, "is missing")
            elif one.product not in findings and not is_standing(one, out):
                findings[one.product] = Finding(
                    one.product, _OLDER if has_key(one, out) else _OTHER
                )
    found = tuple(findings[name] for name in sorted(findings))
    others = sorted(standing - {one.product for one in expected} - findings.keys())
    frames = tuple((entry.name, entry.reason) for entry in plan.left_out if entry.failed)
    mend = _mending(out, request, found)
    return Verification(out, len(expected), found, tuple(others), frames, mend)


def _planned(
    out: Path, request: Mapping[str, Any], later: Sequence[Mapping[str, Any]]
) -> tuple[Plan, Options]:
    """Make the plan of a run again, without the frames that it found to be unusable."""
    try:
        allow = Allowances(**request["allow"])
        options = Options(
            normalize=request["normalize"],
            normalize_amplifiers=request["normalize_amplifiers"],
            dtype=request["dtype"],
            processed_by=request["processed_by"],
            allow=allow,
            masters_only=request["masters_only"],
            combine=request["combine"],
            rejection=Rejection(**request["rejection"]),
            extras=Extras(**request["extras"]),
            scale=request["scale"],
            zero_level=request["zero_level"],
            weight=request["weight"],
            counts=request["counts"],
            compress=request["compress"],
        )
        detector = DetectorRules.of(request["detector"])
        kinds = [(kind, pattern) for kind, pattern in request["kinds"]]
        sources, folder, camera = request["sources"], request["folder"], request["camera"]
        lost = {
            record["path"]: FrameError(record["path"], record["reason"])
            for record in later
            if record["event"] == "left out" and record["failed"]
        }
    except (KeyError, TypeError, ValueError) as error:
        text = f"{out / LOG_NAME}: the last run was one of another version of daskred; run again"
        raise RequestError(text) from error
    try:
        with contextlib.chdir(folder):  # where its sources were named
            rules = replace(read_camera(camera), detector=detector)
            night = open_night(*sources, camera=rules, kinds=kinds)
    except (OSError, RequestError) as error:
        text = f"{out}: the night that its last run used cannot be opened any more: {error}"
        raise RequestError(text) from error
    usable = {frame.path for frame in night.raw}
    night = night.without(error for path, error in lost.items() if path in usable)
    return make_plan(night, allow), options


def _mending(out: Path, request: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """Return the commands that mend what is wrong."""
    if not findings:
        return ""
    command = ["daskred", "reduce", *request["sources"], "-o", str(out)]
    for option, default in (("normalize", "mode"), ("dtype", "float32"), ("processed_by", None)):
        if request[option] != default:
            command += [f"--{option.replace('_', '-')}", request[option]]
    if request["camera"]:
        command += ["--camera", request["camera"]]
    command += _detector_options(request)
    command += _combining_options(request)
    for kind, pattern in request["kinds"]:
        command += ["--kind", f"{kind}={pattern}"]
    switches = dict(request["allow"])
    switches |= {name: request[name] for name in ("masters_only", "normalize_amplifiers")}
    command += [f"--{name.replace('_', '-')}" for name, value in switches.items() if value]
    lines = [shlex.join(["cd", request["folder"]])]
    for one in findings:
        if one.before == "rm":
            lines.append(shlex.join(["rm", str(out / one.product)]))
        elif one.before == "mv":
            lines.append(shlex.join(["mv", str(out / one.product), f"{out / one.product}.away"]))
    return "\n".join([*lines, shlex.join(command)])


def _detector_options(request: Mapping[str, Any]) -> list[str]:
    """Return the options that say otherwise than the camera's file."""
    usual = asdict(read_camera(request["camera"]).detector)
    found: list[str] = []
    for name, value in request["detector"].items():
        option = f"{name.replace('_', '-')}"
        if name not in DETECTOR_OPTIONS or value == usual[name]:
            continue
        if isinstance(value, bool):
            found.append(f"--{option}" if value else f"--no-{option}")
        else:
            found += [f"--{option}", str(value)]
    return found


def _combining_options(request: Mapping[str, Any]) -> list[str]:
    """Return the options that tell how frames are combined, and what stands beside them."""
    found: list[str] = []
    if request["combine"] != Options().combine:
        found += ["--combine", request["combine"]]
    rejection, usual = request["rejection"], asdict(Rejection())
    for name, option in REJECTION_OPTIONS.items():
        if rejection[name] != usual[name]:
            found += [
                option,
                str(rejection[name]),
            ]
    for name in ("scale", "zero_level", "weight"):
        if request[name] != "none":
            found += [f"--{name.replace('_', '-')}", request[name]]
    extras = request["extras"]
    found += [f"--{name}" for name in ("mask", "uncertainty") if extras[name]]
    found += ["--counts"] if request["counts"] else []
    if extras["bad_pixels"]:
        found += ["--bad-pixels", extras["bad_pixels"]]
    if extras["cosmics"] != "no":
        found += ["--cosmics", extras["cosmics"]]
    if request["compress"] != "none":
        found += ["--compress", request["compress"]]
    return found
