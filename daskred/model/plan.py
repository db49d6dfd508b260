"""A plan as plain data: which master is made of what, and which masters calibrate which frame.

`daskred.night.plan` makes plans, `daskred.run.run` carries them out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from daskred.model.shown import Shown, Tree, few, tree_text
from daskred.model.text import first_and_last, visible

if TYPE_CHECKING:
    from daskred.model.frame import Facts, Frame

MasterKind = Literal["bias", "dark", "shutter", "flat", "sky"]
MASTERS_FOLDER = "masters"
_NAME_WIDTH = 30  # letters


def is_lit(kind: MasterKind) -> bool:
    """Whether the frames of a master have light, so that each is divided by its level."""
    return kind in ("shutter", "flat", "sky")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A frame that is not used.

    Parameters
    ----------
    path, name
        The file, absolute and below the night.
    reason
        Why, and the way out where there is one.
    failed
        Whether something is lost by it. False for what needs no calibration: duplicates, masters,
        frames calibrated before, lamps.

    Examples
    --------
    >>> LeftOut("/n/a.fits", "a.fits", "is truncated", failed=True).reason
    'is truncated'
    """

    path: str
    name: str
    reason: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Correction:
    """The masters that calibrate one frame, by name.

    Parameters
    ----------
    dark
        The master dark, or None.
    dark_scale
        The factor for the dark current; 1 where the exposure times agree.
    bias
        The master bias: subtracted where there is no dark; where the dark is scaled, taken from
        it before.
    flat
        The master flat, or None.
    terms
        Instead of dark and bias: masters and factors whose sum is subtracted, as of a straight line
        through darks of several exposure times.
    zero_terms
        The same for no exposure time, where there are terms and no bias.
    zero
        The master bias, whether or not it is subtracted: what lies above it makes photon noise.
    window
        Of a subframe, which part of masters of the whole detector is used: first row and column,
        number of rows and of columns.
    illumination, fringe
        The master of sky frames by whose smooth part the frame is divided, and whose fringes are
        subtracted; or None.
    shutter
        The master of the shutter, and the exposure time of the frame, seconds; or None.
    """

    dark: str | None = None
    dark_scale: float = 1.0
    bias: str | None = None
    flat: str | None = None
    terms: tuple[tuple[str, float], ...] = ()
    zero_terms: tuple[tuple[str, float], ...] = ()
    zero: str | None = None
    window: tuple[int, int, int, int] | None = None
    illumination: str | None = None
    fringe: str | None = None
    shutter: tuple[str, float] | None = None

    @property
    def sky(self) -> str | None:
        """The master of sky frames that is used, or None."""
        return self.illumination or self.fringe

    @property
    def is_bias_alone(self) -> bool:
        """Whether a bias is subtracted, and no dark."""
        return bool(self.bias and not self.dark and not self.terms)

    @property
    def section(self) -> str:
        """The part of masters that is used, as IRAF writes it; empty for all of them.

        Examples
        --------
        >>> Correction(window=(10, 20, 24, 32)).section
        '[21:52,11:34]'
        """
        if self.window is None:
            return ""
        row, column, height, width = self.window
        return f"[{column + 1}:{column + width},{row + 1}:{row + height}]"

    @property
    def masters(self) -> tuple[str, ...]:
        """All names."""
        fitted = [name for name, _ in self.terms]
        shutter = self.shutter[0] if self.shutter else None
        names = (*fitted, self.bias, self.dark, shutter, self.flat, self.sky)
        return tuple(name for name in names if name)


@dataclass(frozen=True, slots=True)
class Input:
    """A frame that goes into a master, and what is subtracted from it before."""

    frame: Frame
    correction: Correction = field(default_factory=Correction)


@dataclass(frozen=True, slots=True)
class Given:
    """A master of another night, which is not made but taken as it is.

    Parameters
    ----------
    path, key
        Its file, and what it is known by.
    n_inputs
        Of how many frames it was made.
    mjd
        When the first of them was exposed; None where nobody knows.
    by_hand
        Whether somebody named this very file.
    has_overscan, is_linear
        Whether the level of an overscan was subtracted, and the response made linear.
    unit
        Of its pixels, as ``adu``; empty where it has none.
    is_uncertain
        Whether it tells its uncertainties.
    most_days
        How far away in time it may be, days; None for any distance.
    is_foreign
        Whether another program made it, so that it is written anew, as ours are.
    """

    path: str
    key: str
    n_inputs: int
    mjd: float | None
    by_hand: bool = False
    has_overscan: bool = False
    is_linear: bool = False
    unit: str = ""
    is_uncertain: bool = False
    most_days: float | None = None
    is_foreign: bool = False


