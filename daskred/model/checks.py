"""The checks of pixels: by each one figure, one card of a product's header, and one limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from daskred.model.option import Option, limit


@dataclass(frozen=True)
class Check:
    """One thing that pixels tell of whether they are what they are taken for.

    Parameters
    ----------
    name
        Of the option that sets its limit, with ``limit_`` before it; `--unchecked` goes without.
    card, legend
        The card of its figure in headers of products, and what it says.
    limit
        What is beyond it is left out, or named.
    of
        Whether it is made of the inputs of masters, or of science frames.
    help
        What the limit is of.
    """

    name: str
    card: str
    legend: str
    limit: float
    of: Literal["inputs", "science"]
    help: str


CHECKS = (
    Check(
        "offset",
        "DQOFFSET",
        "largest step between levels of inputs, sigma",
        5.0,
        "inputs",
        "a step between the levels of bias frames, or of darks, in sigma of their noise",
    ),
    Check(
        "pattern",
        "DQPATT",
        "least part of the pattern in an input",
        0.5,
        "inputs",
        "how far the pattern of an input may be from that of its master (0 to 1)",
    ),
    Check(
        "hot",
        "DQHOT",
        "hot pixels: largest difference of an input",
        0.35,
        "inputs",
        "how far the hot pixels of a dark may be from those of its master (0 to 1)",
    ),
    Check(
        "scatter",
        "DQSCAT",
        "largest noise of an input, over the usual",
        1.6,
        "inputs",
        "the noise of an input over that of the others",
    ),
    Check(
        "shape",
        "DQSHAPE",
        "largest step between shapes of flats",
        0.02,
        "inputs",
        "a step between the shapes of flats, of the light of their lamps",
    ),
    Check(
        "lit",
        "DQLIT",
        "smallest lit part of a flat",
        0.01,
        "inputs",
        "the part of a flat that must be lit (0 to 1)",
    ),
    Check(
        "negative",
        "DQNEG",
        "part of pixels below zero",
        0.95,
        "science",
        "the part of a calibrated frame that may be negative (0 to 1)",
    ),
    Check(
        "residue",
        "DQRESID",
        "pattern of the dark that is left, or grew",
        0.5,
        "science",
        "what part of a dark's pattern or hot pixels may be left (0 to 1)",
    ),
    Check(
        "saturated",
        "DQSAT",
        "part of pixels at the largest value",
        0.5,
        "science",
        "the part of a science frame that may be at one largest value (0 to 1)",
    ),
    Check(
        "blank",
        "DQBLANK",
        "part of the frame without noise",
        0.05,
        "science",
        "how much more of a frame may have one value, as where it was not read out, than of others",
    ),
    Check(
        "wrapped",
        "DQWRAP",
        "pixels below -1000 ADU of signed integers",
        0.0,
        "science",
        "how many pixels of 16-bit integers may be far below zero, as 40000 that became -25536",
    ),
    Check(
        "clipped",
        "DQCLIP",
        "where pixels pile up, ADU, if no card told; or 0",
        0.0,
        "science",
        "levels, ADU, at which a pile-up is not told",
    ),
    Check(
        "level",
        "DQLEVEL",
        "median, in units of pixels",
        3.0,
        "science",
        "how many times brighter or fainter a frame may be than those of its filter and time",
    ),
    Check(
        "stars",
        "DQSTARS",
        "part of pixels that stars make bright",
        3.0,
        "science",
        "how many times fainter the stars of a frame may be than in the frames beside it",
    ),
    Check(
        "trail",
        "DQTRAIL",
        "how much longer than wide its stars are, 0 to 1",
        0.3,
        "science",
        "how much longer the stars of a frame may be than those of its filter and time (0 to 1)",
    ),
    Check(
        "noise",
        "DQNOISE",
        "noise, in units of pixels",
        3.0,
        "science",
        "the noise of a frame over that of those of its filter and time",
    ),
)
BY_NAME = {check.name: check for check in CHECKS}
# The sums of raw files: a check without a figure.
SUMS = "sums"

CHECK_OPTIONS = (
    *(
        Option(f"limit_{check.name}", check.help, "checks", check.limit, limit, metavar="X")
        for check in CHECKS
    ),
    Option(
        "unchecked",
        "go without a check, by its name",
        "checks",
        (),
        str,
        (*BY_NAME, SUMS),
        several=True,
    ),
)
