"""The options as type checkers know them: written from the table, which tells all else.

``python -m tests.model.test_given`` writes it anew when the table has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Literal, TypedDict


class Given(TypedDict, total=False):
    """What may be given to `daskred.Options`."""

    camera: str | PathLike[str] | None
    kind: str | PathLike[str] | Sequence[str] | None
    exptime: str | PathLike[str] | Sequence[str] | None
    filter: str | PathLike[str] | Sequence[str] | None
    bleed_rows: int | None
    overscan: Literal["median", "mean", "clipped-mean", "none"] | None
    overscan_fit: Literal["none", "constant", "legendre", "chebyshev", "spline"] | None
    overscan_order: int | None
    overscan_reject_sigma: float | None
    trim: bool | None
    assemble: bool | None
    crosstalk_correction: bool | None
    linearity: bool | None
    unit: Literal["adu", "electron"] | None
    illumination: str | PathLike[str] | Sequence[str] | None
    shutter: bool | None
    fringe: str | PathLike[str] | Sequence[str] | None
    bleeding: bool | None
    cosmics: Literal["no", "flag", "clean"] | None
    cosmics_frames: int | None
    cosmics_objlim: float | None
    cosmics_sigclip: float | None
    cosmics_psfmodel: Literal["none", "gauss", "gaussx", "gaussy", "moffat"] | None
    interpolate: bool | None
    combine: Literal["median", "mean", "clipped-mean", "sum", "lower-median"] | None
    reject: Literal["none", "minmax", "noise", "percentile", "sigma", "winsorized"] | None
    reject_low: float | None
    reject_high: float | None
    reject_iterations: int | None
    reject_centre: Literal["median", "mean"] | None
    reject_scale: Literal["mad", "std"] | None
    scale: Literal["none", "level", "exposure"] | None
    zero_level: Literal["none", "level"] | None
    weight: Literal["none", "level", "exposure"] | None
    counts: bool | None
    normalize: Literal["mode", "exact-mode", "median", "mean"] | None
    normalize_amplifiers: bool | None
    normalize_bayer: bool | None
    missing_dark: bool | None
    missing_flat: bool | None
    sky_flats: bool | None
    sky_frames: str | PathLike[str] | Sequence[str] | None
    scale_dark_up: bool | None
    dark_model: bool | None
    allow: str | PathLike[str] | Sequence[str] | None
    tell_apart: str | PathLike[str] | Sequence[str] | None
    library: str | PathLike[str] | None
    library_days: str | PathLike[str] | Sequence[str] | None
    master: str | PathLike[str] | Sequence[str] | None
    across_nights: bool | None
    mask: bool | None
    uncertainty: bool | None
    photon_noise: Literal["background", "pixel"] | None
    bad_pixels: str | PathLike[str] | None
    dtype: Literal["float32", "float64"] | None
    compress: Literal["none", "gzip", "rice", "lossless"] | None
    processed_by: str | PathLike[str] | None
    limit_offset: float | None
    limit_pattern: float | None
    limit_hot: float | None
    limit_scatter: float | None
    limit_shape: float | None
    limit_lit: float | None
    limit_negative: float | None
    limit_residue: float | None
    limit_saturated: float | None
    limit_blank: float | None
    limit_wrapped: float | None
    limit_clipped: float | None
    limit_level: float | None
    limit_stars: float | None
    limit_trail: float | None
    limit_noise: float | None
    unchecked: (
        Literal[
            "offset",
            "pattern",
            "hot",
            "scatter",
            "shape",
            "lit",
            "negative",
            "residue",
            "saturated",
            "blank",
            "wrapped",
            "clipped",
            "level",
            "stars",
            "trail",
            "noise",
            "sums",
        ]
        | Sequence[
            Literal[
                "offset",
                "pattern",
                "hot",
                "scatter",
                "shape",
                "lit",
                "negative",
                "residue",
                "saturated",
                "blank",
                "wrapped",
                "clipped",
                "level",
                "stars",
                "trail",
                "noise",
                "sums",
            ]
        ]
        | None
    )
    masters_only: bool | None
    overwrite: bool | None
    workers: int | None
    processes: bool | None
    threads: bool | None
    scheduler: str | PathLike[str] | None
    time_limit: float | None
    memory: int | str | None
    tile_rows: int | None
    sync: bool | None
    log_level: Literal["debug", "info", "warning"] | None