@dataclass(frozen=True, slots=True)
class Master:
    """A master to be made.

    Parameters
    ----------
    name
        Its name, that of its file without the suffix.
    kind
        bias, dark, shutter (of flats of several exposure times), flat, or sky: of science frames,
        without the objects in them.
    inputs
        The frames that are combined.
    facts
        What they have in common; the exposure time is the most frequent one.
    given
        Of a master of another night, what it is; its only input is its own file.
    """

    name: str
    kind: MasterKind
    inputs: tuple[Input, ...]
    facts: Facts
    given: Given | None = None

    @classmethod
    def of_given(cls, name: str, kind: MasterKind, frame: Frame, given: Given) -> Master:
        """Return a master of another night as a part of a plan."""
        return cls(name, kind, (Input(frame),), frame.facts, given)

    def named_by_key(self) -> Master:
        """Return a master of another night under a name that no other has."""
        return replace(self, name=f"{self.name}_{self.given.key[:6]}") if self.given else self

    @property
    def n_inputs(self) -> int:
        """Of how many frames it is made."""
        return self.given.n_inputs if self.given else len(self.inputs)

    @property
    def is_lit(self) -> bool:
        """Whether its inputs have light, so that each is divided by its level."""
        return is_lit(self.kind)

    @property
    def has_objects(self) -> bool:
        """Whether its inputs are science frames, with stars that do not belong into it."""
        return self.inputs[0].frame.kind == "science"

    @property
    def product(self) -> str:
        """The file, below the folder of products."""
        return f"{MASTERS_FOLDER}/{self.name}.fits"

    @property
    def layout(self) -> tuple[tuple[str, tuple[int, int]], ...]:
        """Names and shapes of its images."""
        return self.inputs[0].frame.layout

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the masters that its inputs need."""
        return tuple(dict.fromkeys(name for i in self.inputs for name in i.correction.masters))


@dataclass(frozen=True, slots=True)
class Science:
    """A science frame, its product below the folder of products, and its masters.

    And the frames of the same field by which cosmic rays in it are told, where that is wanted.
    """

    frame: Frame
    product: str
    correction: Correction
    beside: tuple[Frame, ...] = ()


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """What is made from what.

    Parameters
    ----------
    frames
        Every frame whose headers could be read.
    masters
        In an order in which they can be made.
    science
        The science frames that will be calibrated.
    left_out
        Every frame that is not used, with the reason.
    warnings
        What is done, but is worth a look.
    camera
        Which camera's rules were used, and why.

    Examples
    --------
    >>> import tempfile, daskred
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = daskred.simulate(folder.name + "/night", shape=(16, 16), n_darks=3, n_flats=2)
    >>> plan = daskred.make_plan(folder.name + "/night")
    >>> plan.master("MasterFlat_BG40").needs
    ('MasterDark_3s',)
    >>> folder.cleanup()
    """

    frames: tuple[Frame, ...]
    masters: tuple[Master, ...]
    science: tuple[Science, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]
    camera: str = ""

    def master(self, name: str) -> Master:
        """Return a master by name."""
        return next(master for master in self.masters if master.name == name)

    def __repr__(self) -> str:
        return tree_text(self.tree)

    @property
    def tree(self) -> Tree:
        """What is made from what: first what calibrates the science frames, then what is left."""
        groups: dict[tuple[str, ...], list[Science]] = {}
        for item in self.science:
            groups.setdefault(item.correction.masters, []).append(item)
        below = [self._branch(masters, items) for masters, items in groups.items()]
        used = {name for masters in groups for name in self._with_needs(masters)}
        below += [self._master_tree(m.name) for m in self.masters if m.name not in used]
        failed = sum(entry.failed for entry in self.left_out)
        others = len(self.left_out) - failed
        below += [Tree(f"{failed} frames cannot be used")] if failed else []
        below += [Tree(f"{others} files are no raw frames")] if others else []
        below += [Tree(f"worth a look: {visible(text)}") for text in few(self.warnings, "remarks")]
        n_masters, n_science = len(self.masters), len(self.science)
        return Tree(f"Plan of {n_masters} masters, {n_science} science frames", tuple(below))

    def _branch(self, masters: Sequence[str], items: Sequence[Science]) -> Tree:
        names = visible(first_and_last([item.frame.name for item in items], _NAME_WIDTH))
        return Tree(
            f"{len(items)} science frames: {names}", tuple(self._master_tree(m) for m in masters)
        )

    def _master_tree(self, name: str) -> Tree:
        master = self.master(name)
        frames = "of another night" if master.given else f"of {master.n_inputs} frames"
        return Tree(f"{visible(name)} {frames}", tuple(map(self._master_tree, master.needs)))

    def _with_needs(self, names: Iterable[str]) -> set[str]:
        needs = [self.master(name).needs for name in names]
        return {*names, *(name for names in needs for name in self._with_needs(names))}

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data, ready for JSON."""
        return {
            "frames": [
                {
                    "path": frame.path,
                    "kind": frame.kind,
                    "reason": frame.reason,
                    "exptime_s": frame.facts.exptime_s,
                    "filter": frame.facts.filter,
                    "images": [
                        {"name": i.name, "shape": list(i.shape), "dtype": i.dtype.name}
                        for i in frame.images
                    ],
                }
                for frame in self.frames
            ],
            "masters": [
                {
                    "name": master.name,
                    "kind": master.kind,
                    "product": master.product,
                    "inputs": [member.frame.path for member in master.inputs],
                    "masters": list(master.needs),
                }
                for master in self.masters
            ],
            "science": [
                {
                    "path": science.frame.path,
                    "product": science.product,
                    "masters": list(science.correction.masters),
                    "dark_scale": science.correction.dark_scale,
                    "dark_terms": [list(term) for term in science.correction.terms],
                }
                for science in self.science
            ],
            "left_out": [
                {"path": entry.path, "reason": entry.reason, "failed": entry.failed}
                for entry in self.left_out
            ],
            "warnings": list(self.warnings),
            "camera": self.camera,
        }


def shape_text(layout: Iterable[tuple[str, tuple[int, int]]]) -> str:
    """Return the shapes of a layout in words, rows first.

    Examples
    --------
    >>> shape_text((("", (1020, 1530)),)), shape_text((("A", (4, 6)), ("B", (4, 6))))
    ('1020x1530', '2 images of 4x6')
    """
    counts = Counter(f"{shape[0]}x{shape[1]}" for _, shape in layout)
    if list(counts.values()) == [1]:
        return next(iter(counts))
    return " and ".join(f"{n} image{'s'[: n > 1]} of {shape}" for shape, n in counts.items())
