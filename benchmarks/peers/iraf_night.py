"""The same steps with IRAF, in single precision; flats scaled by their median."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

night, out = (Path(one).absolute() for one in sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)
login = """set home = "OUT/"
set imdir = "OUT/"
set uparm = "OUT/"
set userid = "peer"
set imtype = "fits"
images
immatch
imutil
keep
"""
(out / "login.cl").write_text(login.replace("OUT", str(out)))
groups = {
    "dark10": sorted(night.glob("dark/dark_10s-*.fits")),
    "dark3": sorted(night.glob("dark/dark_3s-*.fits")),
    "flat": sorted(night.glob("flat/*.fits")),
    "science": sorted(night.glob("ktwo220274129/*.fits")),
}
for group, paths in groups.items():
    (out / f"{group}.list").write_text("".join(f"{path}\n" for path in paths))
(out / "less.list").write_text("".join(f"less{path.name}\n" for path in groups["flat"]))
(out / "product.list").write_text("".join(f"{path.stem}c.fits\n" for path in groups["science"]))
COMBINE = (
    'combine="median", reject="none", outtype="real", headers="", bpmasks="", rejmasks="",'
    ' nrejmasks="", expmasks="", sigmas="", zero="none", weight="none", logfile=""'
)
script = f"""imcombine ("@dark10.list", "MasterDark_10s.fits", scale="none", {COMBINE})
imcombine ("@dark3.list", "MasterDark_3s.fits", scale="none", {COMBINE})
imarith ("@flat.list", "-", "MasterDark_3s.fits", "@less.list", pixtype="real", calctype="real")
imcombine ("@less.list", "MasterFlat_.fits", scale="median", {COMBINE})
imstatistics ("MasterFlat_.fits", fields="midpt", format=no, binwidth=0.001) | scan (x)
imarith ("MasterFlat_.fits", "/", x, "MasterFlat.fits", pixtype="real", calctype="real")
imarith ("@science.list", "-", "MasterDark_10s.fits", "@product.list", pixtype="real", \
calctype="real")
imarith ("@product.list", "/", "MasterFlat.fits", "@product.list", pixtype="real", calctype="real")
logout
"""
environment = {**os.environ, "USER": "peer"}
command = ["irafcl"]
subprocess.run(
    command, input=script, cwd=out, env=environment, text=True, check=True, capture_output=True
)
for path in [*out.glob("*.list"), *out.glob("less*.fits"), out / "MasterFlat_.fits"]:
    path.unlink()
