"""Sigma clipping and the mean of what stays, one thread: daskred beside ccdproc's Combiner."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Contestant, Result, Settings, compete
from daskred.kernels.reject import Rejection, combine_frames


def _equal(first: Any, second: Any) -> None:
    # A value on the very limit falls to either side of it in single precision.
    assert np.isclose(first, second, rtol=2e-6).mean() > 0.9999


def _ours(stack: Any, rejection: Rejection) -> Any:
    return combine_frames(stack, "mean", rejection, precision="f4").value


def _theirs(stack: Any, centre: Any, deviation: Any, as_it_comes: bool) -> Any:
    import ccdproc
    from astropy.nddata import CCDData

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        combiner = ccdproc.Combiner([CCDData(one, unit="adu") for one in stack], dtype="f4")
        combiner.sigma_clipping(3, 3, func=centre, dev_func=deviation)
        if as_it_comes:
            return combiner.average_combine().data
        # Its map of uncertainties, which nobody asked for, is left out.
        return combiner.average_combine(uncertainty_func=_none).data


def _none(data: Any, axis: int = 0) -> Any:
    return np.zeros(data.shape[1:], "f4")


def run(settings: Settings) -> list[Result]:
    """Clip 61 frames, around mean and median, once and until nothing changes."""
    from astropy.stats import mad_std

    side, n_frames = (32, 5) if settings.tiny else (1024, 61)
    rng = np.random.default_rng(1)
    stack = rng.normal(1000, 10, (n_frames, side, side)).astype("f4")
    stack[rng.random(stack.shape, "f4") < 0.002] += 500  # cosmic rays
    results = []
    for title, rejection, centre, deviation in (
        ("mean and deviation", Rejection("sigma", 3, 3, 1, "mean", "std"), np.ma.mean, np.ma.std),
        ("median and MAD", Rejection("sigma", 3, 3, 1, "median", "mad"), np.ma.median, mad_std),
    ):
        contestants = [
            Contestant("daskred", partial(_ours, stack, rejection)),
            Contestant("ccdproc", partial(_theirs, stack, centre, deviation, True)),
            Contestant(
                "ccdproc, no uncertainty", partial(_theirs, stack, centre, deviation, False)
            ),
        ]
        case = f"{n_frames} float32 frames of {side}x{side}, {title}, one round"
        results += compete("clip", case, contestants, settings, _equal)
    return results
