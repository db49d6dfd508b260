"""The plan of a night of many frames: find them, read their headers, classify and match them."""

from __future__ import annotations

from functools import partial

from astropy.io import fits

from benchmarks.harness import Contestant, Result, Settings, compete, python, run_process
from benchmarks.nights import simulated, warm


def run(settings: Settings) -> list[Result]:
    """Time whole processes, beside others that read the same headers and nothing more."""
    n_each, n_science = (3, 2) if settings.tiny else (1000, 7000)
    night = simulated(settings, 16, n_each, n_science)
    paths = sorted(map(str, night.rglob("*.fits")))

    def read_headers() -> None:
        for path in paths:
            fits.getheader(path)

    ours = python("-m", "daskred.cli", "plan", str(night))
    contestants = [
        Contestant("daskred plan", partial(run_process, ours)),
        Contestant("astropy, headers alone", read_headers),
    ]
    try:
        from ccdproc import ImageFileCollection
    except ImportError:
        pass
    else:
        folders = {path.parent for path in night.rglob("*.fits")}

        def collect() -> None:
            for folder in folders:
                ImageFileCollection(folder, keywords=["object", "exptime", "filter"])

        contestants.append(Contestant("ccdproc, three keywords", collect))
    warm(night)
    return compete("plan", f"{len(paths)} frames", contestants, settings)
