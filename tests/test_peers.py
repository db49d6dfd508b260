"""ccdproc as the oracle, step by step."""

from __future__ import annotations

from pathlib import Path

import ccdproc
import numpy as np
from astropy import units
from astropy.nddata import CCDData

from daskred import Options, open_night, reduce_night


def test_ccdproc_gives_the_same_night(night: Path, tmp_path: Path) -> None:
    reduce_night(open_night(night), tmp_path, Options(normalize="median", dtype="float64"))

    def combined(pattern: str, **options: object) -> CCDData:
        frames = [CCDData.read(path, unit="adu") for path in sorted(night.glob(pattern))]
        return ccdproc.combine(frames, method="median", dtype="float64", **options)

    darks = {t: combined(f"dark/dark_{t}s-*.fits") for t in (3, 10)}
    flats = [
        ccdproc.subtract_dark(
            CCDData.read(path, unit="adu"),
            darks[3],
            dark_exposure=3 * units.s,
            data_exposure=3 * units.s,
        )
        for path in sorted(night.glob("flat/*.fits"))
    ]
    flat = ccdproc.combine(
        flats, method="median", scale=lambda data: 1 / np.median(data), dtype="float64"
    )
    for path in sorted((night / "ktwo220274129").glob("*.fits")):
        raw = CCDData.read(path, unit="adu")
        less = ccdproc.subtract_dark(
            raw, darks[10], dark_exposure=10 * units.s, data_exposure=10 * units.s
        )
        expected = ccdproc.flat_correct(less, flat, norm_value=np.median(flat.data))
        found = CCDData.read(tmp_path / "ktwo220274129" / f"{path.stem}c.fits")
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-12)
