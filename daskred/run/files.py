"""The files of the masters that calibrate frames, below a folder of products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from daskred.arrays.masterfiles import MasterFiles
from daskred.model.plan import Correction
from daskred.products.expected import masters_of
from daskred.products.names import master_path
from daskred.products.provenance import read_content


def files_of(out: Path, correction: Correction) -> MasterFiles:
    """Return the files of the masters that a correction names."""

    def path(name: str | None) -> str | None:
        return str(master_path(out, name)) if name else None

    names = [*correction.masters, *([correction.zero] if correction.zero else [])]
    return MasterFiles(
        dark=path(correction.dark),
        bias=path(correction.bias),
        flat=path(correction.flat),
        illumination=path(correction.illumination),
        fringe=path(correction.fringe),
        shutter=(str(master_path(out, correction.shutter[0])), correction.shutter[1])
        if correction.shutter
        else None,
        scale=correction.dark_scale,
        terms=_weighted_files(out, correction.terms),
        window=correction.window,
        written_ns=tuple(master_path(out, name).stat().st_mtime_ns for name in names),
    )


def calibration_files(
    out: Path, correction: Correction, uncertain: bool, above_bias: bool = False
) -> MasterFiles:
    """Return these files with what uncertainties and the digests of products need.

    Parameters
    ----------
    out
        The folder of products.
    correction
        Names the masters.
    uncertain
        Whether uncertainties are wanted.
    above_bias
        Whether the frames are less their bias level already, as by their overscan.
    """
    zero = correction.zero or correction.bias or (None if above_bias else correction.dark)
    masters = masters_of(correction.masters, [correction], uncertain)
    return replace(
        files_of(out, correction),
        zero=str(master_path(out, zero)) if zero else None,
        zero_terms=_weighted_files(out, correction.zero_terms),
        contents=contents_of(out, masters),
    )


def contents_of(out: Path, masters: Sequence[str]) -> tuple[str, ...]:
    """Return for each master the digest of what it was made from."""
    return tuple(read_content(master_path(out, name)) for name in masters)


def _weighted_files(out: Path, terms: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Return the files of masters, each with its factor in a sum."""
    return tuple((str(master_path(out, name)), factor) for name, factor in terms)
