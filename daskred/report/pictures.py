"""Frames as pictures: grey scale, several side by side, each with its colour bar."""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskred.arrays.masterfiles import data_images
from daskred.fits.pixels import bands_of
from daskred.model.errors import RequestError
from daskred.report.thumbnails import as_picture, parts_between

if TYPE_CHECKING:
    from daskred.measure.results import Characterization
    from daskred.report.drawn import Drawn

Limits = Literal["percentile", "zscale"]
_MAX_SIDE = 2000
_LARGEST = 1e30  # beyond that, ranges overflow
_PNG, _GIF = b"\x89PNG", b"GIF"
MOST_PANELS, _FEW_PANELS = 24, 4
_BLINK_MS = 700


class Panel(NamedTuple):
    """An image of a picture: its title, pixels ``(y, x)``, and how many there are in the file."""

    title: str
    pixels: NDArray[Any]
    shape: tuple[int, int]


def whole(title: str, pixels: NDArray[Any]) -> Panel:
    """Return a panel that has all pixels of an image."""
    return Panel(title, pixels, pixels.shape)


def grey_limits(pixels: NDArray[Any], limits: Limits = "percentile") -> tuple[float, float]:
    """Return what is shown black and white.

    Parameters
    ----------
    pixels
        Shape ``(y, x)``.
    limits
        ``percentile``: the 5th and the 95th, as the lab has it; ``zscale``: IRAF's.

    Examples
    --------
    >>> grey_limits(np.arange(101.0).reshape(1, -1))
    (5.0, 95.0)
    """
    finite = pixels[np.isfinite(pixels) & (np.abs(pixels) < _LARGEST)]
    if finite.size == 0:
        return 0.0, 1.0
    if limits == "zscale":
        from astropy.visualization import ZScaleInterval

        low, high = ZScaleInterval().get_limits(finite)
    else:
        low, high = np.percentile(finite, [5, 95])
    return float(low), float(high)


def picture(panels: Sequence[Panel], limits: Limits = "percentile", columns: int = 0) -> Drawn:
    """Draw images side by side.

    Parameters
    ----------
    panels
        The first row of each is at the bottom.
    limits
        As of `grey_limits`.
    columns
        How many in a row; 0 for a number that fits.
    """
    from daskred.report.drawn import Drawn

    columns = columns or min(len(panels), 4 if len(panels) <= 2 * _FEW_PANELS else 6)
    rows = math.ceil(len(panels) / columns)
    figure = Drawn(figsize=(4.2 * columns, 3.8 * rows), layout="constrained")
    for number, (title, pixels, shape) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, number)
        # A screen shows no more pixels.
        step = max(1, math.ceil(max(pixels.shape) / _MAX_SIDE))
        low, high = grey_limits(pixels, limits)
        extent = (-0.5, shape[1] - 0.5, -0.5, shape[0] - 0.5)
        image = axes.imshow(
            pixels[::step, ::step],
            cmap="gray",
            vmin=low,
            vmax=high,
            origin="lower",
            extent=extent,
            interpolation="nearest",
        )
        axes.set_title(title, fontsize=9, wrap=True)
        # As high as the image, whatever its shape.
        figure.colorbar(image, cax=axes.inset_axes((1.03, 0.0, 0.05, 1.0)))
    return figure


def panels_of(paths: Sequence[str], most: int = MOST_PANELS) -> tuple[list[Panel], int]:
    """Read files as panels, one for each image, of as many pixels as a screen shows.

    Parameters
    ----------
    paths
        The files.
    most
        How many panels there are at most.

    Returns
    -------
    panels, n_more
        And how many files were too many.

    Raises
    ------
    FrameError
        When a file cannot be read.
    """
    side = _MAX_SIDE if len(paths) <= _FEW_PANELS else _MAX_SIDE // 4
    panels: list[Panel] = []
    for number, path in enumerate(paths):
        if len(panels) >= most:
            return panels[:most], len(paths) - number
        for image in data_images(path):
            step = max(1, math.ceil(max(image.shape) / side))
            rows = np.concatenate([band[:, ::step].copy() for band in bands_of(path, image, step)])
            name = f" [{image.name}]" if image.name else ""
            panels.append(Panel(Path(path).name + name, rows, image.shape))
    return panels[:most], 0


