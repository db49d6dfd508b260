"""Check what a run has left: every product whole, made from what stands there now, none missing."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from daskred.arrays.frames import frame_tasks
from daskred.cameras.read import read_camera
from daskred.cameras.rules import DetectorRules
from daskred.engine.executor import Executor, Workers, open_pool
from daskred.engine.progress import Progress, Silent
from daskred.fits.names import split_name
from daskred.fits.sums import wrong_sum
from daskred.model.errors import FrameError, RequestError
from daskred.model.plan import MASTERS_FOLDER, Plan
from daskred.night.choices import Choices
from daskred.night.open import Night, open_night
from daskred.night.plan import make_plan
from daskred.options import Options
from daskred.products.expected import Expected, expected_products, has_key, is_up_to_date
from daskred.products.library import with_given
from daskred.products.log import LOG_NAME, read_runs, undisturbed
from daskred.products.names import DARK_MODEL, MASK_FILE
from daskred.products.places import Place, products_at
from daskred.products.provenance import is_own
from daskred.run.again import command_again

_PER_TASK = 16
_OTHER = "was made from other frames, masters or options than stand there now"
_NOT_THERE = "stands in its copy on this machine, and not as it is there at the address"
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
    address
        Where the products lie, where that is not the folder.

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name + "/night", shape=(16, 16), n_darks=3, n_flats=2)
    >>> _ = daskred.reduce_night(folder.name + "/night", folder.name + "/out")
    >>> daskred.verify(folder.name + "/out").findings
    ()
    >>> folder.cleanup()
    """

    out: Path
    n_expected: int
    findings: tuple[Finding, ...]
    others: tuple[str, ...]
    frames: tuple[tuple[str, str], ...]
    mend: str
    address: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return what was found as plain data, ready for JSON."""
        return {
            "out": self.address or str(self.out),
            "expected": self.n_expected,
            "wrong": [{"product": f.product, "reason": f.reason} for f in self.findings],
            "without product": [{"name": name, "reason": reason} for name, reason in self.frames],
            "of other runs": list(self.others),
            "mend": self.mend,
        }


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
    found = {
        product.product: out / product.product
        for product in expected
        if (out / product.product).exists()
    }
    raw = {frame.path for frame in plan.frames}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        named = split_name(path.name) is not None and not path.name.startswith(".")
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
    out: str | Path, workers: int | None = None, progress: Progress | None = None
) -> Verification:
    """Check every product of a folder against its own sums, and against the plan of the last run.

    Parameters
    ----------
    out
        The folder of products, or their address.
    workers
        How many sums are computed at once; None for as many as there are processors.
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
    progress = progress or Silent()
    with products_at(out, progress, will_write=False) as place:
        return _verified(place, workers, progress)


def _verified(place: Place, workers: int | None, progress: Progress) -> Verification:
    out = place.folder
    records, starts = read_runs(out)
    request, later = records[starts[-1]], records[starts[-1] :]
    # Workers are forked while there are no other threads.
    with Executor(open_pool(Workers(workers))) as executor, undisturbed(out):
        plan, options = _planned(out, request, later)
        expected = list(expected_products(plan, options))
        products = _products(out, plan, expected)
        raw = {frame.path for frame in plan.frames}
        findings: dict[str, Finding] = {}
        paths = [path for _, path in products]
        progress.begin("Products", len(products), "files")
        for task, reasons in executor.run(
            frame_tasks("sums", products, paths, _PER_TASK, _check_sums)
        ):
            for (name, path), reason in zip(task.items, reasons, strict=True):
                text = reason.reason if isinstance(reason, FrameError) else reason
                if text or (path in raw and not is_own(Path(path))):
                    findings[name] = _finding(name, Path(path), text, raw)
            progress.advance(len(reasons))
        progress.end()
        products_found = {name for name, _ in products}
        for product in expected:
            if product.product not in products_found:
                findings[product.product] = Finding(product.product, "is missing")
            elif product.product not in findings and not is_up_to_date(product, out):
                findings[product.product] = Finding(
                    product.product, _OLDER if has_key(product, out) else _OTHER
                )
            elif product.product not in findings and place.lacks(product.product):
                findings[product.product] = Finding(product.product, _NOT_THERE)
    found = tuple(findings[name] for name in sorted(findings))
    others = sorted(products_found - {entry.product for entry in expected} - findings.keys())
    frames = tuple((entry.name, entry.reason) for entry in plan.left_out if entry.failed)
    mend = _mending(place, request, found)
    return Verification(out, len(expected), found, tuple(others), frames, mend, place.address)


def _planned(
    out: Path, request: Mapping[str, Any], later: Sequence[Mapping[str, Any]]
) -> tuple[Plan, Options]:
    """Make the plan of a run again, without the frames that it found to be unusable."""
    try:
        options = Options(**request["options"])
        detector = DetectorRules.of(request["detector"])
        choices = Choices.of(request["choices"])
        sources, folder, camera = request["sources"], request["folder"], request["camera"]
        lost = {
            record["path"]: FrameError(record["path"], record["reason"])
            for record in later
            if record["event"] == "left out" and record["failed"]
        }
        no_sky = [
            FrameError(record["path"], record["reason"])
            for record in later
            if record["event"] == "no sky"
        ]
    except (KeyError, TypeError, ValueError, RequestError) as error:
        text = f"{out / LOG_NAME}: the last run was one of another version of daskred; run again"
        raise RequestError(text) from error
    try:
        with contextlib.chdir(folder):  # where its sources were named
            rules = replace(read_camera(camera), detector=detector)
            cards = [record["card"] for record in later if record["event"] == "told apart"]
            rules = rules.telling_apart([*options.tell_apart, *cards])
            night = open_night(*sources, camera=rules, **choices.arguments)
            night = _with_copies(night, options, out)
    except (OSError, RequestError) as error:
        text = f"{out}: the night that its last run used cannot be opened any more: {error}"
        raise RequestError(text) from error
    usable = {frame.path for frame in night.raw}
    night = night.without(error for path, error in lost.items() if path in usable)
    night = night.showing_no_sky(error for error in no_sky if error.path in usable)
    return make_plan(night, options), options


def _with_copies(night: Night, options: Options, out: Path) -> Night:
    """Return a night with the masters that it has borrowed: their copies, wherever others are."""
    masters = out / MASTERS_FOLDER
    if options.library and masters.is_dir():
        options = options.but(library=str(masters))
    return with_given(night, options)


def _mending(place: Place, request: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """Return the commands that mend what is wrong."""
    if not findings:
        return ""
    out = place.folder
    lines = [shlex.join(["cd", request["folder"]])]
    for finding in findings:
        if finding.before == "rm":
            lines.append(shlex.join(["rm", str(out / finding.product)]))
        elif finding.before == "mv":
            lines.append(
                shlex.join(["mv", str(out / finding.product), f"{out / finding.product}.away"])
            )
    return "\n".join([*lines, shlex.join(command_again(place.address or out, request))])
