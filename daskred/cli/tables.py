"""The tables and summaries that commands print on stdout."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from rich.table import Table

from daskred.cli.terminal import escape, stderr, stdout, typed
from daskred.model.plan import Correction, LeftOut, Plan, shape_text
from daskred.model.text import cut_in_the_middle, first_and_last
from daskred.run.budget import MB, Budget
from daskred.run.summary import Summary

if TYPE_CHECKING:
    from daskred.measure.bad_pixels import BadPixels
    from daskred.measure.results import Characterization
    from daskred.options import Options
    from daskred.run.verify import Verification


def _correction_text(correction: Correction) -> str:
    """Return the masters of a correction in words."""
    parts = []
    if correction.dark and correction.dark_scale != 1:
        parts.append(f"{correction.dark} scaled by {correction.dark_scale:.4g}, {correction.bias}")
    elif correction.dark or correction.bias:
        parts.append(str(correction.dark or correction.bias))
    if correction.terms:
        parts.append("line through " + ", ".join(name for name, _ in correction.terms))
    shutter = correction.shutter[0] if correction.shutter else None
    parts += [name for name in (shutter, correction.flat, correction.sky) if name]
    return ", ".join(parts) or "none"


# Of frames that failed so many are named in a row; the log names all.
_MOST_NAMES = 6
_NARROW, _NARROW_NAME = 100, 24  # columns of a terminal, and of a name on it


def _name_width() -> int:
    """Return how long names may be."""
    width = stdout().width
    return _NARROW_NAME if width < _NARROW else width


def _grouped(entries: Iterable[LeftOut]) -> Iterable[list[LeftOut]]:
    """Group frames that are left out for the same reason.

    Where nothing is lost by it, the reason without its details: a row for all duplicates.
    """
    groups: dict[str, list[LeftOut]] = {}
    for entry in entries:
        text = entry.reason.replace(f"'{entry.name}'", "'FILE'")
        groups.setdefault(text if entry.failed else text.split(": ")[0], []).append(entry)
    return groups.values()


def _pattern(group: Sequence[LeftOut], entries: Sequence[LeftOut]) -> str:
    """Return a pattern of the names of a group, and of no others; FILE where there is none."""
    names = [entry.name for entry in group]
    start = _shared_start(names)
    end = _shared_start([name[len(start) :][::-1] for name in names])[::-1]
    pattern = glob.escape(start) + "*" + glob.escape(end)
    matched = sum(fnmatch(entry.name, pattern) for entry in entries)
    return pattern if start and matched == len(group) else "FILE"


def _shared_start(names: Sequence[str]) -> str:
    """Return the letters with which all names begin."""
    shared = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in shared)


def left_out_table(entries: Sequence[LeftOut]) -> Table:
    """Return the table of frames that are not used; a question that settles many is asked once."""
    table = Table("left out", "why", title_justify="left")
    for group in _grouped(entries):
        # Who needs a frame wants its name; who left it out on purpose wants a glance.
        width = _name_width()
        shown = group if group[0].failed else group[:3]
        names = ", ".join(cut_in_the_middle(entry.name, width) for entry in shown)
        more = f" and {len(group) - len(shown)} more" if len(group) > len(shown) else ""
        if len(shown) > _MOST_NAMES:
            names = first_and_last([entry.name for entry in group], width)
            more = f", {len(group)} frames"
        text = group[0].reason
        if len(group) > 1:
            text = text.replace(f"'{group[0].name}'", f"'{_pattern(group, entries)}'")
        if any(entry.reason != group[0].reason for entry in group) and not group[0].failed:
            text += f", and the like: {len(group)} frames"
        table.add_row(escape(names + more), escape(text))
    return table


def print_characterization(found: Characterization) -> None:
    """Print a detector's numbers as a table: an amplifier a column."""
    rows = (
        ("read noise (ADU)", "read_noise_adu", "{:.3f}"),
        ("  uncertainty", "read_noise_error_adu", "{:.3f}"),
        ("read noise (electrons)", "read_noise_e", "{:.2f}"),
        ("noise that a row shares (ADU)", "row_noise_adu", "{:.3f}"),
        ("  uncertainty", "row_noise_error_adu", "{:.3f}"),
        ("wave along rows (ADU)", "interference_adu", "{:.3f}"),
        ("  its period (pixels)", "interference_period_pixels", "{:.2f}"),
        ("bias, from pixel to pixel (ADU)", "bias_pixels_adu", "{:.3f}"),
        ("  uncertainty", "bias_pixels_error_adu", "{:.3f}"),
        ("  from row to row", "bias_rows_adu", "{:.3f}"),
        ("  uncertainty", "bias_rows_error_adu", "{:.3f}"),
        ("  from column to column", "bias_columns_adu", "{:.3f}"),
        ("  uncertainty", "bias_columns_error_adu", "{:.3f}"),
        ("gain (electrons per ADU)", "gain_e_per_adu", "{:.4f}"),
        ("  uncertainty", "gain_error", "{:.4f}"),
        ("  of variance and signal by", "gain_model", "{}"),
        ("variance lags, parts for each electron", "bend_per_e", "{:.2g}"),
        ("  shared with the next pixel of a row", "next_in_row_per_e", "{:.2g}"),
        ("  shared with the next one of a column", "next_in_column_per_e", "{:.2g}"),
        ("  uncertainty of either", "next_error_per_e", "{:.1g}"),
        ("left behind in a transfer along rows", "serial_cti", "{:.2g}"),
        ("  uncertainty", "serial_cti_error", "{:.1g}"),
        ("left behind in a transfer along columns", "parallel_cti", "{:.2g}"),
        ("  uncertainty", "parallel_cti_error", "{:.1g}"),
        ("highest signal of a flat (ADU)", "highest_signal_adu", "{:.0f}"),
        ("full well (ADU)", "full_well_adu", "{:.0f}"),
        ("dark current (ADU per second)", "dark_adu_per_s", "{:.4f}"),
        ("dark current (electrons per second)", "dark_e_per_s", "{:.4f}"),
        ("hot pixels", "hot_fraction", "{:.3%}"),
    )
    table = Table(
        "", *(escape(amplifier.name) for amplifier in found.amplifiers), title_justify="left"
    )
    for title, name, style in rows:
        values = [getattr(amplifier, name) for amplifier in found.amplifiers]
        if all(value is None for value in values):
            continue  # nothing tells it
        table.add_row(title, *("-" if v is None else style.format(v) for v in values))
    lines = [dict(amplifier.linearity) for amplifier in found.amplifiers]
    for time_s in sorted({time_s for line in lines for time_s in line}):
        deviations = [f"{line[time_s]:+.3%}" if time_s in line else "-" for line in lines]
        table.add_row(f"at {time_s:g} s off the faint end's line", *deviations)
    delays = [a.shutter_delay_s for a in found.amplifiers]
    if any(delays):
        table.add_row("shutter is open longer (s)", *(f"{delay or 0.0:+.4f}" for delay in delays))
    stdout().print(table)
    for text in found.missing:
        stdout().print(escape(f"not measured: {text}"))


