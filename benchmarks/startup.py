"""What a command needs before it begins: fresh interpreters, beside what they import."""

from __future__ import annotations

from functools import partial

from benchmarks.harness import Contestant, Result, Settings, compete, python, run_process

# What is run, as arguments of the interpreter.
CASES = {
    "python, nothing else": ("-c", ""),
    "daskred --version": ("-m", "daskred.cli", "--version"),
    "daskred reduce --help": ("-m", "daskred.cli", "reduce", "--help"),
    "import numpy": ("-c", "import numpy"),
    "import daskred.run.reduce": ("-c", "import daskred.run.reduce"),
    "import daskred.run.reduce, dask.threaded": ("-c", "import daskred.run.reduce, dask.threaded"),
    "import dask.array": ("-c", "import dask.array"),
    "import xarray": ("-c", "import xarray"),
    "import astropy.io.fits": ("-c", "import astropy.io.fits"),
    "import scipy.stats": ("-c", "import scipy.stats"),
    "import distributed": ("-c", "import distributed"),
}


def run(settings: Settings) -> list[Result]:
    """Time each in a process of its own."""
    contestants = [
        Contestant(name, partial(run_process, python(*arguments)))
        for name, arguments in CASES.items()
    ]
    return compete("startup", "whole processes", contestants, settings)
