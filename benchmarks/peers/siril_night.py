"""The same steps with Siril, in single precision; flats scaled as Siril does it.

Siril corrects the hot pixels that it finds in the master dark, and scales frames to 0 ... 1.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

night, out = (Path(one).absolute() for one in sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)
GROUPS = {
    "dark10_": "dark/dark_10s-*.fits",
    "dark3_": "dark/dark_3s-*.fits",
    "flat_": "flat/*.fits",
    "science_": "ktwo220274129/*.fits",
}
# A sequence of Siril is files with one name and a number.
names = {}
for group, pattern in GROUPS.items():
    names[group] = sorted(night.glob(pattern))
    for number, path in enumerate(names[group], start=1):
        (out / f"{group}{number:05d}.fits").symlink_to(path)
script = out / "night.ssf"
script.write_text(
    """requires 1.0.0
setext fits
set32bits
stack dark10_ med -nonorm -out=MasterDark_10s
stack dark3_ med -nonorm -out=MasterDark_3s
preprocess flat_ -dark=MasterDark_3s
stack pp_flat_ med -norm=mul -out=MasterFlat
preprocess science_ -dark=MasterDark_10s -flat=MasterFlat
"""
)
subprocess.run(["siril-cli", "-s", script, "-d", out], check=True, stdout=subprocess.DEVNULL)
for number, path in enumerate(names["science_"], start=1):
    (out / f"pp_science_{number:05d}.fits").rename(out / f"{path.stem}c.fits")
for path in [*out.glob("*_?????.fits"), *out.glob("*.seq"), script]:
    path.unlink()