def print_bad_pixels(found: BadPixels) -> None:
    """Print how many bad pixels there are of each kind."""
    table = Table("bad pixels", "number", "part")
    for meaning, number in found.counts.items():
        table.add_row(meaning, str(number), f"{number / found.n_pixels:.3%}")
    table.add_row("columns, or parts of such", str(sum(map(len, found.columns))))
    table.add_row("clusters", str(sum(map(len, found.clusters))))
    stdout().print(table)
    for limit in found.limits:
        text = f"found from {limit.value:.3g} {limit.text} on, {found.completeness:.0%} of them"
        stdout().print(escape(f"{limit.card}: {text}"))
    for text in found.missing:
        stdout().print(escape(f"not told: {text}"))
    stdout().print(escape(f"mask: {found.path}"))


def print_plan(plan: Plan, memory: Budget | None = None) -> None:
    """Print a plan as tables, and what memory it takes."""
    console, width = stdout(), _name_width()
    kinds = Counter(frame.kind for frame in plan.frames)
    if plan.camera:
        console.print(escape(f"camera: {plan.camera}"))
    console.print(f"{len(plan.frames)} frames: " + ", ".join(f"{n} {k}" for k, n in kinds.items()))
    if plan.masters:
        table = Table("master", "frames", "shape", "from", "less")
        for master in plan.masters:
            ways = Counter(_correction_text(member.correction) for member in master.inputs)
            less = "; ".join(ways) if master.is_lit else ""
            row = (master.name, str(master.n_inputs or "?"), shape_text(master.layout))
            inputs = first_and_last([member.frame.name for member in master.inputs], width)
            table.add_row(*map(escape, (*row, inputs, less)))
        console.print(table)
    if plan.science:
        table = Table("science frames", "number", "exposure", "filter", "masters")
        groups: dict[tuple[Any, ...], list[str]] = {}
        for item in plan.science:
            facts = item.frame.facts
            key = (facts.exptime_s, facts.filter, _correction_text(item.correction))
            groups.setdefault(key, []).append(item.frame.name)
        for (exptime_s, filter_name, masters), names in groups.items():
            exposure = "" if exptime_s is None else f"{exptime_s:g} s"
            files = first_and_last(names, width)
            cells = (files, str(len(names)), exposure, filter_name or "", masters)
            table.add_row(*map(escape, cells))
        console.print(table)
    if plan.left_out:
        console.print(left_out_table(plan.left_out))
    for warning in plan.warnings:
        console.print(escape(f"warning: {warning}"))
    if not _knows_noise(plan):
        console.print(
            "gain or read noise is not told: --uncertainty would be left out;"
            " daskred characterize measures them, and leaves a camera file"
        )
    if memory:
        console.print(
            f"memory: at most {memory.needed_bytes // MB} MB, with {memory.n_workers} workers and"
            f" tiles of {memory.tile_bytes // MB} MB"
        )


