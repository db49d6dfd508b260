"""Level, master flat and science frames against the truth that they were simulated from."""

from __future__ import annotations

import shutil

import numpy as np

from benchmarks.harness import Result, Settings, run_process
from benchmarks.night import daskred
from benchmarks.nights import simulated
from daskred import Truth
from daskred.arrays.factors import refined_levels
from daskred.kernels.factors import relative_factors
from daskred.kernels.flat import flat_tile
from daskred.kernels.level import METHODS, frame_level
from daskred.report.demo import accuracy

N_FLATS = 61


def run(settings: Settings) -> list[Result]:
    """Measure what `--normalize` does to a flat, and how close a whole night comes."""
    return [*_flats(settings), *_night(settings)]


def _flats(settings: Settings) -> list[Result]:
    """Scale flats of known level, 15,000 to 25,000 ADU, in each way, and combine them."""
    side = 32 if settings.tiny else 256
    y, x = np.mgrid[:side, :side] / side - 0.5
    rng = np.random.default_rng(1)
    truth = (1 - 0.5 * (x**2 + y**2)) * rng.normal(1, 0.01, (side, side))
    levels = rng.uniform(15000, 25000, N_FLATS)
    flats = np.array([rng.poisson(2 * own * truth) / 2 for own in levels])
    flats = (flats + rng.normal(0, 3, flats.shape)).round().astype("u2")
    dark = np.zeros((1, side, side))
    results = []
    for method in METHODS:
        found = [frame_level([flat], method) for flat in flats]
        if method == "mode":  # as runs do, which measure the factors between flats
            lit = flats.reshape(N_FLATS, -1) / np.array(found)[:, np.newaxis]
            found = refined_levels(found, relative_factors(lit.astype("f4")))
        scatter = np.std(found / levels) / np.mean(found / levels)
        master = flat_tile(flats, dark, which=[0] * N_FLATS, levels=found)
        ratio = master / truth
        error = np.std(ratio / np.mean(ratio))
        extra = {"scatter of level": f"{scatter:.4%}", "error of flat": f"{error:.4%}"}
        case = f"{N_FLATS} flats of {side}x{side}, 15,000 to 25,000 ADU"
        results.append(Result("accuracy", case, method, (), (), extra))
    return results


def _night(settings: Settings) -> list[Result]:
    side, n_each, n_science = (32, 3, 2) if settings.tiny else (256, 61, 60)
    night = simulated(settings, side, n_each, n_science)
    out = settings.folder / "accuracy"
    results = []
    for method in METHODS:
        shutil.rmtree(out, ignore_errors=True)
        run_process(daskred(night, out, "--normalize", method))
        product = next(iter(sorted(out.rglob("ktwo*-0001c.fits")))).relative_to(out)
        found = accuracy(Truth.load(night), out, str(product))
        extra = {
            "dark, ADU": f"{found.dark_adu:.3f}",
            "flat": f"{found.flat:.4%}",
            "science, of photon noise": f"{found.science:.4f}",
        }
        case = f"{n_each} darks and flats of {side}x{side}, daskred reduce"
        results.append(Result("accuracy", case, method, (), (), extra))
    return results
