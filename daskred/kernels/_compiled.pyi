from typing import Any

from numpy.typing import NDArray

def median(stack: NDArray[Any], network: NDArray[Any], out: NDArray[Any], /) -> None: ...
def combine(
    stack: NDArray[Any],
    network: NDArray[Any],
    value: NDArray[Any],
    bottom: NDArray[Any],
    top: NDArray[Any],
    n_used: NDArray[Any],
    n_rejected: NDArray[Any],
    rule: tuple[float, ...],
    /,
) -> None: ...
def lit(raw: NDArray[Any], dark: NDArray[Any], out: NDArray[Any], level: float, /) -> None: ...
def store(pixels: NDArray[Any], out: NDArray[Any], /) -> tuple[int, int]: ...
