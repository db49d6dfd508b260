"""Frames as pictures: grey scale, several side by side, each with its colour bar."""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from daskred.correction import data_images, read_images
from daskred.errors import RequestError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Limits = Literal["percentile", "zscale"]
_MAX_SIDE = 2000
_LARGEST = 1e30  # beyond that, ranges overflow
_PNG = b"\x89PNG"


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


def picture(
    panels: Sequence[tuple[str, NDArray[Any]]], limits: Limits = "percentile", columns: int = 0
) -> Figure:
    """Draw images side by side.

    Parameters
    ----------
    panels
        Title and pixels ``(y, x)`` of each; the first row is at the bottom.
    limits
        As of `grey_limits`.
    columns
        How many in a row; 0 for a number that fits.
    """
    from matplotlib.figure import Figure

    columns = columns or min(len(panels), 4)
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.8 * rows), layout="constrained")
    for number, (title, pixels) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, number)
        # A screen shows no more pixels; the limits are those of all.
        step = max(1, math.ceil(max(pixels.shape) / _MAX_SIDE))
        low, high = grey_limits(pixels, limits)
        extent = (-0.5, pixels.shape[1] - 0.5, -0.5, pixels.shape[0] - 0.5)
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
        figure.colorbar(image, ax=axes, shrink=0.85)
    return figure


def panels_of(paths: Sequence[str]) -> list[tuple[str, NDArray[Any]]]:
    """Read files as panels: one for each image.

    Raises
    ------
    FrameError
        When a file cannot be read.
    """
    panels = []
    for path in paths:
        for image, pixels in zip(data_images(path), read_images(path), strict=True):
            name = f" [{image.name}]" if image.name else ""
            panels.append((Path(path).name + name, pixels))
    return panels


def save_picture(figure: Figure, target: Path) -> None:
    """Write a picture.

    Raises
    ------
    RequestError
        When it cannot be written there.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    try:
        if target.exists() and not target.read_bytes().startswith(_PNG):
            raise RequestError(f"{target}: is there already, and no PNG; name another file")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(picture.getvalue())
    except OSError as error:
        raise RequestError(f"{target}: cannot be written: {error.strerror}") from error


def has_screen() -> bool:
    """Whether a window can be opened."""
    return sys.platform == "darwin" or any(
        os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def open_window(figure: Figure) -> bool:
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
