"""Which kernels are in use: the compiled ones, or numpy's, which give the same bits."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from daskred.model.errors import RequestError

VARIABLE = "DASKRED_KERNELS"
NAMES = ("compiled", "numpy")


@cache
def compiled_kernels() -> Any:
    """Return the module of compiled kernels; None where numpy's are to be used.

    Raises
    ------
    RequestError
        Where the environment asks for kernels that there are not.

    Examples
    --------
    >>> compiled_kernels() is None or hasattr(compiled_kernels(), "median")
    True
    """
    asked = os.environ.get(VARIABLE, "")
    if asked not in ("", *NAMES):
        raise RequestError(f"{VARIABLE}={asked}: there are {' and '.join(NAMES)}")
    if asked == "numpy":
        return None
    try:
        from daskred.kernels import _compiled
    except ImportError as error:
        if asked:
            text = "they were not compiled when daskred was installed"
            raise RequestError(f"{VARIABLE}={asked}: {text} ({error})") from error
        return None
    return _compiled


def kernels_in_use() -> str:
    """Return the name of the kernels that are in use.

    Examples
    --------
    >>> kernels_in_use() in NAMES
    True
    """
    return NAMES[1] if compiled_kernels() is None else NAMES[0]
