"""The options that tell which masters calibrate what: what is done only on request."""

from __future__ import annotations

from daskred.model.option import Option

MATCHING_OPTIONS = (
    Option(
        "missing_dark",
        "calibrate frames without a matching dark by the bias alone, or by nothing",
        "matching",
        common=True,
    ),
    Option(
        "missing_flat",
        "calibrate frames without a matching flat",
        "matching",
        common=True,
    ),
    Option(
        "sky_flats",
        "where no flat matches, make one of the science frames themselves, without their stars",
        "matching",
    ),
    Option(
        "sky_frames",
        "make masters of the sky of these frames alone, as of a field that has no nebula:"
        " 'blank/*' (all science frames)",
        "matching",
        (),
        str,
        metavar="PATTERN",
        several=True,
    ),
    Option(
        "scale_dark_up",
        "scale a shorter dark up by exposure time, where there is a bias",
        "matching",
    ),
    Option(
        "dark_model",
        "where no dark has the exposure time, fit a line through those that there are",
        "matching",
    ),
    Option(
        "allow",
        "use masters that differ in what must agree, by its name: 'offset', 'set temperature'",
        "matching",
        (),
        str,
        metavar="CRITERION",
        several=True,
    ),
    Option(
        "tell_apart",
        "keep frames apart that differ in a card of their headers",
        "matching",
        (),
        str,
        metavar="CARD",
        several=True,
    ),
    Option(
        "library",
        "masters of other nights, for what this one has none of: see daskred library",
        "matching",
        None,
        str,
        metavar="DIR",
    ),
    Option(
        "library_days",
        "how many days away they may be: flat=30 (bias and dark 90, flat 30)",
        "matching",
        (),
        str,
        metavar="KIND=DAYS",
        several=True,
    ),
    Option(
        "master",
        "use this master, of daskred or of another program, wherever it matches: dark=FILE",
        "matching",
        (),
        str,
        metavar="KIND=FILE",
        several=True,
    ),
    Option(
        "across_nights",
        "make masters of the frames of all nights together, not of each night",
        "matching",
    ),
)
