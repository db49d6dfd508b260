"""Turn a night of raw CCD frames into calibrated science frames.

The names below are the library; each is loaded when it is first used, so that importing daskred
costs nothing.

Examples
--------
>>> import tempfile, daskred
>>> folder = tempfile.TemporaryDirectory()
>>> _ = daskred.simulate(folder.name, shape=(16, 16), n_darks=3, n_flats=3, n_science=2)
>>> night = daskred.open_night(folder.name)
>>> dark = daskred.master_dark(night.select("dark", exptime_s=10))
>>> science = daskred.open_frames(night.select("science"))
>>> daskred.calibrate(science, dark).dims
('frame', 'y', 'x')
>>> folder.cleanup()
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # without the import of typing, which takes longer than all else here
if TYPE_CHECKING:
    from typing import Any

    from daskred.arrays.view import open_frames as open_frames
    from daskred.arrays.view import open_images as open_images
    from daskred.arrays.view_master_file import write_master as write_master
    from daskred.arrays.view_masters import combine_frames as combine_frames
    from daskred.arrays.view_masters import master_bias as master_bias
    from daskred.arrays.view_masters import master_dark as master_dark
    from daskred.arrays.view_masters import master_flat as master_flat
    from daskred.arrays.view_masters import master_sky as master_sky
    from daskred.arrays.view_science import calibrate as calibrate
    from daskred.arrays.view_write import open_master as open_master
    from daskred.arrays.view_write import write_frames as write_frames
    from daskred.arrays.view_zarr import write_zarr as write_zarr
    from daskred.cameras.read import read_camera as read_camera
    from daskred.cameras.rules import Camera as Camera
    from daskred.engine.progress import Progress as Progress
    from daskred.engine.progress import ProgressBars as ProgressBars
    from daskred.kernels.reject import Rejection as Rejection
    from daskred.measure.bad_pixels import BadPixels as BadPixels
    from daskred.measure.bad_pixels import find_bad_pixels as find_bad_pixels
    from daskred.measure.characterization import characterize as characterize
    from daskred.measure.results import Characterization as Characterization
    from daskred.model.errors import DaskredError as DaskredError
    from daskred.model.errors import FrameError as FrameError
    from daskred.model.errors import FramesError as FramesError
    from daskred.model.errors import RequestError as RequestError
    from daskred.model.errors import RunError as RunError
    from daskred.model.frame import Facts as Facts
    from daskred.model.frame import Frame as Frame
    from daskred.model.frame import Image as Image
    from daskred.model.plan import LeftOut as LeftOut
    from daskred.model.plan import Plan as Plan
    from daskred.model.receipt import Receipt as Receipt
    from daskred.night.open import Night as Night
    from daskred.night.open import open_night as open_night
    from daskred.night.plan import make_plan as make_plan
    from daskred.options import Options as Options
    from daskred.report.inspect import inspect as inspect
    from daskred.report.page import Report as Report
    from daskred.report.page import write_report as write_report
    from daskred.report.show import show as show
    from daskred.run.reduce import reduce_night as reduce_night
    from daskred.run.summary import Summary as Summary
    from daskred.run.verify import Verification as Verification
    from daskred.run.verify import verify as verify
    from daskred.simulation import Truth as Truth
    from daskred.simulation import simulate as simulate

__version__ = "0.2.0"

_HOMES = {
    "BadPixels": "measure.bad_pixels",
    "Camera": "cameras.rules",
    "Characterization": "measure.results",
    "DaskredError": "model.errors",
    "Facts": "model.frame",
    "Frame": "model.frame",
    "FrameError": "model.errors",
    "FramesError": "model.errors",
    "Image": "model.frame",
    "LeftOut": "model.plan",
    "Night": "night.open",
    "Options": "options",
    "Plan": "model.plan",
    "Receipt": "model.receipt",
    "Rejection": "kernels.reject",
    "Report": "report.page",
    "Progress": "engine.progress",
    "ProgressBars": "engine.progress",
    "RequestError": "model.errors",
    "RunError": "model.errors",
    "Summary": "run.summary",
    "Truth": "simulation",
    "Verification": "run.verify",
    "calibrate": "arrays.view_science",
    "characterize": "measure.characterization",
    "combine_frames": "arrays.view_masters",
    "find_bad_pixels": "measure.bad_pixels",
    "inspect": "report.inspect",
    "make_plan": "night.plan",
    "master_bias": "arrays.view_masters",
    "master_dark": "arrays.view_masters",
    "master_flat": "arrays.view_masters",
    "master_sky": "arrays.view_masters",
    "open_frames": "arrays.view",
    "open_images": "arrays.view",
    "open_master": "arrays.view_write",
    "open_night": "night.open",
    "read_camera": "cameras.read",
    "reduce_night": "run.reduce",
    "show": "report.show",
    "simulate": "simulation",
    "verify": "run.verify",
    "write_frames": "arrays.view_write",
    "write_master": "arrays.view_master_file",
    "write_report": "report.page",
    "write_zarr": "arrays.view_zarr",
}
__all__ = ["__version__", *_HOMES]

if not TYPE_CHECKING:  # what is not there is an error before anything runs

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'daskred' has no attribute {name!r}")
        value = getattr(import_module(f"daskred.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
