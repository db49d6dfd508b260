"""Reduce a night: make a plan, carry it out into a folder, and say what became of every frame.

What begins and ends a run stands together here, which makes the file a little longer than others.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from daskred import __version__
from daskred.arrays.calibrated import check_science_options
from daskred.engine.executor import Executor, Workers, active_client, open_pool
from daskred.engine.progress import Progress, Silent
from daskred.fits.copies import keeping_copies
from daskred.fits.parts import part_in
from daskred.fits.remote import is_remote
from daskred.model.errors import (
    FallsApartError,
    FrameError,
    FramesError,
    NoSkyError,
    RequestError,
    RunError,
)
from daskred.model.frame import Kind
from daskred.model.plan import MASTERS_FOLDER, LeftOut, Plan
from daskred.model.receipt import Receipt
from daskred.night.open import Night, NightOrFolder, as_night
from daskred.night.plan import make_plan
from daskred.options import Options
from daskred.products.library import with_given
from daskred.products.log import ALL_DONE, LoggedProgress, RunLog, last_run
from daskred.products.names import folder_of_products
from daskred.products.places import Place, products_at
from daskred.run.budget import Budget, budget, needs_of
from daskred.run.checks import (
    check_detector,
    check_plan,
    check_same_night,
    check_space,
    check_sum,
    roots_of,
    with_known_noise,
    with_last_name,
)
from daskred.run.folders import folders_of, remove_parts
from daskred.run.levels import odd_levels
from daskred.run.neighbours import standing_out
from daskred.run.run import Run
from daskred.run.summary import Summary
from daskred.run.witness import wrong_sums

# On a cluster each worker is asked whether it has what a task needs; here nothing is cut short.
_ROOMY_BYTES = 10**12


def reduce_night(
    night: NightOrFolder,
    out: str | Path,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Make a night's masters, and calibrate its science frames.

    Writes ``OUT/masters/*.fits`` and the calibrated frames, each atomically. What stands there
    already, made from the same inputs in the same way, is not made again. A frame whose pixels
    turn out to be unusable is left out, and what it would have gone into is made without it.

    Parameters
    ----------
    night
        The classified frames, or the folder that they are in.
    out
        The folder of products; or an address, as ``s3://bucket/out``, where each is put when it is
        made: `daskred.products.places` tells how.
    options
        How.
    progress
        Told how far it is.

    Raises
    ------
    RequestError
        When there is nothing to do, or ``out`` cannot be written; nothing is written then.
    RunError
        When the run has to stop, as on a full disk; what is done stays.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name, shape=(16, 16), n_darks=3, n_flats=3, n_science=2)
    >>> summary = reduce_night(open_night(folder.name), folder.name + "/out")
    >>> [receipt.product for receipt in summary.masters]
    ['masters/MasterDark_10s.fits', 'masters/MasterDark_3s.fits', 'masters/MasterFlat_BG40.fits']
    >>> len(summary.science), summary.failed
    (2, ())
    >>> folder.cleanup()
    """
    options = options or Options()
    progress = progress or Silent()
    with products_at(out, progress) as products:
        return _reduced(as_night(night, options), products, options, progress)


def _reduced(night: Night, products: Place, options: Options, progress: Progress) -> Summary:
    start = time.monotonic()
    out = products.folder
    check_detector(night, options)
    night = with_given(night, options)
    plan = make_plan(night, options)
    check_plan(plan, options.masters_only)
    check_sum(plan, options)
    wanted, options = options, with_known_noise(plan, options, progress)
    check_science_options(options)
    before = last_run(out)
    options = with_last_name(before, options)
    client = _cluster_client(options)
    memory = plan_memory(plan, options, on_cluster=client is not None)
    needed_bytes = check_space(out, plan, options, memory.n_workers)
    if not options.overwrite:
        check_same_night(before, out, night, plan, options)
    out = folder_of_products(out)
    folders = folders_of(out, plan)
    guard = part_in(out)
    # Workers are forked before the folder is held, and end before it is let go of.
    with (
        _copies(out, plan, needed_bytes, on_cluster=client is not None),
        _executor(client, plan, options, memory, guard, progress) as executor,
        RunLog(out, options.log_level) as log,
    ):
        # Another run may have ended since, before the folder was held.
        log.begin(_request(night, plan, options), last_run(out))
        told = LoggedProgress(progress, log)
        if not log.locked:
            progress.say(f"{out}: its file system has no locks; let no other run write there")
        run = Run(products, options, executor, told, log, memory.tile_bytes, guard)
        outcome, summary = "failed", None
        try:
            removed, _ = remove_parts(folders)
            if removed:
                log.write("removed", unfinished=removed)
            guard.touch()
            plan, masters, science = _carried_out(run, night, plan, options, told)
            named = _worth_a_look(out, plan, (masters, science), options, executor, told)
            if wanted.uncertainty and not options.uncertainty:
                named += ("products have no uncertainties: gain or read noise is not told",)
            for text in plan.warnings:
                log.write("warning", text=text)
            for text in named:
                log.write("worth a look", text=text)
            seconds = time.monotonic() - start
            summary = Summary(out, plan, masters, science, seconds, named, products.address)
            outcome = "some frames failed" if summary.failed else ALL_DONE
        except (RequestError, RunError) as error:
            outcome = str(error)
            raise
        except KeyboardInterrupt:
            outcome = "interrupted"
            progress.say(_interrupted(run, out))
            raise
        finally:
            try:
                executor.close(at_once=summary is None)
            finally:  # also where Ctrl-C comes once more
                left = _cleaned_up(folders, progress)
                # What a full disk has stopped is told to the user, if not to the log.
                with contextlib.suppress(OSError):
                    for entry in _all_left_out(plan, run):
                        log.left_out(entry)
                    if left:
                        log.write("left behind", unfinished=left)
                    log.end(outcome, **_throughput(run, time.monotonic() - start))
                    if options.sync:
                        log.sync()
    return summary


