"""``python -m benchmarks``: list and run benchmarks; ``--help`` says how."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from benchmarks.harness import Settings, draw, machine, report

NAMES = {
    "median": "median over frames: selection network, numpy, bottleneck, partition, sort",
    "kernels": "compiled kernels beside numpy's: medians, flats, rejections, whole nights",
    "mode": "level of a flat: smoothed histogram, most frequent value, scipy, median",
    "read": "a band of rows from many files: pread, astropy",
    "write": "calibrated frames written: band by band, astropy, the bytes alone",
    "night": "a whole night: daskred, the limit, the notebook, and every peer that is installed",
    "phases": "darks and science frames alone: daskred, the same bytes read and written",
    "memory": "peak memory against the limit, and against the number of frames",
    "clip": "sigma clipping of 61 frames: daskred, ccdproc",
    "beside": "a night with mask and uncertainties beside the same without",
    "amplifiers": "a night of two amplifiers with overscans beside a plain one",
    "packed": "nights of packed frames beside unpacking them first",
    "remote": "a night from a server that takes 20 ms to answer beside the same here",
    "report": "what a report of the night costs",
    "watch": "how soon frames are calibrated that come five a second, also with kills",
    "safe": "what it costs to make products safe from a power cut",
    "witness": "what the checks of pixels cost, as parts of a whole run",
    "notebook": "the lines of a notebook beside the command, on threads: time and memory",
    "stack": "40 float32 frames of 4096x4096 in 500 MB: daskred, ccdproc",
    "plan": "a plan of 10,000 frames beside reading the same headers",
    "scaling": "one worker and two, phase by phase: threads, processes, a scheduler",
    "scale": "what the engine costs a frame, to 100,000 frames; what a survey needs",
    "startup": "what a command needs before it begins",
    "graph": "tasks and bytes of graphs against the number of frames",
    "accuracy": "level, flat and science frames against the truth",
}


def main() -> None:
    """Run what the command line asks for."""
    listing = "\n".join(f"  {name:<10} {text}" for name, text in NAMES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time daskred beside its peers, in turn, in one run on one machine.",
        epilog=f"benchmarks:\n{listing}\n\nexample: python -m benchmarks median night --turns 5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (none: list them)")
    parser.add_argument("--turns", type=int, default=5, metavar="N", help="of each (5)")
    parser.add_argument("--tiny", action="store_true", help="smallest inputs: see that it runs")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("benchmark-results"),
        help="for inputs, which are kept, and results (benchmark-results)",
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in (*NAMES, "all")]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}, all")
    if not arguments.names:
        print(listing)
        return
    names = list(NAMES) if "all" in arguments.names else arguments.names
    settings = Settings(arguments.turns, arguments.tiny, arguments.folder.absolute())
    settings.folder.mkdir(parents=True, exist_ok=True)
    for label, value in machine().items():
        print(f"{label}: {value}")
    for name in names:
        results = import_module(f"benchmarks.{name}").run(settings)
        report(results, settings.folder)
        draw(results, settings.folder / f"{name}.png")


if __name__ == "__main__":
    main()
