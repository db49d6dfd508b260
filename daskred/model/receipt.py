"""What a task tells of a product that it made."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one product.

    Parameters
    ----------
    product
        The file, below the folder of products.
    source
        The raw frame, or the master's name.
    n_inputs
        Of how many frames it was made.
    made
        Whether it was made now; False where it was done already.
    n_nan
        Pixels without a value; -1 where it was done already.
    n_bytes
        Length of the file.
    seconds
        How long it took; 0 where it was done already.
    worker
        Who made it: machine and process; empty where it was done already.
    counts
        What steps have counted on the way, by their names.
    figures
        What the checks of pixels have found, by their names.
    light
        Of science frames, where the light of their stars lies: see `daskred.kernels.stars`.

    Examples
    --------
    >>> Receipt("a-1c.fits", "a-1.fits", 1, made=True, n_nan=0).product
    'a-1c.fits'
    """

    product: str
    source: str
    n_inputs: int
    made: bool
    n_nan: int
    n_bytes: int = 0
    seconds: float = 0.0
    worker: str = ""
    counts: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    light: bytes = b""
