"""What a run did as a file for Prometheus: the text collector of node_exporter reads it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from daskred.fits.parts import write_whole
from daskred.model.errors import RequestError, RunError
from daskred.products.provenance import check_own_text
from daskred.run.summary import Summary

_BEGIN = "# HELP daskred_last_run"


def metrics_text(status: int, summary: Summary | None, ended_s: float) -> str:
    """Return the last run in Prometheus' text format.

    Parameters
    ----------
    status
        The exit status.
    summary
        What was done; None where the run was refused or stopped.
    ended_s
        When it ended, seconds since 1970.

    Examples
    --------
    >>> print(metrics_text(2, None, 1.7e9).splitlines()[2])
    daskred_last_run_status 2
    """
    return "".join(f"{line}\n" for line in _lines(status, summary, ended_s))


def _lines(status: int, summary: Summary | None, ended_s: float) -> Iterator[str]:
    yield from _metric("status", "Exit status of the last run; 0: all done.", {"": status})
    yield from _metric("end_seconds", "When it ended, since 1970.", {"": round(ended_s, 3)})
    if summary is None:
        return
    known = summary.to_dict()
    yield from _metric("seconds", "How long it took.", {"": known["seconds"]})
    yield from _metric("bytes", "Bytes of products that were made.", {"": known["bytes"]})
    yield from _metric("failed", "Frames that failed, of all kinds.", {"": len(known["failed"])})
    for what, title in (("masters", "Masters"), ("science", "Science frames")):
        values = {f'{{outcome="{name}"}}': number for name, number in known[what].items()}
        yield from _metric(what, f"{title}, by what became of them.", values)


def _metric(name: str, title: str, values: dict[str, float]) -> Iterator[str]:
    name = f"daskred_last_run_{name}"
    yield f"# HELP {name} {title}"
    yield f"# TYPE {name} gauge"
    for labels, value in values.items():
        yield f"{name}{labels} {value}"


def check_metrics(path: Path) -> None:
    """Raise RequestError where a file of others would be replaced, or nothing can be written."""
    if not os.access(path.parent, os.W_OK | os.X_OK):
        text = "its folder is not there, or cannot be written"
        raise RequestError(f"--metrics {path}: {text}")
    check_own_text(path, _BEGIN)


def write_metrics(path: Path, status: int, summary: Summary | None) -> None:
    """Write the file whole, as its readers want it.

    Raises
    ------
    RunError
        When it cannot be written.
    """
    try:
        write_whole(path, metrics_text(status, summary, time.time()).encode(), sync=False)
    except OSError as error:
        text = f"--metrics {path}: cannot be written: {error.strerror}; what is done stays"
        raise RunError(text) from error
