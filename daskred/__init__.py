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
    from daskred.calibrate import calibrate
    from daskred.cameras import Camera, read_camera
    from daskred.errors import DaskredError, FrameError, FramesError, RequestError, RunError
    from daskred.execute import Workers
    from daskred.frames import Facts, Frame, Image
    from daskred.masters import master_bias, master_dark, master_flat
    from daskred.night import LeftOut, Night, open_night
    from daskred.plan import Allowances, Plan, make_plan
    from daskred.reduce import Summary, reduce_night
    from daskred.run import Options, Receipt
    from daskred.simulate import Truth, simulate
    from daskred.stack import open_frames, open_images
    from daskred.write import open_master, write_frames

__version__ = "0.1.0"

_HOMES = {
    "calibrate": "calibrate",
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
    "make_plan": "plan",
    "Summary": "reduce",
    "reduce_night": "reduce",
    "Options": "run",
    "Receipt": "run",
    "Truth": "simulate",
    "simulate": "simulate",
    "open_frames": "stack",
    "open_images": "stack",
    "open_master": "write",
    "write_frames": "write",
}
__all__ = [  # noqa: PLE0604 - the names are those of the table
    "__version__",
    *_HOMES,
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'daskred' has no attribute {name!r}")
    value = getattr(import_module(f"daskred.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
