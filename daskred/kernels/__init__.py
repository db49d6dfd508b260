"""Numbers in, numbers out: medians, rejections, levels, overscans, noise, photon transfer.

It may import numpy, scipy and the data of `daskred.model`; it reads and writes nothing. What it
offers works on blocks ``(frame, y, x)`` and bands ``(y, x)``, of any height, with the same result.
A file in ``rejections`` is a rejection.
"""
