"""Flagged pixels are filled in from their good neighbours, along the shorter way.

Bad pixels, columns and rows, pixels that cosmic rays have hit, and those without a value lie in
gaps of their row and of their column. Each is filled along the way on which its gap is shorter, by
a straight line between the two good pixels at the ends of the gap (as IRAF's fixpix does it). A
gap that reaches the edge of the image has one end, and is filled along the other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daskred.model.mask import (
    BAD,
    COSMIC,
    HOT,
    INTERPOLATED,
    NO_DATA,
    NONLINEAR,
    SATURATED,
    UNSTABLE,
)
from daskred.model.option import Option
from daskred.steps.step import Card, Recipe, Step, Whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Saturated pixels stay: what stands there is a star, and no neighbour knows how bright.
_CLEARLY = 3.0  # deviations: two pixels that differ by more are not alike
_FILLED = BAD | HOT | UNSTABLE | NONLINEAR | COSMIC | NO_DATA


def _ends(flagged: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return for each pixel the nearest good one before and behind it in its row.

    -1, and the length of the row, stand for none.
    """
    import numpy as np

    n_columns = flagged.shape[1]
    places = np.broadcast_to(np.arange(n_columns), flagged.shape)
    before = np.maximum.accumulate(np.where(flagged, -1, places), axis=1)
    reverse = np.where(flagged, n_columns, places)[:, ::-1]
    return before, np.minimum.accumulate(reverse, axis=1)[:, ::-1]


def fill_gaps(
    value: NDArray[Any],
    flagged: NDArray[np.bool_],
    sigma: NDArray[Any] | None = None,
    poor: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Fill flagged pixels in from their good neighbours, in place; return which were filled.

    Parameters
    ----------
    value
        Shape ``(y, x)``.
    flagged
        Which pixels are wanted anew.
    sigma
        One standard deviation of each pixel: where one is filled, that of a straight line between
        its neighbours; and where these differ by more than their noise, as on the flank of a star,
        half of that, which is by how much the line may be wrong.
    poor
        Pixels that stay as they are, and are no good neighbours either, as saturated ones.

    Examples
    --------
    >>> import numpy as np
    >>> value = np.array([[1.0, 99.0, 3.0]])
    >>> fill_gaps(value, np.array([[False, True, False]])).sum(), value.tolist()
    (np.int64(1), [[1.0, 2.0, 3.0]])
    """
    import numpy as np

    rows, columns = np.nonzero(flagged)
    filled = np.zeros_like(flagged)
    if not rows.size:
        return filled
    n_rows, n_columns = value.shape
    useless = flagged if poor is None else flagged | poor
    left, right = (ends[rows, columns] for ends in _ends(useless))
    up, down = (ends.T[rows, columns] for ends in _ends(useless.T))
    endless = n_rows + n_columns + 1
    across = np.where((left >= 0) & (right < n_columns), right - left, endless)
    along = np.where((up >= 0) & (down < n_rows), down - up, endless)
    known = np.minimum(across, along) < endless
    rows, columns, left, right, up, down, across, along = (
        values[known] for values in (rows, columns, left, right, up, down, across, along)
    )
    by_row = across <= along
    first = np.where(by_row, rows, up), np.where(by_row, left, columns)
    second = np.where(by_row, rows, down), np.where(by_row, right, columns)
    share = np.where(by_row, columns - left, rows - up) / np.minimum(across, along)
    first_end, second_end = value[first].astype("f8"), value[second].astype("f8")
    value[rows, columns] = first_end + share * (second_end - first_end)
    if sigma is not None:
        first_noise, second_noise = (np.square(sigma[end], dtype="f8") for end in (first, second))
        noise = first_noise * (1 - share) ** 2 + second_noise * share**2
        apart = np.square(second_end - first_end) - _CLEARLY**2 * (first_noise + second_noise)
        sigma[rows, columns] = np.sqrt(noise + np.maximum(apart, 0) / 4)
    filled[rows, columns] = True
    return filled


def _work(whole: Whole, recipe: Recipe) -> int:
    import numpy as np

    # What was filled in before, as cosmic rays that were cleaned, is as good as its neighbours.
    flagged = (whole.mask & _FILLED != 0) & (whole.mask & INTERPOLATED == 0)
    flagged |= ~np.isfinite(whole.value)
    flagged &= whole.mask & SATURATED == 0
    filled = fill_gaps(whole.value, flagged, whole.sigma, whole.mask & SATURATED != 0)
    whole.mask[filled] |= INTERPOLATED
    return int(np.count_nonzero(filled))


def _cards(recipe: Recipe, counts: Mapping[str, float]) -> list[Card]:
    n_filled = counts.get("interpolation", 0)
    text = f"{n_filled} pixels, linear along the shorter way"
    return [Card("FIXPIX", text, "interpolated")]


STEP = Step(
    name="interpolation",
    place=120,
    reach="frame",
    applies=lambda recipe: bool(recipe.options.interpolate),
    work=_work,
    cards=_cards,
    bits=INTERPOLATED,
    pixel_bytes=32,
    options=(
        Option(
            "interpolate",
            "fill bad pixels and columns, cosmic rays, and pixels without a value in from their"
            " good neighbours, along the shorter way",
            "science",
            changes=("science",),
            common=True,
        ),
    ),
)
