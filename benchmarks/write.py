"""Calibrated frames written: header, pixels, checksums."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.io import fits

from benchmarks.harness import Contestant, Result, Settings, compete
from daskred.fits.header import Header, format_card
from daskred.fits.write import as_bands, write_atomically


def run(settings: Settings) -> list[Result]:
    """Time frames of two sizes."""
    results = []
    folder = settings.folder / "written"
    folder.mkdir(exist_ok=True)
    for side, number in ((16, 2),) if settings.tiny else ((256, 200), (2048, 4)):
        pixels = np.random.default_rng(1).normal(1000, 10, (side, side)).astype("f4")
        cards = tuple(format_card(f"CARD{n}", n, "a card") for n in range(40))

        def ours(pixels: Any = pixels, number: int = number, cards: Any = cards) -> None:
            for n in range(number):
                write_atomically(folder / f"a{n}.fits", [(Header(cards), as_bands(pixels))])

        def theirs(pixels: Any = pixels, number: int = number, cards: Any = cards) -> None:
            header = fits.Header.fromstring("".join(cards))
            for n in range(number):
                target = folder / f"b{n}.fits"
                fits.PrimaryHDU(pixels, header).writeto(target, overwrite=True, checksum=True)

        def limit(pixels: Any = pixels, number: int = number) -> None:
            data = bytes(5760) + pixels.tobytes()
            for n in range(number):
                (folder / f"c{n}.fits").write_bytes(data)

        contestants = [
            Contestant("daskred", ours),
            Contestant("astropy, with checksums", theirs),
            Contestant("the bytes alone (limit)", limit),
        ]
        results += compete("write", f"{number} frames of {side}x{side}", contestants, settings)
    return results
