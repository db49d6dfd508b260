"""Rejections, one file each: a new file with a ``REJECTION`` is a new rejection."""