def _cleaned_up(folders: Sequence[Path], progress: Progress) -> list[str]:
    """Remove what is unfinished; return, and tell, what could not be removed."""
    _, left = remove_parts(folders)
    for text in left:
        progress.say(f"{text}; the next run removes what is unfinished there")
    return left


def _worth_a_look(
    out: Path,
    plan: Plan,
    receipts: tuple[Sequence[Receipt], Sequence[Receipt]],
    options: Options,
    executor: Executor,
    told: LoggedProgress,
) -> tuple[str, ...]:
    """Return what is worth a look, though nothing was left out for it."""
    masters, science = receipts
    products = [*zip(plan.masters, masters, strict=True)]
    used = [member.frame for master, made in products if made.made for member in master.inputs]
    if science:
        products_of_science = zip(plan.science, science, strict=True)
        used += [item.frame for item, made in products_of_science if made.made]
    named = odd_levels(plan, out) + wrong_sums(used, options, executor, told)
    return (*named, *(standing_out(plan.science, science, options) if science else ()))


def workers_of(options: Options) -> Workers:
    """Return where tasks run."""
    kind: Literal["auto", "processes", "threads"] = "auto"
    if options.processes or options.threads:
        kind = "processes" if options.processes else "threads"
    return Workers(options.workers, kind, options.scheduler, options.time_limit)


def _cluster_client(options: Options) -> Any:
    """Return a client of the cluster that was asked for, or of the one that a notebook uses."""
    if options.scheduler is None:
        chosen = options.workers or options.processes or options.threads
        return None if chosen else active_client()
    from daskred.engine.cluster import connect

    return connect(options.scheduler)


def _copies(
    out: Path, plan: Plan, needed_bytes: int, on_cluster: bool
) -> contextlib.AbstractContextManager[None]:
    """Keep copies of remote frames beside the products; workers elsewhere read parts of them."""
    if on_cluster or not any(is_remote(frame.path) for frame in plan.frames):
        return contextlib.nullcontext()
    return keeping_copies(out, needed_bytes)


def _executor(
    client: Any, plan: Plan, options: Options, memory: Budget, guard: Path, progress: Progress
) -> Executor:
    """Start workers here, or look at those of the cluster: those that come late, too."""
    workers = workers_of(options)
    if client is None:
        affordable = replace(workers, count=min(workers.number, memory.n_workers))
        return Executor(open_pool(affordable), workers.time_limit_s)
    from daskred.engine.cluster import ClusterPool
    from daskred.run.cluster import check_workers, needs_of_work

    paths = [frame.path for frame in plan.frames]
    needs = needs_of_work(guard.parent, guard.name, paths, memory.needed_bytes)
    pool = ClusterPool(client, workers.scheduler is not None, needs.lack, progress.say)
    try:
        check_workers(client, guard.parent, paths, memory.needed_bytes, progress.say)
    except BaseException:
        pool.close(at_once=True)
        raise
    progress.say(f"{pool.n_workers} workers of the cluster; dashboard: {client.dashboard_link}")
    return Executor(pool, workers.time_limit_s)


def _all_left_out(plan: Plan, run: Run) -> Iterator[LeftOut]:
    """Yield why frames are not used, also where the run stopped before it made another plan."""
    yield from plan.left_out
    told = {entry.path for entry in plan.left_out}
    names = {frame.path: frame.name for frame in plan.frames}
    for error in run.failures:
        if error.path not in told:
            yield LeftOut(error.path, names[error.path], error.reason, failed=True)