def _knows_noise(plan: Plan) -> bool:
    from daskred.kernels.noise import knows_noise

    return all(knows_noise(item.frame.readout) for item in plan.science)


def print_failed(summary: Summary) -> None:
    """Print the frames that failed, on stderr, and nothing where all is well."""
    for entry in summary.failed:
        stderr().print(f"{entry.name}: {entry.reason}", markup=False)


def print_summary(summary: Summary) -> None:
    """Print what a run did, and what it left out."""
    console = stdout()
    table = Table("master", "frames", "")
    for receipt in summary.masters:
        table.add_row(
            escape(receipt.product),
            str(receipt.n_inputs or "?"),
            "made" if receipt.made else "was there",
        )
    if summary.masters:
        console.print(table)
    if summary.plan.camera:
        console.print(escape(f"camera: {summary.plan.camera}"))
    for warning in (*summary.plan.warnings, *summary.named):
        console.print(escape(f"warning: {warning}"))
    if summary.plan.left_out:
        console.print(left_out_table(summary.plan.left_out))
    made = [receipt for receipt in summary.science if receipt.made]
    n_nan = sum(receipt.n_nan for receipt in made)
    if n_nan:
        console.print(f"{n_nan} pixels of {len(made)} calibrated frames have no value (NaN)")
    there = len(summary.science) - len(made)
    kept = f", {there} were there already" if there else ""
    lost = f", {len(summary.failed)} failed" if summary.failed else ""
    console.print(
        escape(
            f"{len(made)} science frames calibrated{kept}{lost}:"
            f" {summary.address or typed(summary.out)} ({summary.seconds:.1f} s)"
        )
    )


def print_verification(found: Verification) -> None:
    """Print what is wrong with the products of a run, and what mends it."""
    console = stdout()
    if found.findings:
        table = Table("product", "what is wrong", title_justify="left")
        for finding in found.findings:
            table.add_row(escape(finding.product), escape(finding.reason))
        console.print(table)
    for name, reason in found.frames:
        console.print(f"no product: {name}: {reason}", markup=False)
    if found.others:
        first = ", ".join(found.others[:3])
        more = f" and {len(found.others) - 3} more" if len(found.others) > 3 else ""
        console.print(f"of other runs, and sound: {first}{more}", markup=False)
    console.print(
        f"{found.n_expected - len(found.findings)} of {found.n_expected} products are whole and up"
        f" to date{f', {len(found.frames)} frames have none' if found.frames else ''}:"
        f" {found.address or typed(found.out)}",
        markup=False,
    )
    if found.mend:
        console.print("this mends it:", markup=False)
        console.print(found.mend, markup=False, soft_wrap=True)


def print_origins(options: Options, origins: Mapping[str, str]) -> None:
    """Print the options that are not as usual, and where each value comes from."""
    if not origins:
        return
    table = Table(title="Options that are not as usual", title_justify="left")
    for column in ("option", "value", "from"):
        table.add_column(column)
    for name, origin in origins.items():
        table.add_row(name, escape(str(getattr(options, name))), escape(origin))
    stdout().print(table)
