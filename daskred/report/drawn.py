"""A figure that a notebook shows, whatever was imported before."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_DOTS_PER_INCH = 110


class Drawn(Figure):
    """A figure that nobody has to show: it is drawn where it is wanted."""

    def png(self) -> bytes:
        """Return it as PNG."""
        FigureCanvasAgg(self)
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=_DOTS_PER_INCH)
        return picture.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()
