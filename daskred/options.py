"""How a night is reduced."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from daskred.errors import RequestError
from daskred.execute import Workers
from daskred.kernels.level import METHODS
from daskred.kernels.reject import METHODS as COMBINES
from daskred.kernels.reject import REJECTS, Method, Rejection
from daskred.pack import PACKINGS, SUFFIXES, Packing
from daskred.plan import Allowances
from daskred.planes import COSMICS, Extras
from daskred.runlog import LEVELS, Level

DTYPES = ("float32", "float64")
Balance = Literal["none", "level", "exposure"]
BALANCES: tuple[Balance, ...] = get_args(Balance)


@dataclass(frozen=True)
class Options:
    """How a night is reduced.

    Parameters
    ----------
    normalize
        How levels of flats are measured: ``mode``, ``exact-mode``, ``median`` or ``mean``.
    dtype
        Of the products' pixels: ``float32`` or ``float64``.
    processed_by
        A name for the headers of products.
    allow
        What may be done only on request.
    masters_only
        Make the masters, and calibrate nothing.
    overwrite
        Make anew what is done already.
    tile_rows
        Height of the bands that masters are made in; None for one that fits. Products do not
        depend on it.
    workers
        Where tasks run; None for the scheduler that the user set up, or else as it seems best.
    memory_bytes
        What the whole run may have on this machine; None for half of what is free. On a cluster,
        what one task may have.
    combine
        How frames are combined: ``median``, ``mean``, ``clipped-mean``, ``sum`` or
        ``lower-median``.
    rejection
        Which values are left out before; see `daskred.kernels.reject.Rejection`.
    scale, zero_level, weight
        How bias frames and darks are brought to the first of them before they are combined: by
        ``level`` or ``exposure`` time, or not at all (``none``). Flats are scaled by their levels
        always. Weights, of flats too, are for means and sums.
    extras
        What is wanted beside calibrated pixels; see `daskred.calibrated.Extras`.
    counts
        Whether masters tell how many frames each pixel is made of, and how many were rejected.
    normalize_amplifiers
        Whether master flats are divided by the level of each amplifier, not of the whole detector.
    compress
        How calibrated frames are packed; see `daskred.pack.pack`. Masters are not, since bands of
        them are read.
    log_level
        How much the log of the run tells: ``debug``, ``info`` or ``warning``.
    """

    normalize: str = "mode"
    dtype: str = "float32"
    processed_by: str | None = None
    allow: Allowances = field(default_factory=Allowances)
    masters_only: bool = False
    overwrite: bool = False
    tile_rows: int | None = None
    workers: Workers | None = None
    memory_bytes: int | None = None
    combine: Method = "median"
    rejection: Rejection = field(default_factory=Rejection)
    scale: Balance = "none"
    zero_level: Balance = "none"
    weight: Balance = "none"
    extras: Extras = field(default_factory=Extras)
    counts: bool = False
    normalize_amplifiers: bool = False
    compress: Packing = "none"
    log_level: Level = "info"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("normalize", self.normalize, tuple(METHODS)),
            ("dtype", self.dtype, DTYPES),
            ("log_level", self.log_level, LEVELS),
            ("combine", self.combine, COMBINES),
            ("reject", self.rejection.method, REJECTS),
            ("scale", self.scale, BALANCES),
            ("zero_level", self.zero_level, ("none", "level")),
            ("weight", self.weight, BALANCES),
            ("compress", self.compress, PACKINGS),
            ("cosmics", self.extras.cosmics, COSMICS),
        ):
            if value not in known:
                raise RequestError(f"{name}={value!r}: there are {', '.join(known)}")
        if self.weight != "none" and self.combine not in ("mean", "clipped-mean", "sum"):
            raise RequestError(f"--weight goes with a mean or a sum, not with a {self.combine}")

    @property
    def plain_median(self) -> bool:
        """Whether masters are medians of all values, without anything beside them."""
        beside = self.counts or self.extras.mask or self.extras.uncertainty
        if any(own != "none" for own in (self.scale, self.zero_level, self.weight)):
            return False
        return self.combine == "median" and self.rejection.method == "none" and not beside

    def product(self, name: str) -> str:
        """Return the file of a calibrated frame, of its name in the plan."""
        return name + SUFFIXES[self.compress]

    @property
    def is_plain(self) -> bool:
        """Whether no gain and no saturation enters the products."""
        return self.plain_median and not self.extras

    @property
    def of_masters(self) -> list[Any]:
        """What of these options changes masters or their planes, as plain data."""
        beside = [self.extras.mask, self.extras.uncertainty, self.counts]
        own = [self.dtype, self.combine, asdict(self.rejection), self.normalize_amplifiers]
        return [*own, self.scale, self.zero_level, self.weight, *beside]

    @property
    def of_science(self) -> list[Any]:
        """What of these options changes calibrated frames or their planes, as plain data."""
        extras = asdict(self.extras)
        del extras["bad_pixels"]  # its content counts, and not its name
        return [self.dtype, extras, self.compress]