def blinking(panels: Sequence[Panel], limits: Limits, target: Path) -> None:
    """Write panels as an animation, one after the other: PNG, or GIF where the name says so.

    Raises
    ------
    RequestError
        When they are not of one shape, or the file cannot be written.
    """
    from PIL import Image as Picture

    if len(panels) != 2:
        raise RequestError(f"--blink: shows two images in turn; these files have {len(panels)}")
    if target.suffix.lower() not in (".png", ".gif"):
        raise RequestError(f"{target}: --blink writes a PNG or a GIF; name it so")
    if len({panel.pixels.shape for panel in panels}) > 1:
        shapes = " and ".join(f"{p.title}: {p.shape[0]}x{p.shape[1]}" for p in panels)
        raise RequestError(f"--blink: frames must be of one shape, not {shapes}")
    shown = []
    for panel in panels:
        parts = parts_between(panel.pixels, *grey_limits(panel.pixels, limits))
        shown.append(Picture.fromarray(as_picture(parts)))
    kind = "GIF" if target.suffix.lower() == ".gif" else "PNG"
    file = io.BytesIO()
    first, *others = shown
    first.save(file, kind, save_all=True, append_images=others, duration=_BLINK_MS, loop=0)
    _write(file.getvalue(), target, _GIF if kind == "GIF" else _PNG)


def characterization_picture(found: Characterization) -> Drawn:
    """Draw a detector's numbers: photon transfer, dark rates as a map and as a histogram."""
    from daskred.report.drawn import Drawn

    shown = [name for name, points in found.points.items() if points]
    n_panels = bool(shown) + 2 * bool(found.rates) + any(a.linearity for a in found.amplifiers)
    figure = Drawn(figsize=(4.6 * max(n_panels, 1), 3.9), layout="constrained")
    panel = iter(range(1, n_panels + 1))
    if shown:
        axes = figure.add_subplot(1, n_panels, next(panel))
        for amplifier in found.amplifiers:
            points = found.points.get(amplifier.name, [])
            if not points:
                continue
            signal = np.concatenate([pair.signal for pair in points])
            variance = np.concatenate([amplifier.variance for amplifier in points])
            (dots,) = axes.plot(signal, variance, ".", markersize=2, alpha=0.5)
            if amplifier.gain_e_per_adu:
                x = np.linspace(0, signal.max(), 50)
                noise = (amplifier.read_noise_adu or 0.0) ** 2
                label = f"{amplifier.name}: {amplifier.gain_e_per_adu:.3f} e/ADU"
                axes.plot(
                    x, x / amplifier.gain_e_per_adu + noise, color=dots.get_color(), label=label
                )
        axes.set(title="photon transfer", xlabel="signal (ADU)", ylabel="variance (ADU²)")
        if any(amplifier.gain_e_per_adu for amplifier in found.amplifiers):
            axes.legend(fontsize=8)
    if found.rates:
        rate = found.rates[0]
        axes = figure.add_subplot(1, n_panels, next(panel))
        low, high = grey_limits(rate)
        image = axes.imshow(rate, cmap="gray", vmin=low, vmax=high, origin="lower")
        axes.set_title("dark current (ADU/s)")
        figure.colorbar(image, ax=axes, shrink=0.85)
        axes = figure.add_subplot(1, n_panels, next(panel))
        values = np.concatenate([rates[np.isfinite(rates)] for rates in found.rates])
        axes.hist(np.clip(values, *np.percentile(values, [0.01, 99.99])), bins=200, log=True)
        axes.set(title="pixels by dark current", xlabel="ADU/s", ylabel="pixels")
    if any(amplifier.linearity for amplifier in found.amplifiers):
        axes = figure.add_subplot(1, n_panels, next(panel))
        for amplifier in found.amplifiers:
            if amplifier.linearity:
                times, residuals = np.array(amplifier.linearity).T
                axes.plot(times, 100 * residuals, "o-", label=amplifier.name)
        axes.axhline(0, color="0.7")
        axes.set(title="linearity", xlabel="exposure time (s)", ylabel="deviation (%)")
        axes.legend(fontsize=8)
    return figure


def save_picture(figure: Drawn, target: Path) -> None:
    """Write a picture.

    Raises
    ------
    RequestError
        When it cannot be written there.
    """
    _write(figure.png(), target, _PNG)


def _write(content: bytes, target: Path, begins: bytes) -> None:
    """Write a picture, but over nothing that is none of its kind."""
    try:
        if target.exists() and not target.read_bytes().startswith(begins):
            kind = begins.strip(b"\x89").decode()
            raise RequestError(f"{target}: is there already, and no {kind}; name another file")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    except OSError as error:
        raise RequestError(f"{target}: cannot be written: {error.strerror}") from error


def has_screen() -> bool:
    """Whether a window can be opened."""
    return sys.platform == "darwin" or any(
        os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def open_window(figure: Drawn) -> bool:
    """Show a picture in a window until it is closed; False where no window can be opened."""
    import matplotlib.pyplot as plt

    manager = plt.figure().canvas.manager
    if manager is None or plt.get_backend().lower() == "agg":
        plt.close("all")
        return False
    figure.set_canvas(manager.canvas)
    manager.canvas.figure = figure
    plt.show()
    return True
