"""The dark current of each pixel: a line through darks of several exposure times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.masterfiles import read_images
from daskred.fits.header import Header, commentary, format_card
from daskred.fits.write import as_bands, write_atomically
from daskred.kernels.line import fit_rate
from daskred.model.plan import Master, Plan
from daskred.model.readout import Readout
from daskred.products.names import DARK_MODEL, master_path
from daskred.products.provenance import KEY_CARD


def dark_model(
    plan: Plan, readout: Readout, out: Path, missing: list[str], sync: bool
) -> list[NDArray[np.float64]]:
    """Fit bias and dark rate of each pixel, write them, and return the rates."""
    masters = [master for master in plan.masters if master.kind in ("bias", "dark")]
    by_time: dict[float, Master] = {}
    for master in masters:
        time = 0.0 if master.kind == "bias" else float(master.facts.exptime_s or 0.0)
        by_time.setdefault(time, master)
    if len(by_time) < 2:
        missing.append("dark current: needs darks of two exposure times, or of one and a bias")
        return []
    times = sorted(by_time)
    planes = [read_images(str(master_path(out, by_time[time].name))) for time in times]
    weights = [len(by_time[time].inputs) for time in times]
    biases, rates = [], []
    for number in range(len(readout.shapes)):
        bias, rate = fit_rate([image[number].astype("f8") for image in planes], times, weights)
        biases.append(bias)
        rates.append(rate)
    cards = [
        format_card(KEY_CARD, "dark model", "made by daskred"),
        *commentary("COMMENT", "dark rate of each pixel; extension BIAS: level at no exposure"),
        *commentary("COMMENT", f"from exposure times of {', '.join(f'{t:g}' for t in times)} s"),
    ]
    units: list[Any] = []
    for number, (bias, rate) in enumerate(zip(biases, rates, strict=True)):
        named = [format_card("BUNIT", "adu/s"), *cards]
        if number:
            named = [format_card("EXTNAME", "RATE"), format_card("EXTVER", number + 1), *named]
        units.append((Header(tuple(named)), as_bands(rate.astype("f4"))))
        names = [format_card("EXTNAME", "BIAS"), format_card("EXTVER", number + 1)]
        named = [*names, format_card("BUNIT", "adu")]
        units.append((Header(tuple(named)), as_bands(bias.astype("f4"))))
    write_atomically(out.parent / DARK_MODEL, units, sync=sync)
    return rates
