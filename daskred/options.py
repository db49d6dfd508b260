"""The one table of options: command line, configuration file, Python, keys of products, the log.

Options of steps, of checks and of workers stand in the files of these, all others here. Nothing is
imported for the table that takes long, so that help is there at once. This file is long since it is
one table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from daskred.model.checks import CHECK_OPTIONS, CHECKS
from daskred.model.errors import RequestError
from daskred.model.matching import MATCHING_OPTIONS
from daskred.model.option import Changes, Group, Option, limit, nearest, positive
from daskred.model.registry import names_in
from daskred.model.workers import WORKER_OPTIONS
from daskred.steps import STEPS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from daskred.kernels.reject import Rejection
    from daskred.model.given import Given

GROUPS: dict[Group, str] = {
    "night": "the night",
    "detector": "the detector (what a camera file says, unless given)",
    "masters": "masters",
    "science": "science frames",
    "matching": "what is done only on request",
    "products": "products",
    "checks": "what pixels must show, so that nothing is silently wrong",
    "workers": "where and how it runs",
}
_MASTERS: tuple[Changes, ...] = ("masters",)
_ALL: tuple[Changes, ...] = ("masters", "science")

TABLE: tuple[Option, ...] = (
    Option(
        "camera",
        "rules of a camera (TOML), or the name of one that is known; none for the common ones alone"
        " (the one that headers tell)",
        "night",
        None,
        str,
        metavar="FILE",
        common=True,
    ),
    Option(
        "kind",
        "settle the kind of frames by hand: dark='calib/*-d.fit'; kinds are bias, dark, flat,"
        " science and unknown",
        "night",
        (),
        str,
        metavar="KIND=PATTERN",
        common=True,
        several=True,
    ),
    Option(
        "exptime",
        "tell the exposure time of frames whose headers do not: 'darks/*'=10",
        "night",
        (),
        str,
        metavar="PATTERN=SECONDS",
        several=True,
    ),
    Option(
        "filter",
        "tell the filter of frames: 'flats/*-v*'=V",
        "night",
        (),
        str,
        metavar="PATTERN=NAME",
        several=True,
    ),
    *(option for step in STEPS for option in step.options),
    Option(
        "combine",
        "how the frames of a master are combined",
        "masters",
        "median",
        str,
        ("median", "mean", "clipped-mean", "sum", "lower-median"),
        _MASTERS,
        common=True,
    ),
    Option(
        "reject",
        "which values are left out before",
        "masters",
        "none",
        str,
        ("none", *names_in("kernels/rejections")),
        _MASTERS,
        common=True,
    ),
    Option(
        "reject_low",
        "below the centre: deviations (3), numbers of values (1), or parts of it (0.1)",
        "masters",
        None,
        limit,
        changes=_MASTERS,
        metavar="X",
    ),
    Option(
        "reject_high",
        "the same above the centre",
        "masters",
        None,
        limit,
        changes=_MASTERS,
        metavar="X",
    ),
    Option(
        "reject_iterations",
        "rounds of rejection at most",
        "masters",
        5,
        positive,
        changes=_MASTERS,
        metavar="N",
    ),
    Option(
        "reject_centre",
        "what sigma is measured from",
        "masters",
        "median",
        str,
        ("median", "mean"),
        _MASTERS,
    ),
    Option(
        "reject_scale",
        "what sigma is: the scaled MAD, or the standard deviation",
        "masters",
        "mad",
        str,
        ("mad", "std"),
        _MASTERS,
    ),
    Option(
        "scale",
        "bring bias frames and darks to the first one's level or exposure time",
        "masters",
        "none",
        str,
        ("none", "level", "exposure"),
        _MASTERS,
    ),
    Option(
        "zero_level",
        "subtract from bias frames and darks what they have more than the first one",
        "masters",
        "none",
        str,
        ("none", "level"),
        _MASTERS,
    ),
    Option(
        "weight",
        "weight the frames of means and sums by it",
        "masters",
        "none",
        str,
        ("none", "level", "exposure"),
        _MASTERS,
    ),
    Option(
        "counts",
        "of masters, write the extensions NUSED and REJECTED: numbers of values of each pixel",
        "masters",
        changes=_MASTERS,
    ),
    Option(
        "normalize",
        "how the level of a flat is measured (mode: the peak of a smoothed histogram)",
        "masters",
        "mode",
        str,
        ("mode", "exact-mode", "median", "mean"),
        ("flats",),
        common=True,
    ),
    Option(
        "normalize_amplifiers",
        "divide master flats by the level of each amplifier, not of the whole detector",
        "masters",
        changes=_MASTERS,
    ),
    Option(
        "normalize_bayer",
        "divide master flats by the level of each of the four pixels of a colour sensor's pattern"
        " (where headers tell one)",
        "masters",
        None,
        changes=_MASTERS,
    ),
    *MATCHING_OPTIONS,
    Option("mask", "write the extension MASK", "products", changes=_ALL, common=True),
    Option("uncertainty", "write the extension UNCERT", "products", changes=_ALL, common=True),
    Option(
        "photon_noise",
        "follows from each pixel's own value, or from the background where a pixel is within its"
        " noise of it (background)",
        "science",
        "background",
        str,
        ("background", "pixel"),
        ("science",),
    ),
    Option(
        "bad_pixels",
        "an image of bad pixels, for the mask",
        "science",
        None,
        str,
        changes=("science",),
        metavar="FILE",
        is_file=True,
    ),
    Option(
        "dtype",
        "pixels of products",
        "products",
        "float32",
        str,
        ("float32", "float64"),
        _ALL,
    ),
    Option(
        "compress",
        "pack calibrated frames: .gz whole, or .fz by tiles, floats in steps of a sixteenth of"
        " their noise (rice) or as they are (lossless)",
        "products",
        "none",
        str,
        ("none", "gzip", "rice", "lossless"),
        ("science",),
    ),
    Option(
        "processed_by",
        "leave a name in the headers (usually that of the last run)",
        "products",
        None,
        str,
        changes=_ALL,
        metavar="NAME",
    ),
    *CHECK_OPTIONS,
    Option("masters_only", "calibrate no science frames", "products"),
    Option("overwrite", "make anew what is done already", "products"),
    *WORKER_OPTIONS,
)
BY_NAME = {option.name: option for option in TABLE}
DETECTOR = tuple(option.name for option in TABLE if option.group == "detector")


class Options:
    """How a night is reduced; the names are those of the command line, with underscores.

    ``help(daskred.Options)`` lists them all.

    Parameters
    ----------
    **given
        What is not to be as usual.

    Raises
    ------
    RequestError
        For an option that there is not, or a value that it cannot have.

    Examples
    --------
    >>> options = Options(combine="mean", reject="sigma", mask=True)
    >>> options.combine, options.uncertainty, options.rejection.low
    ('mean', False, 3.0)
    """

    def __init__(self, **given: Unpack[Given]) -> None:
        for name in given:
            if name not in BY_NAME:
                raise RequestError(f"{nearest(name, BY_NAME)}; daskred reduce --help-all has all")
        known: Mapping[str, Any] = given
        self._values = {option.name: option.checked(known.get(option.name)) for option in TABLE}
        self._check_together()

    @property
    def limits(self) -> dict[str, float]:
        """Limits of the checks that are made, by their names."""
        made = [check.name for check in CHECKS if check.name not in self.unchecked]
        return {name: self._values[f"limit_{name}"] for name in made}

    def _check_together(self) -> None:
        if self.weight != "none" and self.combine not in ("mean", "clipped-mean", "sum"):
            raise RequestError(f"--weight goes with a mean or a sum, not with a {self.combine}")
        where = [name for name in ("processes", "threads", "scheduler") if self._values[name]]
        if len(where) > 1:
            raise RequestError(f"{' and '.join(BY_NAME[name].flag for name in where)}: name one")
        if self.reject != "none":
            _ = self.rejection  # its limits must make sense

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # pickle asks for some that there are not, once a task
            raise AttributeError(name)
        try:
            return self.__dict__["_values"][name]
        except KeyError as error:
            raise AttributeError(nearest(name, BY_NAME)) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Options) and self._values == other._values

    def __hash__(self) -> int:
        return hash(tuple(self._values.values()))

    def __repr__(self) -> str:
        return f"Options({', '.join(f'{name}={value!r}' for name, value in self.given.items())})"

    @property
    def given(self) -> dict[str, Any]:
        """What is not as usual."""
        return {n: v for n, v in self._values.items() if v != BY_NAME[n].default}

    def but(self, **changes: Any) -> Self:
        """Return these options with some others."""
        return type(self)(**{**self._values, **changes})

    def that_change(self, *products: Changes) -> dict[str, Any]:
        """Return what of these options changes products, where it is not as usual."""
        return {
            name: value
            for name, value in self.given.items()
            if not BY_NAME[name].is_file and set(BY_NAME[name].changes) & set(products)
        }

    def files_that_change(self, *products: Changes) -> list[str]:
        """Return the files whose content changes products."""
        named = (name for name in self.given if BY_NAME[name].is_file)
        return [self._values[name] for name in named if set(BY_NAME[name].changes) & set(products)]

    @property
    def words(self) -> list[str]:
        """What the command line says for these options."""
        return [word for name, value in self.given.items() for word in BY_NAME[name].words(value)]

    @property
    def rejection(self) -> Rejection:
        """Which values are left out of a master.

        Raises
        ------
        RequestError
            When its limits make no sense.
        """
        from daskred.kernels.reject import USUAL, Rejection

        try:
            return Rejection(
                self.reject,
                USUAL if self.reject_low is None else self.reject_low,
                USUAL if self.reject_high is None else self.reject_high,
                self.reject_iterations,
                self.reject_centre,
                self.reject_scale,
            )
        except ValueError as error:
            raise RequestError(f"--reject: {error}") from error

    @property
    def wants_noise(self) -> bool:
        """Whether anything asks how uncertain pixels of science frames are."""
        return bool(self.uncertainty or self.cosmics != "no")

    @property
    def plain_median(self) -> bool:
        """Whether masters are medians of all values, without anything beside them."""
        beside = self.counts or self.mask or self.uncertainty
        if any(way != "none" for way in (self.scale, self.zero_level, self.weight)):
            return False
        return self.combine == "median" and self.reject == "none" and not beside


Options.__doc__ = f"{Options.__doc__}\n    Options\n    -------\n" + "".join(
    f"    {option.name} : {', '.join(option.choices) or option.metavar or 'True or False'}\n"
    f"        {option.help}; {option.default!r} where it is not given.\n"
    for option in TABLE
)