def _request(night: Night, plan: Plan, options: Options) -> dict[str, Any]:
    """Return what was asked for, as plain data: enough to ask for it again."""
    return {
        "version": __version__,
        "host": platform.node(),
        "process": os.getpid(),
        "sources": list(night.sources),
        "folder": night.folder,
        "roots": sorted(roots_of(night)),
        "choices": {name: list(words) for name, words in night.choices.words.items()},
        "camera": night.camera.source or "none",
        "detector": asdict(night.camera.detector),
        "options": options.given,
        "n_frames": len(plan.frames) + night.n_done,
        "n_masters": len(plan.masters),
        "n_science": 0 if options.masters_only else len(plan.science) + night.n_done,
    }


def _throughput(run: Run, seconds: float) -> dict[str, Any]:
    """Return what the run made, and how fast."""
    made = [receipt for receipt in run.receipts if receipt.made]
    n_bytes = sum(receipt.n_bytes for receipt in made)
    return {
        "n_made": len(made),
        "n_there": len(run.receipts) - len(made),
        "bytes": n_bytes,
        "seconds": round(seconds, 3),
        "products_per_second": round(len(made) / seconds, 3) if seconds else None,
        "megabytes_per_second": round(n_bytes / seconds / 1e6, 3) if seconds else None,
    }


def _interrupted(run: Run, out: Path) -> str:
    """Say what is done where a run is interrupted."""
    n_masters = sum(receipt.product.startswith(f"{MASTERS_FOLDER}/") for receipt in run.receipts)
    n_science = len(run.receipts) - n_masters
    return (
        f"interrupted; {n_masters} masters and {n_science} science frames stand in {out},"
        " the same command goes on from there"
    )


def _carried_out(
    run: Run, night: Night, plan: Plan, options: Options, told: LoggedProgress
) -> tuple[Plan, tuple[Receipt, ...], tuple[Receipt, ...]]:
    """Carry out a plan, and make it again without the frames that turn out to be unusable."""
    lost: list[FrameError] = []
    while True:
        try:
            masters, science = run.carry_out(plan)
            if options.sync:
                run.sync_folders()
        except NoSkyError as error:
            told.no_sky(error.errors)
            night = night.showing_no_sky(error.errors)
            plan = make_plan(night, options)
        except (FrameError, FramesError) as error:
            apart = _told_apart(night, error, lost, told)
            if apart is None:
                lost += error.errors if isinstance(error, FramesError) else [error]
                night = _without(night, error)
            else:
                night = apart
            plan = make_plan(night, options)
        except OSError as error:
            raise RunError(
                f"stopped: {error.filename or 'a product'}: {error.strerror or error};"
                " what is done stays, the same command goes on from there"
            ) from error
        else:
            return plan, masters, science


def _told_apart(
    night: Night, error: FrameError | FramesError, lost: Sequence[FrameError], told: LoggedProgress
) -> Night | None:
    """Return the night with a master of each sort of frames; None where nothing tells them apart.

    It is the first card in which they differ, if all frames that may need them have it too.
    """
    if not isinstance(error, FallsApartError):
        return None
    known = [criterion.name for criterion in night.camera.criteria]
    for card in error.cards:
        if card in known:
            continue
        again = night.telling_apart(card).without(lost)
        needing = [frame for kind in _NEEDING for frame in again.select(kind)]
        if all(frame.facts.value(card) is not None for frame in needing):
            told.tell_apart(card, [e.path for e in error.errors])
            return again
    return None


_NEEDING: tuple[Kind, ...] = ("bias", "dark", "flat", "science")


def plan_memory(
    plan: Plan, options: Options, on_cluster: bool = False, measured_bytes: int = 0
) -> Budget:
    """Return how a plan fits into memory; on a cluster, into that of one worker.

    Parameters
    ----------
    plan, options
        What is done, and how.
    on_cluster
        Whether it is done there.
    measured_bytes
        What is held of each pixel of a frame when masters have been made.

    Raises
    ------
    RequestError
        When it does not.
    """
    frames = [item.frame for item in plan.science]
    frames += [member.frame for master in plan.masters for member in master.inputs]
    corrections = [item.correction for item in plan.science]
    corrections += [item.correction for master in plan.masters for item in master.inputs]
    return budget(
        frames,
        max((len(master.inputs) for master in plan.masters), default=1),
        1 if on_cluster else workers_of(options).number,
        options.memory or (_ROOMY_BYTES if on_cluster else None),
        needs_of(
            options,
            any(correction.dark_scale != 1 or correction.terms for correction in corrections),
            measured_bytes,
        ),
    )


def _without(night: Night, error: FrameError | FramesError) -> Night:
    """Return the night without frames, or borrowed masters, that failed; others stop the run."""
    errors = list(error.errors) if isinstance(error, FramesError) else [error]
    borrowed = {master.inputs[0].frame.path for master in night.given}
    night = night.without_given([error for error in errors if error.path in borrowed])
    errors = [error for error in errors if error.path not in borrowed]
    usable = {frame.path for frame in night.raw}
    for error in errors:
        if error.path not in usable:
            raise RunError(f"stopped: {error}") from error
    return night.without(errors)
