"""What is looked at before a run: whether there is something to do, and whether it can be done."""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from daskred.engine.progress import Progress
from daskred.fits.remote import is_remote
from daskred.fits.unpack import is_packed
from daskred.model.errors import RequestError
from daskred.model.plan import Master, Plan, Science
from daskred.night.open import Night
from daskred.options import BY_NAME, DETECTOR, Options
from daskred.products.expected import expected_products, has_key
from daskred.products.names import packed_name


def check_detector(night: Night, options: Options) -> None:
    """Refuse options of the detector that the night was not opened with."""
    rules = night.camera.detector
    for name in DETECTOR:
        value = getattr(options, name)
        if value is not None and value != getattr(rules, name):
            raise RequestError(
                f"{BY_NAME[name].flag} {value}: the night was opened with"
                f" {getattr(rules, name)}; such options belong to the camera of open_night"
            )


def check_plan(plan: Plan, masters_only: bool) -> None:
    """Raise RequestError for a plan that has nothing to do."""
    if masters_only:
        if not plan.masters:
            raise RequestError("no masters can be made: there are no calibration frames to use")
        return
    aside = _set_aside(plan)
    if not any(f.kind == "science" and f.path not in aside for f in plan.frames):
        raise RequestError(
            f"no science frames: {_counted(plan)};"
            " --kind science='PATTERN' names them, --masters-only makes the masters alone,"
            " daskred plan tells why each frame is what it is"
        )


def _counted(plan: Plan) -> str:
    """Say what frames there are, and the first of those that are none."""
    aside = _set_aside(plan)
    kinds = Counter(f.kind for f in plan.frames if f.path not in aside)
    parts = [f"{number} {kind}" for kind, number in sorted(kinds.items())]
    known = {frame.path for frame in plan.frames}
    done = [entry for entry in plan.left_out if entry.path in known and entry.path in aside]
    if done:
        text = f"{len(done)} that need no calibration"
        parts.append(f"{text} ({done[0].name} {done[0].reason})")
    broken = [entry for entry in plan.left_out if entry.path not in known]
    if broken:
        parts.append(f"{len(broken)} that are none ({broken[0].name} {broken[0].reason})")
    return f"the night has {', '.join(parts)}"


def _set_aside(plan: Plan) -> set[str]:
    """Paths of the frames that need no calibration, as masters and duplicates."""
    return {entry.path for entry in plan.left_out if not entry.failed}


def check_sum(plan: Plan, options: Options) -> None:
    """Refuse to calibrate one exposure by the sum of several."""
    if options.combine != "sum":
        return
    used = next((master.name for master in plan.masters if master.needs), None)
    if plan.science and not options.masters_only:
        used = used or "the science frames"
    if used:
        raise RequestError(
            f"--combine sum: {used} would be calibrated by the sum of several exposures; sums are"
            " for masters that nothing needs: --masters-only, of one kind of frames"
        )


def with_known_noise(plan: Plan, options: Options, progress: Progress) -> Options:
    """Return the options without uncertainties, where nobody tells gain and read noise."""
    if not options.uncertainty and options.reject != "noise":
        return options
    from daskred.kernels.noise import knows_noise  # few runs need it

    frames = [member.frame for master in plan.masters for member in master.inputs]
    frames += [item.frame for item in plan.science]
    unknown = next((frame for frame in frames if not knows_noise(frame.readout)), None)
    if unknown is None:
        return options
    text = f"{unknown.name}: neither its header nor the camera's file tells gain and read noise"
    if options.reject == "noise":
        raise RequestError(f"{text}, which a rejection by noise needs")
    progress.say(f"{text}; the products are written without uncertainties")
    return options.but(uncertainty=False)


def check_space(out: Path, plan: Plan, options: Options, n_workers: int) -> int:
    """Raise RequestError where the disk is too small for the products that are missing.

    What lies beside them for a while counts too: packed frames that are unpacked, the pixels of a
    master while it is made, products before they are packed. Returns how many bytes that is.
    """
    itemsize = np.dtype(options.dtype).itemsize
    pixel_bytes = itemsize + 4 * options.uncertainty + options.mask
    masters = [item for item in plan.masters if not (out / item.product).exists()]
    science = [] if options.masters_only else _missing_science(out, plan, options)
    of_masters = sum(
        _n_pixels(item.layout) * (pixel_bytes + 4 * options.counts) for item in masters
    )
    of_science = [_n_pixels(item.frame.layout) * pixel_bytes for item in science]
    aside = max((_aside(item, itemsize, options) for item in masters), default=0)
    unpacked = _N_ASIDE[options.compress] * n_workers * max(of_science, default=0)
    needed: int = of_masters + max(aside, sum(of_science) + unpacked)
    there = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise RequestError(
            f"-o {out}: has {free // 10**6} MB free, and the products, with what lies beside them"
            f" for a while, need {-(-needed // 10**6)} MB"
        )
    return needed


# How many files of a product lie beside it while it is packed.
_N_ASIDE = {"none": 0, "gzip": 1, "rice": 2, "lossless": 2}


def _missing_science(out: Path, plan: Plan, options: Options) -> list[Science]:
    names = ((item, packed_name(item.product, options.compress)) for item in plan.science)
    return [item for item, name in names if not (out / name).exists()]


def _n_pixels(layout: Sequence[tuple[str, tuple[int, int]]]) -> int:
    return sum(height * width for _, (height, width) in layout)


def _aside(master: Master, itemsize: int, options: Options) -> int:
    """Return how many bytes lie on the disk for a while, so that a master can be made."""
    packed = [member.frame for member in master.inputs if is_packed(member.frame)]
    counted = 0 if options.plain_median else 4
    unpacked = sum(image.n_pixels * image.disk_dtype.itemsize for f in packed for image in f.images)
    return unpacked + _n_pixels(master.layout) * (itemsize + counted)


def check_same_night(
    run: Mapping[str, Any] | None, out: Path, night: Night, plan: Plan, options: Options
) -> None:
    """Raise RequestError where products of another night would be replaced.

    Nights may have frames and masters of the same names; a night that was moved is the same.
    """
    if run is None:
        return
    earlier, now = set(run.get("roots", ())), roots_of(night)
    if any(_is_below(then, root) or _is_below(root, then) for then in earlier for root in now):
        return
    for expected in expected_products(plan, options):
        if (out / expected.product).exists() and not has_key(expected, out):
            raise RequestError(
                f"-o {out}: holds products of another night ({', '.join(sorted(earlier))}), as"
                f" {expected.product}; name another folder, or both nights at once; --overwrite"
                " replaces them"
            )


def with_last_name(run: Mapping[str, Any] | None, options: Options) -> Options:
    """Return options with the name that the last run left in headers, where none is given.

    A run that is finished, or done again, need not be told it; one that makes all anew does.
    """
    if run is None or options.processed_by is not None or options.overwrite:
        return options
    name = run.get("options", {}).get("processed_by")
    return options.but(processed_by=name) if isinstance(name, str) else options


def roots_of(night: Night) -> set[str]:
    """Return the folders and files that a night was opened from; of a pattern the folder before."""
    roots = set()
    for source in night.sources:
        path = Path(night.folder, source)
        # What is there under this very name is no pattern, whatever letters it has.
        is_pattern = bool(glob.has_magic(source)) and (is_remote(source) or not path.exists())
        fixed = re.split(r"[*?\[]", source)[0].rpartition("/")[0] if is_pattern else source
        roots.add(fixed if is_remote(source) else os.path.normpath(Path(night.folder, fixed)))
    return roots


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
