"""Masters in a notebook: the tiles of runs as lazy, labelled images ``(y, x)``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from daskred.arrays.view_graph import master_of_frames
from daskred.arrays.view_nodes import Labelled
from daskred.model.frame import Frame
from daskred.options import Options

if TYPE_CHECKING:
    import xarray as xr

    from daskred.kernels.reject import Rejection

    Given = Iterable[Frame] | xr.DataArray


def _options(given: Options | None, more: dict[str, Any]) -> Options:
    return (given or Options()).but(**{name: v for name, v in more.items() if v is not None})


def master_dark(
    frames: Given,
    *,
    image: int | str = 0,
    bias: Labelled | None = None,
    options: Options | None = None,
    dtype: str | None = None,
) -> Labelled:
    """Return a master dark: the per-pixel median over frames, lazily.

    Parameters
    ----------
    frames
        Darks of one exposure time: frames, or an opened stack ``(frame, y, x)``.
    image
        Which image of each frame, by number or by name.
    bias
        The master bias, above which the signal of darks makes noise: for uncertainties.
    options
        How frames are combined, and what is wanted beside the pixels.
    dtype
        Of the pixels.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Dimensions ``(y, x)``, ADU. Where some frames are NaN, the median of the others. A dataset
        with ``pixels``, ``mask``, ``uncertainty``, ``n_used`` and ``n_rejected`` where options ask
        for more than pixels.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name, shape=(16, 16), n_darks=3, n_flats=2, n_science=1)
    >>> dark = master_dark(open_night(folder.name).select("dark", exptime_s=10))
    >>> dark.dims, dark.shape, dark.attrs["n_frames"]
    (('y', 'x'), (16, 16), 3)
    >>> folder.cleanup()
    """
    return master_of_frames("dark", frames, image, _options(options, {"dtype": dtype}), zero=bias)


def master_bias(
    frames: Given,
    *,
    image: int | str = 0,
    options: Options | None = None,
    dtype: str | None = None,
) -> Labelled:
    """Return a master bias: the per-pixel median over frames, lazily; see `master_dark`.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name, shape=(16, 16), n_bias=3, n_darks=1, n_flats=1, n_science=1)
    >>> master_bias(open_night(folder.name).select("bias")).name
    'MasterBias'
    >>> folder.cleanup()
    """
    return master_of_frames("bias", frames, image, _options(options, {"dtype": dtype}))


def master_flat(
    frames: Given,
    dark: Labelled | None = None,
    *,
    image: int | str = 0,
    options: Options | None = None,
    normalize: str | None = None,
    dtype: str | None = None,
) -> Labelled:
    """Return a master flat, lazily: the median of frames less their dark, each over its level.

    The median is divided by its own level, so that the result is the efficiency relative to the
    most typical pixel.

    Parameters
    ----------
    frames
        Flats of one filter and one exposure time: frames, or an opened stack ``(frame, y, x)``.
    dark
        The master dark of that exposure time, ``(y, x)``, ADU; of mosaic frames one for each image,
        by its name, since their level is that of all images.
    image
        Which image of each frame, by number or by name.
    options
        How frames are combined, and what is wanted beside the pixels.
    normalize
        How levels are measured: ``mode`` (the peak of a smoothed histogram), ``exact-mode`` (the
        most frequent value), ``median`` or ``mean``.
    dtype
        Of the pixels.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Dimensions ``(y, x)``, dimensionless; see `master_dark`.

    Raises
    ------
    RequestError
        For a normalisation that does not exist.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name, shape=(16, 16), n_darks=3, n_flats=3, n_science=1)
    >>> night = open_night(folder.name)
    >>> flat = master_flat(night.select("flat"), master_dark(night.select("dark", exptime_s=3)))
    >>> flat.name, bool(0.9 < flat.mean() < 1.1)
    ('MasterFlat_BG40', True)
    >>> folder.cleanup()
    """
    more = {"normalize": normalize, "dtype": dtype}
    return master_of_frames("flat", frames, image, _options(options, more), dark=dark)


def master_sky(
    frames: Given,
    dark: Labelled | None = None,
    flat: Labelled | None = None,
    *,
    image: int | str = 0,
    options: Options | None = None,
    dtype: str | None = None,
) -> Labelled:
    """Return what the night sky itself shows in science frames, lazily: fringes, uneven light.

    It is the median of frames less their dark, each over its level, without the stars in them,
    divided by the flat and by its own level. The telescope must have moved between them.

    Parameters
    ----------
    frames
        Science frames of one filter.
    dark
        The master dark of their exposure time, ``(y, x)``, ADU; of mosaic frames one for each
        image, by its name.
    flat
        The master flat, ``(y, x)``; of mosaic frames one for each image, by its name.
    image
        Which image of each frame, by number or by name.
    options
        How frames are combined, and what is wanted beside the pixels.
    dtype
        Of the pixels.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Dimensions ``(y, x)``, dimensionless; see `master_dark`.

    Examples
    --------
    >>> import tempfile
    >>> from daskred import open_night, simulate
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = simulate(folder.name, shape=(32, 32), n_darks=3, n_flats=3, n_science=5)
    >>> night = open_night(folder.name)
    >>> sky = master_sky(night.select("science"), options=Options(missing_dark=True))
    >>> sky.dims, sky.attrs["n_frames"]
    (('y', 'x'), 5)
    >>> folder.cleanup()
    """
    return master_of_frames(
        "sky", frames, image, _options(options, {"dtype": dtype}), dark=dark, flat=flat
    )


def combine_frames(
    frames: Given,
    method: str = "median",
    rejection: Rejection | None = None,
    *,
    image: int | str = 0,
    options: Options | None = None,
) -> Labelled:
    """Combine frames pixel by pixel, lazily, without the values that do not belong to the others.

    Parameters
    ----------
    frames
        Frames, or a stack ``(frame, y, x)``.
    method
        ``median``, ``mean``, ``clipped-mean``, ``sum`` or ``lower-median``.
    rejection
        Which values are left out; None for none.
    image
        Which image of each frame, by number or by name.
    options
        What else is wanted, as counts.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Dimensions ``(y, x)``; see `master_dark`.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from daskred import Rejection
    >>> values = np.array([1.0, 2.0, 3.0, 99.0]).reshape(4, 1, 1)
    >>> stack = xr.DataArray(values, dims=("frame", "y", "x"))
    >>> combine_frames(stack, "mean", Rejection("minmax", low=0, high=1)).values
    array([[2.]], dtype=float32)
    """
    more: dict[str, Any] = {"combine": method}
    if rejection:
        more |= {
            "reject": rejection.method,
            "reject_low": rejection.low,
            "reject_high": rejection.high,
            "reject_iterations": rejection.iterations,
            "reject_centre": rejection.centre,
            "reject_scale": rejection.scale,
        }
    return master_of_frames("bias", frames, image, _options(options, more), loose=True)
