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

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daskred.badpixels import BadPixels as BadPixels
    from daskred.badpixels import find_bad_pixels as find_bad_pixels
    from daskred.cameras import Camera as Camera
    from daskred.cameras import read_camera as read_camera
    from daskred.characterization import Characterization as Characterization
    from daskred.characterization import characterize as characterize
    from daskred.correction import calibrate as calibrate
    from daskred.errors import DaskredError as DaskredError
    from daskred.errors import FrameError as FrameError
    from daskred.errors import FramesError as FramesError
    from daskred.errors import RequestError as RequestError
    from daskred.errors import RunError as RunError
    from daskred.execute import Workers as Workers
    from daskred.frames import Facts as Facts
    from daskred.frames import Frame as Frame
    from daskred.frames import Image as Image
    from daskred.kernels.reject import Rejection as Rejection
    from daskred.kernels.reject import combine_frames as combine_frames
    from daskred.masters import master_bias as master_bias
    from daskred.masters import master_dark as master_dark
    from daskred.masters import master_flat as master_flat
    from daskred.night import LeftOut as LeftOut
    from daskred.night import Night as Night
    from daskred.night import open_night as open_night
    from daskred.options import Options as Options
    from daskred.plan import Allowances as Allowances
    from daskred.plan import Plan as Plan
    from daskred.planes import Extras as Extras
    from daskred.planning import make_plan as make_plan
    from daskred.reduce import Summary as Summary
    from daskred.reduce import reduce_night as reduce_night
    from daskred.simulation import Truth as Truth
    from daskred.simulation import simulate as simulate
    from daskred.stack import open_frames as open_frames
    from daskred.stack import open_images as open_images
    from daskred.tasks import Receipt as Receipt
    from daskred.verification import Verification as Verification
    from daskred.verification import verify as verify
    from daskred.write import open_master as open_master
    from daskred.write import write_frames as write_frames

__version__ = "0.1.0"

_HOMES = {
    "BadPixels": "badpixels",
    "find_bad_pixels": "badpixels",
    "Extras": "planes",
    "Characterization": "characterization",
    "characterize": "characterization",
    "Rejection": "kernels.reject",
    "combine_frames": "kernels.reject",
    "calibrate": "correction",
    "Camera": "cameras",
    "read_camera": "cameras",
    "DaskredError": "errors",
    "FrameError": "errors",
    "FramesError": "errors",
    "RequestError": "errors",
    "RunError": "errors",
    "Workers": "execute",
    "Facts": "frames",
    "Frame": "frames",
    "Image": "frames",
    "master_bias": "masters",
    "master_dark": "masters",
    "master_flat": "masters",
    "LeftOut": "night",
    "Night": "night",
    "open_night": "night",
    "Allowances": "plan",
    "Plan": "plan",
    "make_plan": "planning",
    "Summary": "reduce",
    "reduce_night": "reduce",
    "Options": "options",
    "Receipt": "tasks",
    "Truth": "simulation",
    "simulate": "simulation",
    "open_frames": "stack",
    "open_images": "stack",
    "Verification": "verification",
    "verify": "verification",
    "open_master": "write",
    "write_frames": "write",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'daskred' has no attribute {name!r}")
    value = getattr(import_module(f"daskred.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
