"""What may stand beside the pixels of a product: a mask, uncertainties, numbers of values.

They are image extensions as `astropy.nddata.CCDData` reads them; of a mosaic, one for each image,
with its number as EXTVER.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from daskred.fits.header import Header, format_card
from daskred.fits.write import Bands, Unit
from daskred.model.mask import LEGEND

ExtensionName = Literal["MASK", "UNCERT", "NUSED", "REJECTED"]
EXTENSIONS: tuple[ExtensionName, ...] = ("MASK", "UNCERT", "NUSED", "REJECTED")


@dataclass(frozen=True)
class Extension:
    """A plane beside an image.

    Parameters
    ----------
    name
        What it is.
    number
        Of its image, from 0.
    bands
        Its pixels.
    """

    name: ExtensionName
    number: int
    bands: Bands


def is_extension(image_name: str) -> bool:
    """Whether an image of a product is a plane beside another one.

    Examples
    --------
    >>> is_extension("MASK,1"), is_extension("SCI,1")
    (True, False)
    """
    return image_name.partition(",")[0] in EXTENSIONS


def legend_cards() -> list[str]:
    """Return the cards that tell what the bits of a mask mean."""
    return [
        format_card(f"BIT{bit.bit_length() - 1}", meaning, f"value {bit}")
        for bit, meaning in LEGEND.items()
    ]


def extension_units(planes: Sequence[Extension], unit: str) -> list[Unit]:
    """Return the units of planes, in the order of their names and numbers."""
    units: list[Unit] = []
    for plane in sorted(planes, key=lambda plane: (EXTENSIONS.index(plane.name), plane.number)):
        cards = [
            format_card("EXTNAME", plane.name),
            format_card("EXTVER", plane.number + 1),
        ]
        if plane.name == "UNCERT":
            cards.append(format_card("UTYPE", "StdDevUncertainty", "one standard deviation"))
            if unit:
                cards.append(format_card("BUNIT", unit, "unit of the pixels"))
        if plane.name == "MASK":
            cards += legend_cards()
        units.append((Header(tuple(cards)), plane.bands))
    return units
