"""Check what a run has left: every product whole, made from what stands there now, none missing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskred.blocks import block_tasks
from daskred.cameras import read_camera
from daskred.errors import FrameError, RequestError
from daskred.execute import Executor, Workers, open_pool
from daskred.fitsfile import read_first_header, wrong_sum
from daskred.night import open_night
from daskred.options import Options
from daskred.plan import Allowances, Plan
from daskred.planning import make_plan
from daskred.products import KEY_CARD
from daskred.progress import Progress, Silent
from daskred.runlog import LOG_NAME, is_held, read_log
from daskred.standing import expected_products, is_standing

_PER_TASK = 16
_SUFFIXES = (".fits", ".fit", ".fts")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a product.

    Parameters
    ----------
    product
        Its file, below the folder of products.
    reason
        What is wrong.
    in_the_way
        Whether the file must be removed before the product is made again.
    """

    product: str
    reason: str
    in_the_way: bool


@dataclass(frozen=True)
class Verification:
    """What a check of a folder of products found.

    Parameters
    ----------
    out
        The folder.
    n_products
        How many products stand there.
    n_expected
        How many the plan of the last run wants.
    findings
        What is wrong.
    frames
        Raw frames that no product can be made of, with the reason.
    mend
        The commands that mend what is wrong; empty where nothing is.
    """

    out: Path
    n_products: int
    n_expected: int
    findings: tuple[Finding, ...]
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


def _own_products(out: Path, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield name and path of each file that daskred made, or that stands where it would."""
    wanted = {master.product for master in plan.masters} | {one.product for one in plan.science}
    raw = {frame.path for frame in plan.frames}
    for path in sorted(out.rglob("*")):
        if path.suffix.lower() not in _SUFFIXES or path.name.startswith("."):
            continue
        name = path.relative_to(out).as_posix()
        if name in wanted or (str(path) not in raw and _is_own(path)):
            yield name, str(path)


def _is_own(path: Path) -> bool:
    try:
        return KEY_CARD in read_first_header(str(path))
    except FrameError:
        return False


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
    >>> found.n_products, found.n_expected, found.findings
    (5, 5, ())
    >>> folder.cleanup()
    """
    out = Path(out).absolute()
    progress = progress or Silent()
    request = next((r for r in reversed(list(read_log(out))) if r["event"] == "run"), None)
    if request is None:
        raise RequestError(f"{out}: no run of daskred has written there ({LOG_NAME} tells of none)")
    if is_held(out):
        raise RequestError(f"{out}: a run of daskred is writing there; wait for its end")
    # Workers are forked while there are no other threads.
    with Executor(open_pool(workers or Workers())) as executor:
        plan, options = _planned(request)
        products = list(_own_products(out, plan))
        paths = [path for _, path in products]
        findings = {}
        progress.begin("Products", len(products), "files")
        for task, reasons in executor.run(block_tasks(_check_sums, products, paths, _PER_TASK)):
            for (name, _), reason in zip(task.items, reasons, strict=True):
                text = reason.reason if isinstance(reason, FrameError) else reason
                if text:
                    findings[name] = Finding(name, text, in_the_way=True)
            progress.advance(len(reasons))
        progress.end()
    expected = list(expected_products(plan, options))
    standing = {name for name, _ in products}
    for one in expected:
        if one.product not in standing:
            findings[one.product] = Finding(one.product, "is missing", in_the_way=False)
        elif one.product not in findings and not is_standing(one, out):
            text = "was made from other frames, masters or options than stand there now"
            findings[one.product] = Finding(one.product, text, in_the_way=False)
    for name in sorted(standing - {one.product for one in expected} - findings.keys()):
        text = "belongs to no frame of the night that can be used now"
        findings[name] = Finding(name, text, in_the_way=True)
    found = tuple(findings[name] for name in sorted(findings))
    frames = tuple((entry.name, entry.reason) for entry in plan.left_out if entry.failed)
    mend = _mending(out, request, found)
    return Verification(out, len(products), len(expected), found, frames, mend)


def _planned(request: Mapping[str, Any]) -> tuple[Plan, Options]:
    """Make the plan of a run again, from what its log tells."""
    allow = Allowances(**request["allow"])
    options = Options(
        normalize=request["normalize"],
        dtype=request["dtype"],
        processed_by=request["processed_by"],
        allow=allow,
        masters_only=request["masters_only"],
    )
    night = open_night(
        *request["sources"],
        camera=read_camera(request["camera"]),
        kinds=[(kind, pattern) for kind, pattern in request["kinds"]],
    )
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
    for kind, pattern in request["kinds"]:
        command += ["--kind", f"{kind}={pattern}"]
    switches = {**request["allow"], "masters_only": request["masters_only"]}
    command += [f"--{name.replace('_', '-')}" for name, value in switches.items() if value]
    lines = []
    if away := [str(out / one.product) for one in findings if one.in_the_way]:
        lines.append(shlex.join(["rm", *away]))
    if not all(one.in_the_way and "no frame" in one.reason for one in findings):
        lines.append(shlex.join(command))
    return "\n".join(lines)
