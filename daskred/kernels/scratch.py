"""Working memory that each thread keeps: what is given back costs page faults to get anew."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_kept = threading.local()


def scratch(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array of undefined content, in memory that the same name gets again.

    Parameters
    ----------
    name
        What it is for. What was returned before under this name, in this thread, is overwritten.
    shape, dtype
        Of the array.

    Examples
    --------
    >>> scratch("band", (2, 3), "f4").shape
    (2, 3)
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory: NDArray[np.uint8] | None = getattr(_kept, name, None)
    if memory is None or memory.size < size:
        memory = np.empty(size, "u1")
        setattr(_kept, name, memory)
    return memory[:size].view(dtype).reshape(shape)
