"""The files of the masters that a correction names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from daskred.arrays.masterfiles import MasterFiles
from daskred.model.plan import Correction
from daskred.products.names import master_path


def files_of(out: Path, correction: Correction) -> MasterFiles:
    """Return the files of the masters that a correction names, below a folder of products."""

    def path(name: str | None) -> str | None:
        return str(master_path(out, name)) if name else None

    return MasterFiles(
        dark=path(correction.dark),
        bias=path(correction.bias),
        flat=path(correction.flat),
        scale=correction.dark_scale,
        terms=terms_of(out, correction.terms),
        written_ns=tuple(
            master_path(out, name).stat().st_mtime_ns
            for name in (*correction.masters, *((correction.zero,) if correction.zero else ()))
        ),
    )


def terms_of(out: Path, terms: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Return the files of masters, each with its factor in a sum."""
    return tuple((str(master_path(out, name)), factor) for name, factor in terms)
